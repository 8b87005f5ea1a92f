"""Cases, specimens, entries, images, audit trail, accounts and logins."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make all tables."""
    _case_tables()
    _account_tables()


def _case_tables() -> None:
    op.create_table(
        "cases",
        sa.Column("case_id", sa.String, primary_key=True),
        sa.Column("data_kind", sa.String, nullable=False),
        sa.Column("opened_at", sa.String, nullable=False, index=True),
        sa.Column("opened_by", sa.String, nullable=False),
        sa.Column("closed_at", sa.String),
        sa.Column("erased_at", sa.String),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "specimens",
        sa.Column("specimen_id", sa.String, primary_key=True),
        sa.Column("case_id", sa.String, sa.ForeignKey("cases.case_id"), nullable=False, index=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("request_id", sa.String, nullable=False, unique=True),
        sa.Column("taken_at", sa.String, nullable=False),
        sa.Column("account", sa.String, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("case_id", "number"),
    )
    op.create_table(
        "entries",
        sa.Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("entry_id", sa.String, nullable=False, unique=True),
        sa.Column("case_id", sa.String, sa.ForeignKey("cases.case_id"), nullable=False, index=True),
        sa.Column("specimen_id", sa.String, sa.ForeignKey("specimens.specimen_id"), index=True),
        sa.Column("request_id", sa.String, nullable=False, unique=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("account", sa.String, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "images",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("case_id", sa.String, sa.ForeignKey("cases.case_id"), nullable=False, index=True),
        sa.Column("size", sa.Integer, nullable=False),
    )


def _account_tables() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", _SEQUENCE, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("account", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("case_id", sa.String, nullable=False),
        sa.Column("specimen_id", sa.String, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("previous", sa.String, nullable=False),
        sa.Column("link", sa.String, nullable=False, unique=True),
    )
    op.create_table(
        "accounts",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("password", sa.String, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("disabled_at", sa.String),
    )
    op.create_table(
        "logins",
        sa.Column("token_sha256", sa.String, primary_key=True),
        sa.Column("account", sa.String, sa.ForeignKey("accounts.name"), nullable=False, index=True),
        sa.Column("started_at", sa.String, nullable=False),
        sa.Column("seen_at", sa.String, nullable=False),
        sa.Column("ended_at", sa.String),
    )
