"""What serving processes tell of themselves, what a day's mail was like; unreadable mail is found fast."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_ID = sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql")


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default="0", nullable=False)


def upgrade() -> None:
    op.create_table(
        "node",
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("report", sa.Text(), server_default="", nullable=False),
        sa.Column("asked", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name"),
        comment="store/nodes",
    )
    op.create_table(
        "measure",
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("slot", sa.BigInteger(), nullable=False),
        *(_number(name) for name in ("accepted", "relayed", "failed", "half", "most")),
        sa.Column("queued", sa.Integer()),
        sa.PrimaryKeyConstraint("tenant_id", "slot"),
        comment="store/measures",
    )
    op.create_index("measure_slot", "measure", ["slot"])
    where = sa.text("kind = 'unreadable'")
    op.create_index("message_unreadable", "message", ["message_id"], sqlite_where=where, postgresql_where=where)
