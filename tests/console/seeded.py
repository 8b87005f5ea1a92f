"""Cases of earlier patients, from a simulated cohort, as if they had been taken here: with pictures and pathology."""

from datetime import UTC, datetime
from pathlib import Path

import cv2
import pandas as pd

from glioscope.cases import AccountRole, Actor, CaseRecord, CaseStore, Pathology, SpecimenRecord
from glioscope.cohort import load_manifest
from glioscope.imaging import read_fl, read_wl

OPERATOR = Actor("operator", AccountRole.OPERATOR)
PATHOLOGIST = Actor("pathologist", AccountRole.PATHOLOGIST)


def seed_cases(store: CaseStore, manifest: Path) -> list[str]:
    """One closed case a patient of the manifest; their ids."""
    cohort = load_manifest(manifest)
    return [_seed_case(store, patient, rows, manifest.parent) for patient, rows in cohort.table.groupby("patient_id")]


def _seed_case(store: CaseStore, patient: str, rows: pd.DataFrame, folder: Path) -> str:
    record = CaseRecord(
        patient_id=patient,
        consent=True,
        icg_mg_per_kg=1.0,
        icg_given_at=datetime(2026, 1, 1, tzinfo=UTC),
        who_edition="2016",
    )
    case = store.open_case(OPERATOR, record, data_kind="simulated", request_id=f"seed-{patient}")
    for row in rows.itertuples():
        said = SpecimenRecord(
            sector=int(row.sector) if pd.notna(row.sector) else None,
            diagnosis={"schema_version": 2, "decision": "not_assessable", "tasks": {}, "reasons": [], "error": None},
            mm_per_px=float(row.mm_per_px),
            fl_exposure_ms=float(row.fl_exposure_ms),
        )
        images = {
            "fl": _png(read_fl(folder / row.fl_image).pixels),
            "wl": _png(read_wl(folder / row.wl_image).pixels[..., ::-1]),
        }
        specimen = store.add_specimen(OPERATOR, case.case_id, said, images=images, request_id=f"seed-{row.specimen_id}")
        truth = Pathology(pathologist="pathologist", pathology=row.pathology)
        store.add_entry(PATHOLOGIST, specimen.specimen_id, truth, request_id=f"truth-{row.specimen_id}")
    store.close_case(OPERATOR, case.case_id)
    return case.case_id


def _png(pixels: object) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])  # type: ignore[call-overload]
