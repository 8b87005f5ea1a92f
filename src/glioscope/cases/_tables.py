"""Tables of the case store. Times are ISO 8601 text in UTC, which sorts, and is the same in every database.

What is said of a patient is in `sealed` columns only, encrypted under the key of its case.
"""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up by itself in a column of type INTEGER only."""


class CaseRow(SQLModel, table=True):
    """An operation. `case_id` is random; `sealed` is the newest `CaseRecord`, empty after erasure."""

    __tablename__ = "cases"

    case_id: str = Field(primary_key=True)
    data_kind: str
    opened_at: str = Field(index=True)
    opened_by: str
    closed_at: str | None = None
    erased_at: str | None = None
    version: int = 1
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class SpecimenRow(SQLModel, table=True):
    """A specimen, written once. `request_id` makes a repeated request find the specimen instead of taking it twice."""

    __tablename__ = "specimens"
    __table_args__ = (UniqueConstraint("case_id", "number"),)

    specimen_id: str = Field(primary_key=True)
    case_id: str = Field(foreign_key="cases.case_id", index=True)
    number: int
    request_id: str = Field(unique=True)
    taken_at: str
    account: str
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class EntryRow(SQLModel, table=True):
    """Something said later: of a specimen, or (no `specimen_id`) an older version of the case's record. Append-only."""

    __tablename__ = "entries"

    seq: int | None = Field(default=None, sa_column=Column(_SEQUENCE, primary_key=True, autoincrement=True))
    entry_id: str = Field(unique=True)
    case_id: str = Field(foreign_key="cases.case_id", index=True)
    specimen_id: str | None = Field(default=None, foreign_key="specimens.specimen_id", index=True)
    request_id: str = Field(unique=True)
    kind: str
    at: str
    account: str
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class ImageRow(SQLModel, table=True):
    """Which picture belongs to which case; the bytes are in the image folder under `name`."""

    __tablename__ = "images"

    name: str = Field(primary_key=True)
    case_id: str = Field(foreign_key="cases.case_id", index=True)
    size: int


class AuditRow(SQLModel, table=True):
    """A link of the audit trail: pseudonyms and hashes only, never what was said. Append-only."""

    __tablename__ = "audit"

    seq: int = Field(sa_column=Column(_SEQUENCE, primary_key=True, autoincrement=False))
    at: str
    account: str
    action: str
    case_id: str = ""
    specimen_id: str = ""
    digest: str = ""
    """SHA-256 of what was sealed or stored, hex."""
    previous: str
    link: str = Field(unique=True)
    """Keyed hash over all of the above."""


class AccountRow(SQLModel, table=True):
    """Who may log in. A name is a pseudonym too: the clinic knows who "surgeon-2" is."""

    __tablename__ = "accounts"

    name: str = Field(primary_key=True)
    role: str
    password: str
    """Argon2id, in PHC string format."""
    created_at: str
    disabled_at: str | None = None


class LoginRow(SQLModel, table=True):
    """A session of an account. Only a hash of its token is kept, so that a copy of the store opens no session."""

    __tablename__ = "logins"

    token_sha256: str = Field(primary_key=True)
    account: str = Field(foreign_key="accounts.name", index=True)
    started_at: str
    seen_at: str
    ended_at: str | None = None
