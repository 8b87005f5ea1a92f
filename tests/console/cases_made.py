"""Cases made by hand, for what is drawn and said of them: no store, no theatre."""

from datetime import UTC, datetime, timedelta
from typing import Any

from glioscope.cases import Case, CaseRecord, Entry, Specimen, SpecimenRecord

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def answer(decision: str, probability: float | None = None, word: str = "", **more: Any) -> dict[str, Any]:
    interval = None if probability is None else [max(probability - 0.12, 0.0), min(probability + 0.05, 1.0)]
    facts = {
        "decision": decision,
        "answer": word or decision,
        "y_score": probability,
        "y_probability": probability,
        "y_interval": interval,
        "threshold": 0.5,
        "reasons": [],
    }
    return {**facts, **more}


def reason(sentence: str) -> dict[str, Any]:
    return {"name": "x", "sentence": sentence, "slot": "fl", "value": None, "limit": None, "unit": ""}


TUMOUR = {"tumor": answer("positive", 0.93, "tumour")}
NON_TUMOUR = {"tumor": answer("negative", 0.08, "non-tumour")}
INDETERMINATE = {"tumor": answer("indeterminate", 0.51)}
NOT_ASSESSABLE = {"tumor": answer("not_assessable", None, reasons=[reason("the image is saturated")])}
GBM = {**TUMOUR, "grade": answer("positive", 0.71, "GBM"), "ki67": answer("negative", 0.2, "Ki-67 < 10 %")}
HIGH_KI67 = {**TUMOUR, "grade": answer("negative", 0.2, "DLGG"), "ki67": answer("positive", 0.8, "Ki-67 >= 10 %")}


def specimen(number: int, sector: int | None, tasks: dict[str, Any], *said: Any) -> Specimen:
    diagnosis = {"schema_version": 2, "error": None, "reasons": [], "tasks": tasks}
    entries = tuple(
        Entry(entry_id=f"e{number}-{i}", account="anna", at=START + timedelta(minutes=number, seconds=i + 1), said=word)
        for i, word in enumerate(said)
    )
    return Specimen(
        specimen_id=f"s{number}",
        case_id="c1",
        number=number,
        taken_at=START + timedelta(minutes=number),
        account="anna",
        record=SpecimenRecord(sector=sector, diagnosis=diagnosis),
        entries=entries,
    )


def case_of(*specimens: Specimen, **record: Any) -> Case:
    return Case(
        case_id="c1",
        data_kind="simulated",
        opened_at=START,
        opened_by="anna",
        version=1,
        record=CaseRecord(patient_id="P-1", consent=True, **record),
        specimens=specimens,
    )
