"""The tests of a study: the primary model against the others and against readers, adjusted by family."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from glioscope.cohort import Family
from glioscope.core import InputError
from glioscope.stats import Comparison, Method, Protocol, holm, paired
from glioscope.stats import finite as or_none

MODEL_METRICS = ("auc", "sensitivity", "specificity", "ppv", "npv", "f1", "accuracy")
READER_METRICS = MODEL_METRICS[1:]
EACH_READER = ("sensitivity", "specificity", "accuracy")


@dataclass(frozen=True, slots=True)
class Compared:
    """One test: `a - b` in `metric`, and P adjusted by Holm within `family` (NaN before adjusting)."""

    task: str
    a: str
    b: str
    metric: str
    family: str
    n_specimens: int
    n_patients: int
    comparison: Comparison
    p_adjusted: float = float("nan")

    def to_json(self) -> dict[str, Any]:
        """One of `comparisons[]` of `metrics.json`."""
        named = {"a": self.a, "b": self.b, "metric": self.metric, "family": self.family}
        sizes = {"n_specimens": self.n_specimens, "n_patients": self.n_patients}
        return {**named, **sizes, **self.comparison.to_json(), "p_adjusted": or_none(self.p_adjusted)}


def compare_with(
    primary: Method, others: Iterable[Method], metrics: Sequence[str], protocol: Protocol, task: str, family: str
) -> list[Compared]:
    """The primary method against each other one, in each metric that both have."""
    found = []
    for other in others:
        a, b = paired(primary, other)
        both = a.answered & b.answered
        wanted = [m for m in metrics if (a.both_classes and b.both_classes if m == "auc" else both.any())]
        for metric, compared in protocol.compare(a, b, wanted).items():
            patients = a.patients if metric == "auc" else a.patients[both]
            sizes = (patients.size, len(set(patients)))
            found.append(Compared(task, a.name, b.name, metric, family, *sizes, compared))
    return found


def declared_tests(
    task: str, methods: Mapping[str, Method], declared: Sequence[Family], made: Sequence[Compared], protocol: Protocol
) -> list[Compared]:
    """The tests of this task that `study.toml` declares and the tables do not hold yet.

    Raises
    ------
    InputError : a declared method that does not exist.
    """
    have = {(test.a, test.b, test.metric) for test in made}
    found = []
    for family in declared:
        for test in family.tests:
            if test.task != task or (test.a, test.b, test.metric) in have:
                continue
            for name in (test.a, test.b):
                if name not in methods:
                    known = ", ".join(methods)
                    raise InputError(f"study.toml: family {family.name!r} names {name!r} in {task}; there are {known}")
            found += compare_with(methods[test.a], [methods[test.b]], (test.metric,), protocol, task, family.name)
    return found


def adjusted(tests: Sequence[Compared], declared: Sequence[Family]) -> list[Compared]:
    """The tests, of all tasks, with P adjusted by Holm's method within their family, two-sided.

    A test that a family of `study.toml` names belongs there; the others to the table that they stand in.
    """
    planned: Mapping[tuple[str, str, str, str], str] = {
        (test.task, test.a, test.b, test.metric): family.name for family in declared for test in family.tests
    }
    placed = [replace(t, family=planned.get((t.task, t.a, t.b, t.metric), t.family)) for t in tests]
    for family in dict.fromkeys(test.family for test in placed):
        places = [i for i, test in enumerate(placed) if test.family == family]
        for i, p in zip(places, holm([placed[i].comparison.p_two_sided for i in places]), strict=True):
            placed[i] = replace(placed[i], p_adjusted=float(p))
    return placed


def primary_model(names: Sequence[str], wanted: str | None) -> str:
    """The model under study: the one that `study.toml` names; else fluorescence first, fine-tuned before frozen.

    It is never chosen by its results.
    """
    if wanted in names:
        return str(wanted)
    order = [kind + strategy for kind in ("fl", "") for strategy in ("-finetune", "-probe", "")]
    return min(names, key=lambda name: next(i for i, start in enumerate(order) if _is(name, start)))


def _is(name: str, kind: str) -> bool:
    return name.startswith(kind) if kind.startswith("fl") else name.endswith(kind)
