"""How often theatre has been right in one case so far, once pathology is in."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from glioscope.cases import Case, Specimen
from glioscope.stats import Confusion, Interval, clopper_pearson

from ._answer import Kind, kind_of
from ._words import Words

FEW: Final = 30
"""Below so many specimens of a class an interval of 95 % is wider than 0.3 in the middle: said beside the numbers."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Calls against pathology in one case.

    `table` holds the specimens called tumour or non-tumour; those without a call are counted beside it, not as wrong.
    """

    table: Confusion
    n_indeterminate: int
    n_not_assessable: int


def running_accuracy(case: Case, hidden: Collection[str] = frozenset()) -> Accuracy:
    """Calls of all specimens that have pathology, are not withdrawn and whose answer may be seen."""
    known = [s for s in case.specimens if s.truth is not None and not s.withdrawn and s.specimen_id not in hidden]
    pairs = [(_is_tumour(specimen), kind_of(specimen)) for specimen in known]
    table = Confusion(
        tp=pairs.count((True, Kind.TUMOUR)),
        fp=pairs.count((False, Kind.TUMOUR)),
        tn=pairs.count((False, Kind.NON_TUMOUR)),
        fn=pairs.count((True, Kind.NON_TUMOUR)),
    )
    kinds = [kind for _, kind in pairs]
    return Accuracy(table, kinds.count(Kind.INDETERMINATE), kinds.count(Kind.NOT_ASSESSABLE))


def accuracy_lines(accuracy: Accuracy, words: Words) -> list[str]:
    """Sentences for the screen: n, sensitivity and specificity with exact intervals, and how few they rest on."""
    table = accuracy.table
    n_known = table.n + accuracy.n_indeterminate + accuracy.n_not_assessable
    if not n_known:
        return [words["theatre.accuracy.none"]]
    sick, well = table.tp + table.fn, table.tn + table.fp
    lines = [words("theatre.accuracy.n", n=n_known)]
    lines += _rate("sensitivity", table.tp, sick, words) + _rate("specificity", table.tn, well, words)
    if n_known > table.n:
        counts = {"indeterminate": accuracy.n_indeterminate, "not_assessable": accuracy.n_not_assessable}
        lines.append(words("theatre.accuracy.uncalled", **counts))
    if min(sick, well) < FEW:
        lines.append(words("theatre.accuracy.few", sick=sick, well=well))
    return lines


def _rate(name: str, k: int, n: int, words: Words) -> list[str]:
    if not n:
        return [words(f"theatre.accuracy.no_{name}")]
    interval: Interval = clopper_pearson(k, n)
    shown = {"k": k, "n": n, "value": f"{k / n:.2f}", "low": f"{interval.low:.2f}", "high": f"{interval.high:.2f}"}
    return [words(f"theatre.accuracy.{name}", **shown)]


def _is_tumour(specimen: Specimen) -> bool:
    return specimen.truth is not None and specimen.truth.pathology == "tumor"
