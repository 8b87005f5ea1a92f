"""Cases on disk: what was taken, what was said of it, its pictures, and the trail of who did what.

In: records and pictures (`CaseStore`). Out: cases as they are now, an export that `cohort` reads (contract 1),
backups. Each case is sealed under a key of its own (`_keys`); nothing is changed once it is written (`_records`); who
may do what is one table (`_roles`). No web here: next room up is `console`, and whatever else needs cases.
"""

from ._accounts import Account, Accounts, LoginLimiter, TooManyAttempts
from ._audit import AuditReport, AuditTrail
from ._backup import restore
from ._database import Database
from ._export import ExportSummary, export_cases
from ._icg import icg_remarks
from ._images import ImageFolder
from ._keys import CaseErased, CaseKey, KeyRing
from ._logins import Logins
from ._records import (
    Annotation,
    AnyEntry,
    Case,
    CaseRecord,
    CaseSummary,
    Correction,
    Entry,
    Pathology,
    Reading,
    Sector,
    Specimen,
    SpecimenRecord,
    Withdrawal,
)
from ._roles import ALLOWED, COMMAND_LINE, AccountRole, Action, Actor, NotAllowed
from ._store import CaseConflict, CaseStore, NoSuchCase

__all__ = [
    "ALLOWED",
    "COMMAND_LINE",
    "Account",
    "AccountRole",
    "Accounts",
    "Action",
    "Actor",
    "Annotation",
    "AnyEntry",
    "AuditReport",
    "AuditTrail",
    "Case",
    "CaseConflict",
    "CaseErased",
    "CaseKey",
    "CaseRecord",
    "CaseStore",
    "CaseSummary",
    "Correction",
    "Database",
    "Entry",
    "ExportSummary",
    "ImageFolder",
    "KeyRing",
    "LoginLimiter",
    "Logins",
    "NoSuchCase",
    "NotAllowed",
    "Pathology",
    "Reading",
    "Sector",
    "Specimen",
    "SpecimenRecord",
    "TooManyAttempts",
    "Withdrawal",
    "export_cases",
    "icg_remarks",
    "restore",
]
