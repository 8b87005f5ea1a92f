"""The paper's cascade on a locked suite: tumour first; grade, Ki-67 and the rest only of what is called tumour."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from glioscope.core import (
    BundleError,
    BundleInfo,
    Decision,
    Diagnosis,
    FLPlan,
    GlioscopeError,
    ImageError,
    TaskDiagnosis,
    WLPlan,
)
from glioscope.imaging import Prepared, SpecimenSource, network_input, prepare_specimen

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
        bundles = {
            task: load_bundle(suite / name, threads=threads, sums_sha256=info.sha256[name])
            for task, name in info.answers.items()
        }
        # suite.json itself is under no hash: what it says must agree with the bundles, which are.
        for task, bundle in bundles.items():
            if bundle.info.task.name != task:
                found = f"bundle {info.answers[task]} answers task {bundle.info.task.name!r}, not {task!r}"
                raise BundleError(f"{suite / 'suite.json'}: {found}")
            kind = bundle.info.provenance.data_kind
            if kind != info.data_kind:
                found = f"says {info.data_kind} images; bundle {info.answers[task]} was trained on {kind} ones"
                raise BundleError(f"{suite / 'suite.json'}: {found}")
        return cls(bundles, info.data_kind)

    def diagnose(self, sources: SpecimenSource | Sequence[SpecimenSource]) -> Diagnosis:
        """Diagnose one specimen from one image set, or from several.

        Logits are averaged over the image sets that have every image a bundle needs, as they are in training. A task
        after the first whose image was not given is not assessable; the other answers stand.

        Returns
        -------
        The answers; or, where an image cannot be used or the first task lacks its own, a `Diagnosis` whose `error`
        says why. Never raises for an image.
        """
        sets = [sources] if isinstance(sources, SpecimenSource) else list(sources)
        started = perf_counter()
        specimen = _Specimen(sets)
        try:
            answers = tuple(self._answers(specimen))
        except (GlioscopeError, OSError) as error:
            return Diagnosis(sets[0].specimen_id, error=str(error))
        timings = {**specimen.timings_ms, "total": (perf_counter() - started) * 1000}
        preparation = {name: tuple(records) for name, records in specimen.preparation.items()}
        return Diagnosis(sets[0].specimen_id, answers, None, timings, preparation)

    def diagnose_many(self, specimens: Iterable[Sequence[SpecimenSource]]) -> Iterator[Diagnosis]:
        """Diagnose specimens one after the other; an unusable one gets its error and the others go on."""
        for sets in specimens:
            yield self.diagnose(sets)

    def _answers(self, specimen: "_Specimen") -> Iterator[TaskDiagnosis]:
        asked = True
        first = self.bundles.get(FIRST_TASK)
        lacking = [specimen.lacks(b.info) for b in ([first] if first is not None else self.bundles.values())]
        if all(lacking):
            raise ImageError(None, lacking[0])
        if first is not None:
            answer = decide(first.info, specimen.logit(first))
            asked = answer.decision is Decision.POSITIVE
            yield answer
        for task, bundle in self.bundles.items():
            if task == FIRST_TASK:
                continue
            name, reason = bundle.info.name, specimen.lacks(bundle.info)
            if not asked:
                yield TaskDiagnosis(task, Decision.NOT_ASKED, "not asked: not tumour", None, None, name)
            elif reason:
                yield TaskDiagnosis(
                    task, Decision.NOT_ASSESSABLE, "not assessable", None, None, name, reasons=(reason,)
                )
            else:
                yield decide(bundle.info, specimen.logit(bundle))


class _Specimen:
    """One specimen's image sets, each image prepared once per preprocessing plan."""

    def __init__(self, sets: list[SpecimenSource]) -> None:
        self._sets = sets
        self.timings_ms = {"prepare": 0.0, "network": 0.0}
        self.preparation: dict[str, list[dict[str, Any]]] = {}
        self._inputs: dict[tuple[str, int], NDArray[np.float32]] = {}

    def logit(self, bundle: Bundle) -> NDArray[np.float64]:
        """Mean logit (K,) over the image sets."""
        started = perf_counter()
        inputs = self._prepared(bundle.info)
        self.timings_ms["prepare"] += (perf_counter() - started) * 1000
        started = perf_counter()
        logit = bundle.run(inputs).logit
        self.timings_ms["network"] += (perf_counter() - started) * 1000
        if not np.isfinite(logit).all():
            raise ImageError(None, f"bundle {bundle.info.name} gave no finite answer")
        mean: NDArray[np.float64] = logit.astype(np.float64).mean(0)
        return mean

    def lacks(self, info: BundleInfo) -> str:
        """Which image a bundle needs that no image set has, as a sentence; "" if none."""
        if self._usable(info):
            return ""
        inputs = info.modality.inputs
        lacking = [name for name in inputs if all(_image(s, name) is None for s in self._sets)] or list(inputs)
        return f"no {' and '.join(name.upper() for name in lacking)} image, which bundle {info.name} needs"

    def _usable(self, info: BundleInfo) -> list[int]:
        """The image sets that have every image the bundle needs."""
        return [
            i for i, s in enumerate(self._sets) if all(_image(s, name) is not None for name in info.modality.inputs)
        ]

    def _prepared(self, info: BundleInfo) -> dict[str, NDArray[np.float32]]:
        """Network inputs (N, 3, H, W) of the N usable image sets."""
        usable = self._usable(info)
        return {name: np.concatenate([self._one(info, name, i) for i in usable]) for name in info.modality.inputs}

    def _one(self, info: BundleInfo, name: str, index: int) -> NDArray[np.float32]:
        """Network input (1, 3, H, W) of one image."""
        plan = info.fl_plan if name == "fl" else info.wl_plan
        if plan is None:
            raise BundleError(f"bundle {info.name}: input {name} has no preprocessing plan")
        key = (plan.model_dump_json(), index)
        if key not in self._inputs:
            source = self._sets[index]
            # Both plans at once: each file is read once, and in a full frame the specimen is found once.
            made = prepare_specimen(source, fl_plan=info.fl_plan, wl_plan=info.wl_plan)
            for kind, part, own in (("fl", made.fl, info.fl_plan), ("wl", made.wl, info.wl_plan)):
                if part is not None and own is not None:
                    self._keep(kind, part, own, index)
        return self._inputs[key]

    def _keep(self, name: str, part: Prepared, plan: FLPlan | WLPlan, index: int) -> None:
        key = (plan.model_dump_json(), index)
        if key in self._inputs:  # made for another bundle before, and recorded then
            return
        self._inputs[key] = network_input(part.image[None], plan)
        path = _image(self._sets[index], name)
        row = {"image": path.name if path is not None else "", **part.record.as_row()}
        self.preparation.setdefault(name, []).append(row)


