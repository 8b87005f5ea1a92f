"""Readers as methods: each one, and the panel of those who read the same kind of image."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from glioscope.core import InputError
from glioscope.stats import Method

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]
ObjectArray = npt.NDArray[np.object_]
MEAN = "mean"
Truth = Mapping[str, tuple[str, float]]
"""Specimen -> (patient, label) of the test specimens that readers are judged on."""


@dataclass(frozen=True, slots=True)
class Panel:
    """All readers of one modality, and their mean over the specimens that all of them read.

    `readers` are by reader, each on the specimens read; `rated` says whether each gave a rating to every specimen,
    which an AUC needs. `mean.calls` are the shares of readers who said tumour.
    """

    modality: str
    readers: dict[str, Method]
    mean: Method
    rated: bool

    @property
    def common(self) -> dict[str, Method]:
        """Each reader on the specimens that all of them read, in one order."""
        shared = set(self.mean.specimens)
        return {name: m.take(np.array([s in shared for s in m.specimens], bool)) for name, m in self.readers.items()}


def reader_panels(readings: "pd.DataFrame", truth: Truth) -> tuple[dict[str, Panel], list[str]]:
    """Panels by modality ("fl", "wl"), and what a reader of the report must know of gaps.

    Parameters
    ----------
    readings : as `cohort.read_readings` gives it. Readings of other specimens than those of `truth` are left out.

    Raises
    ------
    InputError : a reader who is called "mean".
    """
    if MEAN in set(readings["reader"]):
        raise InputError(f"a reader is called {MEAN!r}, as the mean of all readers is; give another name")
    known = readings[readings["specimen_id"].isin(list(truth))]
    notes = _strangers(readings, truth)
    panels = {}
    for modality, rows in known.groupby("modality", sort=True):
        readers = {
            str(reader): _reader(f"Reader {reader} ({str(modality).upper()})", own, truth)
            for reader, own in rows.groupby("reader", sort=True)
        }
        shared = set.intersection(*(set(m.specimens) for m in readers.values()))
        for reader, method in readers.items():
            missing = len(truth) - method.y_true.size
            if missing:
                notes.append(
                    f"reader {reader} read {method.y_true.size} of {len(truth)} test specimens in "
                    f"{str(modality).upper()}; the {missing} others are left out of what is said of that reader"
                )
        if not shared:
            notes.append(f"no test specimen was read by all readers of {str(modality).upper()}; there is no panel")
            continue
        panels[str(modality)] = Panel(
            str(modality), readers, _mean(str(modality), readers, shared, truth), _rated(readers)
        )
    return panels, notes


def _strangers(readings: "pd.DataFrame", truth: Truth) -> list[str]:
    other = readings.loc[~readings["specimen_id"].isin(list(truth)), "specimen_id"].drop_duplicates()
    if other.empty:
        return []
    names = ", ".join(other.head(3)) + (", ..." if len(other) > 3 else "")
    return [f"{len(other)} specimens of the readings are no labelled test specimens ({names}); left out"]


def _reader(name: str, rows: "pd.DataFrame", truth: Truth) -> Method:
    rows = rows.sort_values("specimen_id", kind="stable")
    specimens = rows["specimen_id"].to_numpy(object)
    rating = rows["rating"].to_numpy(float) if "rating" in rows else np.full(len(rows), np.nan)
    return _deciding(name, specimens, truth, rows["reading"].to_numpy(float), rating)


def _mean(modality: str, readers: Mapping[str, Method], shared: set[str], truth: Truth) -> Method:
    specimens = np.array(sorted(shared), object)
    calls = [m.calls[np.array([s in shared for s in m.specimens], bool)] for m in readers.values()]
    unrated = np.full(specimens.size, np.nan)
    return _deciding(f"Reader mean ({modality.upper()})", specimens, truth, np.mean(calls, axis=0), unrated)


def _rated(readers: Mapping[str, Method]) -> bool:
    return not any(np.isnan(m.y_score).any() for m in readers.values())


def _deciding(name: str, specimens: ObjectArray, truth: Truth, calls: FloatArray, rating: FloatArray) -> Method:
    """A method of decisions; `rating` is NaN where there is none."""
    unknown = np.full(specimens.size, np.nan)
    return Method(
        name=name,
        key=specimens,
        specimens=specimens,
        patients=np.array([truth[s][0] for s in specimens], object),
        y_true=np.array([truth[s][1] for s in specimens], np.float64),
        y_score=rating,
        raw_score=rating,
        calls=calls,
        answers=np.full(specimens.size, "", object),
        y_probability=unknown,
        level=unknown,
        level_probability=np.empty((specimens.size, 0)),
        fold=np.full(specimens.size, -1, np.int64),
        scale="",
        operating=None,
        tuning=(unknown[:0], unknown[:0], np.empty(0, np.int64)),
    )
