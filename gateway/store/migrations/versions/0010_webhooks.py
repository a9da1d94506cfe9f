"""Endpoints of webhooks, and the log of their attempts."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_ID = sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql")


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, _ID, nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _at(name: str, nullable: bool = True) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default="0", nullable=False)


def upgrade() -> None:
    op.create_table(
        "endpoint",
        _key("tenant_id"),
        _key("endpoint_id"),
        _text("url"),
        _text("types"),
        sa.Column("secrets_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=10), server_default="ok", nullable=False),
        _text("words"),
        _at("changed_at", nullable=False),
        sa.Column("cursor", _ID, server_default="", nullable=False),
        _number("tries"),
        _at("first_tried_at"),
        _at("next_at", nullable=False),
        _text("leased_by"),
        _at("leased_until"),
        _at("created_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "endpoint_id"),
        comment="store/webhooks",
    )
    op.create_index("endpoint_next", "endpoint", ["next_at"])
    op.create_table(
        "endpoint_attempt",
        _key("tenant_id"),
        _key("endpoint_id"),
        _key("attempt_id"),
        _key("event_id"),
        _text("type"),
        _at("at", nullable=False),
        _number("milliseconds"),
        _number("code"),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        _text("words"),
        sa.PrimaryKeyConstraint("tenant_id", "endpoint_id", "attempt_id"),
        comment="store/webhooks",
    )
