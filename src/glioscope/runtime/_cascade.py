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

        Logits are averaged over the image sets that have every image a bundle needs, as they are in training.

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
        except (GlioscopeError, OSError) as error:
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
    """One specimen's image sets, each image prepared once per preprocessing plan."""

    def __init__(self, sets: list[SpecimenSource], timings: dict[str, float]) -> None:
        self._sets = sets
        self._timings = timings
        self._inputs: dict[tuple[str, int], NDArray[np.float32]] = {}

    def logit(self, bundle: Bundle) -> NDArray[np.float64]:
        """Mean logit (K,) over the image sets."""
        started = perf_counter()
        inputs = self._prepared(bundle.info)
        self._timings["prepare"] += (perf_counter() - started) * 1000
        started = perf_counter()
        logit = bundle.run(inputs).logit
        self._timings["network"] += (perf_counter() - started) * 1000
        if not np.isfinite(logit).all():
            raise ImageError(None, f"bundle {bundle.info.name} gave no finite answer")
        mean: NDArray[np.float64] = logit.astype(np.float64).mean(0)
        return mean

    def _prepared(self, info: BundleInfo) -> dict[str, NDArray[np.float32]]:
        """Network inputs (N, 3, H, W) of the N image sets that have every image the bundle needs."""
        inputs = info.modality.inputs
        usable = [i for i, s in enumerate(self._sets) if all(_image(s, name) is not None for name in inputs)]
        if not usable:
            lacking = [name for name in inputs if all(_image(s, name) is None for s in self._sets)] or list(inputs)
            wanted = " and ".join(name.upper() for name in lacking)
            raise ImageError(None, f"no {wanted} image, which bundle {info.name} needs")
        return {name: np.concatenate([self._one(info, name, i) for i in usable]) for name in inputs}

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
            for part, own in ((made.fl, info.fl_plan), (made.wl, info.wl_plan)):
                if part is not None and own is not None:
                    self._inputs[own.model_dump_json(), index] = network_input(part.image[None], own)
        return self._inputs[key]


def _image(source: SpecimenSource, name: str) -> Path | None:
    return source.fl_image if name == "fl" else source.wl_image


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
