"""What is odd about the indocyanine green (ICG) of a case: one rule for the console and the case report."""

from datetime import datetime
from typing import Final

from ._records import CaseRecord

EXPECTED_MG_PER_KG: Final = 1.0
EXPECTED_HOURS: Final = 48.0
"""Shen et al. 2021: 1 mg/kg given 48 h before the operation (second-window ICG)."""
_DOSE_RANGE: Final = (0.8, 1.2)
_HOURS_RANGE: Final = (36.0, 60.0)


def icg_remarks(record: CaseRecord, opened_at: datetime) -> list[str]:
    """Sentences for whoever has to look again; empty where dose and time are as the method wants them.

    Remarks only: a case with another dose is still a case. Dose within 0.8 to 1.2 mg/kg and 36 to 60 h before the case
    was opened are as expected.

    Parameters
    ----------
    record : dose in mg per kg body weight, and when it was given.
    opened_at : when the case was opened, with its time zone.
    """
    return [*_of_dose(record.icg_mg_per_kg), *_of_time(record.icg_given_at, opened_at)]


def _of_dose(dose: float | None) -> list[str]:
    if dose is None:
        return [f"the ICG dose is not recorded; {EXPECTED_MG_PER_KG:g} mg/kg is expected"]
    low, high = _DOSE_RANGE
    if not low <= dose <= high:
        return [f"the ICG dose is {dose:g} mg/kg; {EXPECTED_MG_PER_KG:g} mg/kg is expected ({low:g} to {high:g})"]
    return []


def _of_time(given_at: datetime | None, opened_at: datetime) -> list[str]:
    if given_at is None:
        return [f"the time at which ICG was given is not recorded; {EXPECTED_HOURS:g} h before is expected"]
    hours = (opened_at - given_at).total_seconds() / 3600
    if hours < 0:
        return [f"ICG is recorded as given {-hours:.1f} h after the case was opened"]
    low, high = _HOURS_RANGE
    if not low <= hours <= high:
        return [
            f"ICG was given {hours:.1f} h before the case was opened; {EXPECTED_HOURS:g} h is expected"
            f" ({low:g} to {high:g})"
        ]
    return []
