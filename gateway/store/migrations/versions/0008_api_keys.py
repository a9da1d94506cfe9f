"""Keys of the HTTP API."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_ID = sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def upgrade() -> None:
    op.create_table(
        "api_key",
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("prefix", sa.String(length=20), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        _text("label"),
        _text("scopes"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        _text("created_by"),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.Column("last_used_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("tenant_id", "key_id"),
    )
    op.create_index("api_key_prefix", "api_key", ["prefix"], unique=True)
