"""One specimen on its way through the cascade: its images, what the gate found, and each prepared image once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glioscope.core import BundleInfo, Diagnosis, FLPlan, Modality, Reason, TaskDiagnosis, WLPlan
from glioscope.imaging import SpecimenImages, judge_quality, measure_quality, prepare

CONDITION_MARGIN = 0.1
"""Share of the trained range's ends by which exposure, gain, distance and scale may lie outside it."""
_CONDITIONS = {
    "fl_exposure_ms": ("exposure", "ms"),
    "fl_gain": ("gain", ""),
    "distance_mm": ("working distance", "mm"),
    "mm_per_px": ("pixel size", "mm"),
}


@dataclass(slots=True, eq=False)
class Case:
    """The image sets of one specimen and what becomes of them. Used by one thread at a time."""

    specimen_id: str
    sets: Sequence[SpecimenImages]
    files: Sequence[dict[str, str]] = ()
    """For each set: input -> name of its file; blank where the image came from a camera."""
    error: str | None = None
    measures: list[dict[str, float]] = field(default_factory=list)
    answers: dict[str, TaskDiagnosis] = field(default_factory=dict)
    found: dict[tuple[str, str], Reason] = field(default_factory=dict)
    timings_ms: dict[str, float] = field(default_factory=dict)
    _prepared: dict[tuple[FLPlan | WLPlan, int], NDArray[np.uint8]] = field(default_factory=dict)
    _records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def measure(self) -> None:
        """Let the gate measure every image set."""
        started = perf_counter()
        self.measures = [measure_quality(images) for images in self.sets]
        self.spent("gate", started)

    def usable(self, info: BundleInfo) -> tuple[list[int], list[Reason]]:
        """The image sets that a bundle can be asked about, and what is wrong with the others."""
        usable, wrong = [], dict[str, Reason]()
        for index, images in enumerate(self.sets):
            reasons = self._reasons(info, index, images)
            if not reasons:
                usable.append(index)
            for reason in reasons:
                wrong.setdefault(reason.name, reason)
        return usable, list(wrong.values())

    def image(self, plan: FLPlan | WLPlan, index: int) -> NDArray[np.uint8]:
        """The prepared image of one set, made once per plan.

        Raises
        ------
        ImageError : as `imaging.prepare`.
        """
        key = (plan, index)
        if key not in self._prepared:
            started = perf_counter()
            fl_plan = plan if isinstance(plan, FLPlan) else None
            wl_plan = plan if isinstance(plan, WLPlan) else None
            made = prepare(self.sets[index], fl_plan=fl_plan, wl_plan=wl_plan)
            part = made.fl if fl_plan is not None else made.wl
            if part is None:
                raise ValueError(f"image set {index} has no {plan.kind} image")
            self._prepared[key] = part.image
            name = self.files[index].get(plan.kind, "") if self.files else ""
            self._records.setdefault(plan.kind, []).append({"image": name, **part.record.as_row()})
            self.spent("prepare", started)
        return self._prepared[key]

    def spent(self, step: str, started: float) -> None:
        """Add the time since `started` (of `perf_counter`) to a step."""
        self.timings_ms[step] = self.timings_ms.get(step, 0.0) + (perf_counter() - started) * 1000

    def diagnosis(self, tasks: Sequence[str]) -> Diagnosis:
        """The record of everything that was found, its answers in the order of `tasks`."""
        if self.error is not None:
            return Diagnosis(self.specimen_id, error=self.error)
        names = sorted({name for measured in self.measures for name in measured})
        first = self.sets[0]
        return Diagnosis(
            self.specimen_id,
            tuple(self.answers[task] for task in tasks),
            None,
            tuple(self.found.values()),
            {name: float(np.mean([m[name] for m in self.measures if name in m])) for name in names},
            self.timings_ms,
            {name: tuple(records) for name, records in self._records.items()},
            first.box,
            first.outline,
            {name: raw.pixels for name, raw in (("fl", first.fl), ("wl", first.wl)) if raw is not None},
            first.mask,
        )

    def _reasons(self, info: BundleInfo, index: int, images: SpecimenImages) -> list[Reason]:
        """Why a bundle cannot be asked about one image set; empty if it can."""
        lacking = [name.upper() for name in info.modality.inputs if name not in images.has]
        if lacking:
            sentence = f"no {' and '.join(lacking)} image, which bundle {info.name} needs"
            return [Reason("missing_image", sentence, lacking[0].lower() if len(lacking) == 1 else "pair")]
        found = [
            *judge_quality(self.measures[index], info.quality),
            *_outside_conditions(info, images),
            *_at_border(images),
        ]
        for reason in found:
            self.found.setdefault((reason.slot, reason.name), reason)
        # A pair that does not belong together may show two specimens, whichever image is read.
        concerned = {"", "pair", *info.modality.inputs}
        return [reason for reason in found if reason.slot in concerned]


def _outside_conditions(info: BundleInfo, images: SpecimenImages) -> list[Reason]:
    """Settings that lie outside what the bundle was trained with; what is not known is not judged."""
    found = []
    for column, (low, high) in info.conditions.items():
        value = getattr(images, column, None)
        if column not in _CONDITIONS or value is None:
            continue
        allowed = (low * (1 - CONDITION_MARGIN), high * (1 + CONDITION_MARGIN))
        if not allowed[0] <= value <= allowed[1]:
            words, unit = _CONDITIONS[column]
            limit = allowed[0] if value < allowed[0] else allowed[1]
            sentence = f"{words} {value:g} {unit}".rstrip() + (
                f" is outside {low:g} to {high:g} {unit}".rstrip() + f", with which {info.name} was trained"
            )
            slot = Modality.FL.value if column.startswith("fl_") else ""
            found.append(Reason(f"{column}_untrained", sentence, slot, value, limit, unit))
    return found


def _at_border(images: SpecimenImages) -> list[Reason]:
    if not images.touching_border:
        return []
    return [Reason("at_border", "the specimen reaches the edge of the frame: move it into the middle")]
