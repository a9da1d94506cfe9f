"""The delivery engine: routes of tenants, TLS policies and results, usage, findings about domains, unclear outcomes."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ID = sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql")


def _key(name: str, length: int = 0) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length) if length else _ID, nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _at(name: str, nullable: bool = True) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default="0", nullable=False)


def upgrade() -> None:
    for table, columns in (
        ("domain", (_at("checked_at"), _text("findings"))),
        ("signing_key", (_at("changed_at"),)),
        ("delivery", (_number("unclear"), _at("late_at"))),
        ("attempt", (_text("route"), _text("policy"))),
        (
            "suppression",
            (sa.Column("source", sa.String(length=10), server_default="bounce", nullable=False), _at("expires_at")),
        ),
    ):
        for column in columns:
            op.add_column(table, column)
    for index, name, rows in (
        ("delivery_held", "next_attempt_at", "state = 'queued' AND hold <> ''"),
        ("delivery_booked", "booked_by", "booked_by <> ''"),
    ):
        where = sa.text(rows)
        op.create_index(index, "delivery", ["tenant_id", name], sqlite_where=where, postgresql_where=where)
    _routes()
    _tls()
    op.create_table(
        "usage",
        _key("tenant_id"),
        _key("credential", 100),
        _at("hour", nullable=False),
        _number("messages"),
        _number("recipients"),
        sa.PrimaryKeyConstraint("tenant_id", "credential", "hour"),
        comment="store/usage",
    )


def _routes() -> None:
    op.create_table(
        "route",
        _key("tenant_id"),
        _key("name", 20),
        _text("settings"),
        sa.Column("secret_sealed", sa.LargeBinary()),
        _text("state"),
        _text("words"),
        _at("changed_at"),
        _at("tested_at"),
        _at("refresh_until"),
        _at("created_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name"),
        comment="store/routes",
    )
    op.create_table(
        "consent",
        _key("tenant_id"),
        _key("state", 64),
        sa.Column("flow_sealed", sa.LargeBinary(), nullable=False),
        _at("expires_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "state"),
        comment="store/routes",
    )
    op.create_index("consent_state", "consent", ["state"], unique=True)


def _tls() -> None:
    op.create_table(
        "tls_policy",
        _key("tenant_id"),
        _key("domain", 253),
        _text("version"),
        _text("policy"),
        _at("fetched_at", nullable=False),
        _at("expires_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "domain"),
        comment="store/tls_policies",
    )
    op.create_table(
        "tls_result",
        _key("tenant_id"),
        _key("day", 10),
        _key("domain", 253),
        _key("policy", 10),
        _key("host", 253),
        _key("result", 40),
        _number("sessions"),
        _text("words"),
        sa.PrimaryKeyConstraint("tenant_id", "day", "domain", "policy", "host", "result"),
        comment="store/tls_results",
    )
