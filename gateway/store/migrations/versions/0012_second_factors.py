"""A second step at the login, and what a session knows of its browser."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_ID = sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql")


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, _ID, nullable=False)


def upgrade() -> None:
    op.add_column("session", sa.Column("seen_at", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("session", sa.Column("second", sa.Integer(), server_default="0", nullable=False))
    op.add_column("session", sa.Column("address", sa.Text(), server_default="", nullable=False))
    op.add_column("session", sa.Column("browser", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "second_factor",
        _key("tenant_id"),
        _key("user_id"),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger()),
        sa.Column("last_step", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id"),
        comment="store/second_factors",
    )
    op.create_table(
        "recovery_code",
        _key("tenant_id"),
        _key("user_id"),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "code_hash"),
        comment="store/second_factors",
    )
