"""The quality gate: measures of one specimen's raw images, limits from training images, reasons to refuse."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from glioscope.core import InputError, QualityLimits, Reason

from ._gate_checks import CHECKS, ROOT_CAUSES, Check
from ._gate_pixels import measure_fl, measure_pair, measure_wl
from ._specimen import SpecimenImages

MIN_FIT = 20
"""With fewer training images that have a measure, its limits stay at their defaults."""


def measure_quality(images: SpecimenImages) -> dict[str, float]:
    """What can be measured of the raw pixels of one specimen's images, cut.

    With `images.mask` the specimen is where the mask says; images that came cut are searched for what stands out.
    Deterministic; about a millisecond for a pair of 110 x 100 px.

    Returns
    -------
    Name -> value, for the images that are there; names and meanings are those of `QualityLimits`.
    """
    mask = None if images.mask is None else images.mask.astype(np.uint8) * np.uint8(255)
    fl = None if images.fl is None else measure_fl(images.fl, mask)
    wl = None if images.wl is None else measure_wl(images.wl, mask)
    measures = {**(fl.measures if fl else {}), **(wl.measures if wl else {})}
    if fl and wl and fl.smooth.shape == wl.smooth.shape:
        measures |= measure_pair(fl, wl)
    return measures


def judge_quality(measures: Mapping[str, float], limits: QualityLimits) -> tuple[Reason, ...]:
    """Why the images should not be assessed; empty where nothing is wrong.

    A wrong slot or bit range explains whatever else is wrong with that image, so the rest is then not listed.

    Parameters
    ----------
    measures : as `measure_quality` gives them; what is absent is not judged.
    limits : of the bundle that is to answer, or the lenient defaults.
    """
    broken = {check.limit_name for check in CHECKS if _broken(check, measures, limits)}
    found: dict[str, Reason] = {}
    for check in CHECKS:
        if check.limit_name in broken and not broken.intersection(check.needs):
            value, limit = measures[check.measure], getattr(limits, check.limit_name)
            found.setdefault(check.reason, _reason(check, value, limit))
    explained = {found[name].slot for name in ROOT_CAUSES if name in found}
    if "pair" in explained:
        explained |= {"fl", "wl"}
    return tuple(reason for name, reason in found.items() if name in ROOT_CAUSES or reason.slot not in explained)


def fit_quality_limits(measures: Sequence[Mapping[str, float]]) -> QualityLimits:
    """Limits for images like these: what is far beyond all of them is refused.

    Saturation, byte order, grey white light and equal pictures keep their absolute limits. Each of the others is set
    beyond a low or high quantile of the training images, by a multiple of the quantile's distance from the median.

    Parameters
    ----------
    measures : of the training images, one mapping a specimen; under `MIN_FIT` nothing is fitted, and 60 or more of
        six or more patients are wanted: what differs between patients must be in them.

    Raises
    ------
    InputError : no measures at all, or one that is not finite.
    """
    if not measures:
        raise InputError("quality limits need the measures of at least one training image, got 0")
    fitted: dict[str, float] = {}
    for check in CHECKS:
        values = np.array([each[check.measure] for each in measures if check.measure in each])
        if not np.isfinite(values).all():
            raise InputError(f"quality measure {check.measure} of a training image is not finite")
        if check.quantile is not None and values.size >= MIN_FIT:
            fitted[check.limit_name] = _fitted(check, values)
    return QualityLimits(**fitted)


def _broken(check: Check, measures: Mapping[str, float], limits: QualityLimits) -> bool:
    value, limit = measures.get(check.measure), getattr(limits, check.limit_name)
    return value is not None and limit is not None and check.beyond(value, limit)


def _fitted(check: Check, values: NDArray[np.float64]) -> float:
    scaled = np.log(np.maximum(values, 1e-6)) if check.logarithmic else values
    share = check.quantile or 0.0
    edge, middle = np.quantile(scaled, (share if check.bound == "min" else 1 - share, 0.5))
    away = max(check.margin * abs(edge - middle), check.least)
    limit = edge - away if check.bound == "min" else edge + away
    limit = float(np.exp(limit)) if check.logarithmic else float(limit)
    default = QualityLimits.model_fields[check.limit_name].default
    stricter = max if check.bound == "min" else min
    return float(f"{limit if default is None else stricter(limit, default):.4g}")


def _reason(check: Check, value: float, limit: float) -> Reason:
    value, limit = value * check.factor, limit * check.factor
    sentence = check.sentence.format(value=value, limit=limit)
    return Reason(check.reason, sentence, check.reason.partition("_")[0], value, limit, check.unit)
