"""The paper's cascade on a locked suite: tumour first; grade, Ki-67 and the rest only of what is called tumour."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Self

import numpy as np
from numpy.typing import NDArray

from glioscope.core import BundleError, BundleInfo, Decision, Diagnosis, GlioscopeError, ImageError, TaskDiagnosis
from glioscope.imaging import SpecimenSource, network_input, prepare_specimen

from ._bundle import Bundle, load_bundle, load_suite_info

FIRST_TASK = "tumor"


@dataclass(frozen=True, slots=True)
class Cascade:
    """A loaded suite. `diagnose` may be called from several threads."""

    bundles: dict[str, Bundle]
    """Task -> the bundle that answers it."""
    data_kind: str

    @classmethod
    def load(cls, suite: Path, *, threads: int = 2) -> Self:
        """Verify and load the answering bundles of a suite, and warm them up (each answers its probe image).

        Raises
        ------
        BundleError : the suite or one of its bundles is missing, changed or of another version.
        """
        info = load_suite_info(suite)
        unknown = sorted(set(info.answers.values()) - set(info.sha256))
        if unknown:
            raise BundleError(f"{suite / 'suite.json'}: names bundle {unknown[0]!r} without its hash")
        for name in info.answers.values():
            if Path(name).name != name:
                raise BundleError(f"{suite / 'suite.json'}: {name!r} is not a folder of the suite")
        return cls(
            {
                task: load_bundle(suite / name, threads=threads, sums_sha256=info.sha256[name])
                for task, name in info.answers.items()
            },
            info.data_kind,
        )

    def diagnose(self, sources: SpecimenSource | Sequence[SpecimenSource]) -> Diagnosis:
        """Diagnose one specimen from one image set, or from several (their logits are averaged).

        Returns
        -------
        The answers; or, where an image cannot be used, a `Diagnosis` whose `error` says why. Never raises for an
        image.
        """
        sets = [sources] if isinstance(sources, SpecimenSource) else list(sources)
        started = perf_counter()
        timings = {"prepare": 0.0, "network": 0.0}
        try:
            answers = tuple(self._answers(_Specimen(sets, timings)))
        except GlioscopeError as error:
            return Diagnosis(sets[0].specimen_id, error=str(error))
        timings["total"] = (perf_counter() - started) * 1000
        return Diagnosis(sets[0].specimen_id, answers, None, timings)

    def diagnose_many(self, specimens: Iterable[Sequence[SpecimenSource]]) -> Iterator[Diagnosis]:
        """Diagnose specimens one after the other; an unusable one gets its error and the others go on."""
        for sets in specimens:
            yield self.diagnose(sets)

    def _answers(self, specimen: "_Specimen") -> Iterator[TaskDiagnosis]:
        asked = True
        first = self.bundles.get(FIRST_TASK)
        if first is not None:
            answer = decide(first.info, specimen.logit(first))
            asked = answer.decision is Decision.POSITIVE
            yield answer
        for task, bundle in self.bundles.items():
            if task == FIRST_TASK:
                continue
            if asked:
                yield decide(bundle.info, specimen.logit(bundle))
            else:
                yield TaskDiagnosis(task, Decision.NOT_ASKED, "not asked: not tumour", None, None, bundle.info.name)


class _Specimen:
    """One specimen's image sets, each prepared once per preprocessing plan."""

    def __init__(self, sets: list[SpecimenSource], timings: dict[str, float]) -> None:
        self._sets = sets
        self._timings = timings
        self._inputs: dict[str, NDArray[np.float32]] = {}

    def logit(self, bundle: Bundle) -> NDArray[np.float64]:
        """Mean logit (K,) over the image sets."""
        inputs = self._prepared(bundle.info)
        started = perf_counter()
        logit = bundle.run(inputs).logit
        self._timings["network"] += (perf_counter() - started) * 1000
        if not np.isfinite(logit).all():
            raise ImageError(None, f"bundle {bundle.info.name} gave no finite answer")
        mean: NDArray[np.float64] = logit.astype(np.float64).mean(0)
        return mean

    def _prepared(self, info: BundleInfo) -> dict[str, NDArray[np.float32]]:
        plans = {name: info.fl_plan if name == "fl" else info.wl_plan for name in info.modality.inputs}
        keys = {name: plan.model_dump_json() for name, plan in plans.items() if plan is not None}
        if any(key not in self._inputs for key in keys.values()):
            started = perf_counter()
            self._prepare(info, keys)
            self._timings["prepare"] += (perf_counter() - started) * 1000
        return {name: self._inputs[key] for name, key in keys.items()}

    def _prepare(self, info: BundleInfo, keys: dict[str, str]) -> None:
        for name in keys:
            if any((s.fl_image if name == "fl" else s.wl_image) is None for s in self._sets):
                raise ImageError(None, f"no {name.upper()} image, which bundle {info.name} needs")
        made = [prepare_specimen(s, fl_plan=info.fl_plan, wl_plan=info.wl_plan) for s in self._sets]
        for name, key in keys.items():
            plan = info.fl_plan if name == "fl" else info.wl_plan
            images = [p for p in ((m.fl if name == "fl" else m.wl) for m in made) if p is not None]
            if plan is not None:
                self._inputs[key] = network_input(np.stack([p.image for p in images]), plan)


def decide(info: BundleInfo, logit: NDArray[np.float64]) -> TaskDiagnosis:
    """Turn the logit (K,) of one specimen into an answer at the locked threshold."""
    probability = 1 / (1 + np.exp(-logit))
    names = info.task.class_names
    if info.task.ordinal:
        # K-1 cumulative answers may cross where data are few: force them to fall before taking differences.
        above = np.concatenate([[1.0], np.minimum.accumulate(probability), [0.0]])
        levels = -np.diff(above)
        return TaskDiagnosis(
            info.task.name,
            Decision.POSITIVE,
            names[int(levels.argmax())],
            float(probability.mean()),
            None,
            info.name,
            tuple(float(v) for v in levels),
        )
    threshold = info.threshold.logit[0]
    positive = bool(logit[0] >= threshold)
    return TaskDiagnosis(
        info.task.name,
        Decision.POSITIVE if positive else Decision.NEGATIVE,
        names[1] if positive else names[0],
        float(probability[0]),
        float(1 / (1 + np.exp(-threshold))),
        info.name,
    )
