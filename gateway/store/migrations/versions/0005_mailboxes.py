"""Tenants' IMAP mailboxes: where they are, how they fare, and how far each was read."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ID = sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _at(name: str, nullable: bool = True) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _number(name: str, kind: type = sa.Integer) -> sa.Column[int]:
    return sa.Column(name, kind(), server_default="0", nullable=False)


def upgrade() -> None:
    op.create_table(
        "mailbox",
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        _text("settings"),
        sa.Column("secret_sealed", sa.LargeBinary()),
        _number("version"),
        _text("state"),
        _text("words"),
        _at("changed_at"),
        _number("failures"),
        _at("next_poll_at", nullable=False),
        _text("leased_by"),
        _at("leased_until"),
        _at("refresh_until"),
        _at("uidvalidity"),
        _number("last_uid", sa.BigInteger),
        _number("recheck_below", sa.BigInteger),
        _at("polled_at"),
        _at("arrived_at"),
        _number("taken"),
        _number("passed"),
        _at("created_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name"),
        comment="store/mailboxes",
    )
    op.create_index("mailbox_next", "mailbox", ["next_poll_at"])
