"""Rows of the tables that an export consists of: contracts 1 and 3, from what a case says."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ._records import Case, Entry, Pathology, Reading, Specimen

MANIFEST_COLUMNS: Final = (
    *("patient_id", "specimen_id", "case_id", "fl_image", "wl_image", "framing", "mm_per_px", "fl_exposure_ms"),
    *("fl_gain", "distance_mm", "irradiance_mw_cm2", "device_id", "acquired_at", "sector", "sample_index"),
    *("pathology", "who_grade", "who_edition", "diagnosis", "ki67_percent", "idh", "codel_1p19q", "data_kind"),
)
PATHOLOGY_COLUMNS: Final = (
    *("specimen_id", "pathologist", "pathology", "who_grade", "consensus"),
    *("ki67_percent", "ki67_positive", "ki67_counted"),
)
READING_COLUMNS: Final = ("reader", "specimen_id", "modality", "reading", "rating", "read_order")
PREDICTION_COLUMNS: Final = (
    *("patient_id", "specimen_id", "task", "model", "split", "y_true", "y_score", "y_probability", "decision", "level"),
)
Row = dict[str, Any]
"""Column -> cell; None is blank."""
_PERCENT_TOLERANCE: Final = 1.0
"""By how many percentage points a percentage, written rounded, may differ from its own counts."""


def manifest_row(case: Case, specimen: Specimen, images: Mapping[str, str]) -> Row:
    """A row of the manifest; labels are blank where pathology is not known (yet).

    Parameters
    ----------
    images : slot ("fl", "wl") -> path within the export.
    """
    record = specimen.record
    names = ("mm_per_px", "fl_exposure_ms", "fl_gain", "distance_mm", "irradiance_mw_cm2")
    return {
        "patient_id": case.record.patient_id,
        "specimen_id": specimen.specimen_id,
        "case_id": case.case_id,
        "fl_image": images.get("fl"),
        "wl_image": images.get("wl"),
        "framing": record.framing,
        **{name: _positive(getattr(record, name)) for name in names},
        "device_id": case.record.unit,
        "acquired_at": specimen.taken_at.isoformat(),
        "sector": specimen.sector,
        "sample_index": specimen.number,
        **_labels(case, specimen.truth),
        "data_kind": case.data_kind,
    }


def _labels(case: Case, truth: Pathology | None) -> Row:
    if truth is None:
        return {}
    tumour = truth.pathology == "tumor"
    return {
        "pathology": truth.pathology,
        "who_grade": truth.who_grade,
        "who_edition": case.record.who_edition,
        "diagnosis": truth.diagnosis,
        "ki67_percent": _percent(truth) if tumour else None,
        "idh": truth.idh,
        "codel_1p19q": truth.codel_1p19q,
    }


def _percent(word: Pathology) -> float | None:
    """As it was written, else from the nuclei that were counted."""
    if word.ki67_percent is not None or word.ki67_positive is None or word.ki67_counted is None:
        return word.ki67_percent
    return round(100 * word.ki67_positive / word.ki67_counted, 2)


def pathology_rows(specimen: Specimen) -> Iterator[Row]:
    """A row for each pathologist; the grade agreed upon stands in all of them.

    Where the consensus is all there is, it gets one row under the name "consensus", with no grade of its own.
    """
    truth = specimen.truth
    agreed = truth.who_grade if truth is not None and truth.consensus else None
    for word in specimen.opinions:
        tumour = word.pathology == "tumor"
        yield {
            "specimen_id": specimen.specimen_id,
            "pathologist": word.pathologist,
            "pathology": word.pathology,
            "who_grade": word.who_grade,
            "consensus": agreed,
            "ki67_percent": _percent(word) if tumour else None,
            **(_counts(word) if tumour else {}),
        }
    if agreed is not None and not specimen.opinions:
        yield {"specimen_id": specimen.specimen_id, "pathologist": "consensus", "consensus": agreed}


def counts_contradict(word: Pathology) -> bool:
    """Whether the percentage is not that of its own counts."""
    if word.ki67_percent is None or word.ki67_positive is None or word.ki67_counted is None:
        return False
    return abs(word.ki67_percent - 100 * word.ki67_positive / word.ki67_counted) > _PERCENT_TOLERANCE


def _counts(word: Pathology) -> Row:
    """Both counts, where both are known and agree with the percentage."""
    if word.ki67_positive is None or word.ki67_counted is None or counts_contradict(word):
        return {}
    return {"ki67_positive": word.ki67_positive, "ki67_counted": word.ki67_counted}


def blind_readings(specimen: Specimen) -> Iterator[Entry]:
    """The first reading that each reader gave in each modality, of those before the answer."""
    seen = set()
    for entry in specimen.entries:
        said = entry.said
        if isinstance(said, Reading) and said.before_answer and (said.reader, said.modality) not in seen:
            seen.add((said.reader, said.modality))
            yield entry


def reading_rows(readings: list[tuple[str, Entry]]) -> Iterator[Row]:
    """Rows of (specimen_id, entry), numbered for each reader in the order in which they were given."""
    orders: dict[str, int] = {}
    for specimen_id, entry in sorted(readings, key=lambda pair: pair[1].at):
        said = entry.said
        if isinstance(said, Reading):
            orders[said.reader] = orders.get(said.reader, 0) + 1
            yield {
                "reader": said.reader,
                "specimen_id": specimen_id,
                "modality": said.modality,
                "reading": said.reading,
                "rating": said.rating,
                "read_order": orders[said.reader],
            }


def prediction_rows(case: Case, specimen: Specimen, labels: Mapping[tuple[str, str], float]) -> Iterator[Row]:
    """What theatre said: a row for each task that has a score.

    Parameters
    ----------
    labels : (specimen_id, task) -> `y_true`.
    """
    for task, answer in specimen.answers.items():
        if answer.get("y_score") is None:
            continue
        levels = answer.get("level_probabilities") or []
        decision = answer["decision"]
        yield {
            "patient_id": case.record.patient_id,
            "specimen_id": specimen.specimen_id,
            "task": task,
            "model": _model(case, specimen),
            "split": "test",
            "y_true": None if levels else labels.get((specimen.specimen_id, task)),
            "y_score": answer["y_score"],
            "y_probability": answer.get("y_probability"),
            "decision": None if decision == "level" else decision,
            "level": levels.index(max(levels)) if levels else None,
        }


def _model(case: Case, specimen: Specimen) -> str:
    """The suite that answered: its name, and enough of its hash to tell two of the same name apart."""
    sha = specimen.record.suite_sha256 or case.record.suite_sha256
    return "-".join(part for part in (case.record.suite or "suite", sha[:8]) if part)


def _positive(value: float | None) -> float | None:
    """Not measured is blank, never 0: a laser that was off has no irradiance to correct for."""
    return value if value is not None and value > 0 else None
