"""Trials that were begun on a page: what was found, step by step."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ID = sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "trial",
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("name", sa.String(length=330), nullable=False),
        sa.Column("started_by", sa.Text(), server_default="", nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("steps", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name"),
        comment="store/trials",
    )
