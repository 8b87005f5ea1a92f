"""A case store with simulated cases, as theatre would have filled it."""

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from glioscope.cases._records import Case, CaseRecord, Pathology, Reading, Specimen, SpecimenRecord
from glioscope.cases._roles import AccountRole, Actor
from glioscope.cases._store import CaseStore

OPERATOR = Actor("operator", AccountRole.OPERATOR)
SURGEON = Actor("surgeon", AccountRole.SURGEON)
ADMINISTRATOR = Actor("administrator", AccountRole.ADMINISTRATOR)
PATHOLOGISTS = tuple(Actor(f"pathologist-{k}", AccountRole.PATHOLOGIST) for k in (1, 2))
OPENED = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
SUITE_SHA256 = "5f" * 32
_requests = itertools.count()


def request_id() -> str:
    return f"request-{next(_requests)}"


def make_store(folder: Path) -> CaseStore:
    """A new store whose clock goes a minute forward with every look."""
    minutes = itertools.count()
    return CaseStore.open(folder, create=True, clock=lambda: OPENED + timedelta(minutes=next(minutes)))


def begin(store: CaseStore, patient_id: str = "P-07", *, data_kind: Any = "simulated", **facts: Any) -> Case:
    settings = {"fl": {"backend": "simulated", "frames_per_second": 25}, "laser": {"setpoint_mw_cm2": 50.0}}
    known = {
        "consent": True,
        "icg_mg_per_kg": 1.0,
        "icg_given_at": OPENED - timedelta(hours=48),
        "unit": "bench 2",
        "unit_settings": settings,
        "suite": "suite",
        "suite_sha256": SUITE_SHA256,
        "software": "glioscope 0.5",
    }
    record = CaseRecord(patient_id=patient_id, **(known | facts))
    return store.open_case(OPERATOR, record, data_kind=data_kind, request_id=request_id())


def answer(score: float | None, decision: str = "", **facts: Any) -> dict[str, Any]:
    """One task of contract 6."""
    said = decision or ("positive" if score is not None and score >= 0.5 else "negative")
    known = {
        "decision": said,
        "answer": said,
        "y_score": score,
        "y_probability": score,
        "y_interval": None if score is None else [max(0.0, score - 0.1), min(1.0, score + 0.08)],
        "threshold": 0.5,
        "band": None,
        "bundle": "tumor-fl",
        "level_probabilities": [],
        "envelope": None,
        "reasons": [],
        "heatmap": None,
    }
    return known | facts


def diagnosis(tasks: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    first = next(iter(tasks.values()))["decision"] if tasks else "not_assessable"
    return {"schema_version": 2, "decision": first, "error": None, "reasons": [], "tasks": dict(tasks)}


def pictures(seed: int) -> dict[str, bytes]:
    """A bright blob in 16 bits, and a pinkish one in colour, as PNG."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:64, 0:80]
    blob = np.exp(-((x - 40) ** 2 + (y - 32) ** 2) / 300)
    fl = (800 + (2000 + 6000 * rng.random()) * blob + rng.normal(0, 30, blob.shape)).astype(np.uint16)
    wl = np.stack([40 + 120 * blob, 30 + 60 * blob, 60 + 150 * blob], axis=2) + rng.normal(0, 4, (64, 80, 3))
    return {"fl": _png(fl), "wl": _png(np.clip(wl, 0, 255).astype(np.uint8))}


def take(
    store: CaseStore,
    case: Case,
    score: float | None = 0.9,
    *,
    sector: int | None = 1,
    images: Mapping[str, bytes] | None = None,
    tasks: Mapping[str, dict[str, Any]] | None = None,
    **facts: Any,
) -> Specimen:
    known = {
        "mm_per_px": 0.1,
        "fl_exposure_ms": 100.0,
        "fl_gain": 1.0,
        "distance_mm": 300.0,
        "irradiance_mw_cm2": 50.0,
        "suite_sha256": SUITE_SHA256,
    }
    said = {"tumor": answer(score)} if tasks is None else tasks
    record = SpecimenRecord(sector=sector, diagnosis=diagnosis(said), **(known | facts))
    shown = pictures(next(_requests)) if images is None else images
    return store.add_specimen(SURGEON, case.case_id, record, images=shown, request_id=request_id())


def say(store: CaseStore, actor: Actor, specimen: Specimen, said: Any) -> Specimen:
    return store.add_entry(actor, specimen.specimen_id, said, request_id=request_id())


def pathology(store: CaseStore, specimen: Specimen, word: str = "tumor", who: int = 0, **facts: Any) -> Specimen:
    """An opinion; or, with `consensus`, what all agreed upon."""
    name = "consensus" if facts.get("consensus") else PATHOLOGISTS[who].account
    return say(store, PATHOLOGISTS[who], specimen, Pathology(pathologist=name, pathology=word, **facts))


def read_blind(store: CaseStore, specimen: Specimen, reading: Any, **facts: Any) -> Specimen:
    return say(store, SURGEON, specimen, Reading(reader=SURGEON.account, reading=reading, **facts))


def _png(pixels: Any) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])
