"""Prepared images of a whole cohort in memory: every file is decoded and prepared once, whatever trains on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray

from glioscope.core import FLPlan, ImageError, Modality, PlanRecord, WLPlan
from glioscope.imaging import (
    PreparedSpecimen,
    SpecimenImages,
    SpecimenSource,
    measure_quality,
    open_specimen,
    prepare,
    specimen_signal,
    white_of_signals,
)

from ._finetune import ImageSet

WHITE_SAMPLE = 200
"""Images looked at to find the white level of a training set."""
CONDITIONS = ("fl_exposure_ms", "fl_gain", "distance_mm", "mm_per_px")
"""How an image set was taken, as far as manifest or file says."""


@dataclass(frozen=True, slots=True)
class PreparedImages:
    """Uint8 (N, C, S, S) per input, N = rows of the cohort; `present` says which rows have that image.

    `records` holds what the plan measured and decided on each image, None where there is none.
    """

    pixels: dict[str, torch.Tensor]
    present: dict[str, NDArray[np.bool_]]
    plans: dict[str, FLPlan | WLPlan]
    records: dict[str, tuple[PlanRecord | None, ...]] = field(default_factory=dict)
    conditions: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """Each of `CONDITIONS` (N,), NaN where unknown."""
    quality: tuple[dict[str, float], ...] = ()
    """What `measure_quality` found in each row's raw images, N."""

    def decisions(self) -> list[dict[str, Any]]:
        """One row an image: `image_set` (row of the cohort from 0), `input`, and the fields of `PlanRecord`."""
        return [
            {"image_set": number, "input": name, **record.as_row()}
            for name, records in self.records.items()
            for number, record in enumerate(records)
            if record is not None
        ]

    def usable(self, modality: Modality) -> NDArray[np.bool_]:
        """Rows that have every image that `modality` reads."""
        usable: NDArray[np.bool_] = np.logical_and.reduce([self.present[name] for name in modality.inputs])
        return usable

    def subset(self, modality: Modality, rows: NDArray[np.int64], targets: NDArray[np.float64]) -> ImageSet:
        """The images of these rows with their targets (N, K)."""
        index = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        return ImageSet(
            {name: self.pixels[name][index] for name in modality.inputs},
            torch.from_numpy(np.asarray(targets, dtype=np.float32)),
            {name: (self.plans[name].mean, self.plans[name].std) for name in modality.inputs},
        )


def prepare_images(
    sources: Sequence[SpecimenSource],
    *,
    fl_plan: FLPlan | None,
    wl_plan: WLPlan | None,
    n_jobs: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> PreparedImages:
    """Read, find, cut and prepare every image set.

    Raises
    ------
    ImageError : one or more images cannot be used; the first is named and the rest counted.
    """
    results = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(
        delayed(_prepare_one)(source, fl_plan, wl_plan) for source in sources
    )
    prepared: list[_Prepared] = []
    errors: list[ImageError] = []
    for number, result in enumerate(results, start=1):
        if isinstance(result, ImageError):
            errors.append(result)
        else:
            prepared.append(result)
        if progress is not None:
            progress(number, len(sources))
    if errors:
        rest = f" (and {len(errors) - 1} more unusable images)" if len(errors) > 1 else ""
        raise ImageError(errors[0].path, errors[0].reason + rest)
    return _stack(prepared, fl_plan, wl_plan)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One image set: what the networks read, and what was known of it before."""

    images: PreparedSpecimen
    conditions: dict[str, float]
    quality: dict[str, float]


def _prepare_one(source: SpecimenSource, fl_plan: FLPlan | None, wl_plan: WLPlan | None) -> _Prepared | ImageError:
    try:
        opened = open_specimen(source, want_fl=fl_plan is not None, want_wl=wl_plan is not None)
        made = prepare(opened, fl_plan=fl_plan, wl_plan=wl_plan)
        return _Prepared(made, _conditions(opened), measure_quality(opened))
    except ImageError as error:
        return error


def _conditions(images: SpecimenImages) -> dict[str, float]:
    known = {name: getattr(images, name) for name in CONDITIONS}
    return {name: np.nan if value is None else float(value) for name, value in known.items()}


def _stack(prepared: Sequence[_Prepared], fl_plan: FLPlan | None, wl_plan: WLPlan | None) -> PreparedImages:
    plans: dict[str, FLPlan | WLPlan] = {}
    if fl_plan is not None:
        plans["fl"] = fl_plan
    if wl_plan is not None:
        plans["wl"] = wl_plan
    pixels, present, records = {}, {}, {}
    for name, plan in plans.items():
        size = plan.canvas.size_px
        stack = np.zeros((len(prepared), 1 if name == "fl" else 3, size, size), np.uint8)
        has = np.zeros(len(prepared), bool)
        images = [one.images.fl if name == "fl" else one.images.wl for one in prepared]
        for row, one in enumerate(images):
            if one is not None:
                stack[row] = one.image[None] if name == "fl" else one.image.transpose(2, 0, 1)
                has[row] = True
        pixels[name], present[name] = torch.from_numpy(stack), has
        records[name] = tuple(None if one is None else one.record for one in images)
    conditions = {name: np.array([one.conditions[name] for one in prepared], np.float64) for name in CONDITIONS}
    quality = tuple(one.quality for one in prepared)
    return PreparedImages(pixels, present, plans, records, conditions, quality)


def resolve_white(plan: FLPlan, sources: Sequence[SpecimenSource], seed: int = 0) -> FLPlan:
    """Replace the white level "type" by a number that fits these (training) images as the plan itself sees them.

    It is measured on the cut specimen, after dark and flat frame and scaling to exposure and irradiance. A 16-bit
    camera uses a part of its range, so the top of the type would leave most grey levels empty. The number is rounded
    up to two digits: nearby training sets then share it, and prepared images can be reused between folds.
    """
    if plan.normalisation.white != "type":
        return plan
    with_fl = [s for s in sources if s.fl_image is not None]
    if not with_fl:
        return plan
    chosen = np.random.default_rng(seed).permutation(len(with_fl))[:WHITE_SAMPLE]
    white = white_of_signals(specimen_signal(with_fl[i], plan) for i in sorted(chosen))
    step = 10 ** max(0, int(np.floor(np.log10(white))) - 1)
    rounded = float(np.ceil(white / step) * step)
    return plan.model_copy(update={"normalisation": plan.normalisation.model_copy(update={"white": rounded})})