def _image(source: SpecimenSource, name: str) -> Path | None:
    return source.fl_image if name == "fl" else source.wl_image


def threshold_note(info: BundleInfo) -> str | None:
    """Why the threshold of a bundle is not one that tuning patients chose, as a sentence; None where they did.

    The levels of an ordinal task need no threshold.
    """
    chosen_on = info.threshold.chosen_on
    if chosen_on == "tune" or (info.task.ordinal and chosen_on == "fixed"):
        return None
    return f"the threshold of {info.name} was not chosen on tuning patients ({chosen_on})"


def decide(info: BundleInfo, logit: NDArray[np.float64]) -> TaskDiagnosis:
    """Turn the logit (K,) of one specimen into an answer at the locked threshold."""
    probability = 1 / (1 + np.exp(-logit))
    names = info.task.class_names
    note = threshold_note(info)
    reasons = () if note is None else (note,)
    if info.task.ordinal:
        # Imported here: it brings SciPy, which the built-in tasks do without and which would delay every start.
        from glioscope.stats import level_probabilities

        levels = level_probabilities(probability[None])[0]
        return TaskDiagnosis(
            info.task.name,
            Decision.LEVEL,
            names[int(levels.argmax())],
            float(probability.mean()),
            None,
            info.name,
            tuple(float(v) for v in levels),
            reasons=reasons,
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
        reasons=reasons,
    )
