"""Mail of mailboxes that is kept, and not judged yet."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_ID = sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "spool",
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("message_id", _ID, nullable=False),
        sa.Column("mailbox", sa.String(length=60), nullable=False),
        sa.Column("uid", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.Integer(), server_default="0", nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("booked_by", sa.Text(), server_default="", nullable=False),
        sa.Column("came_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "message_id"),
        comment="store/spool",
    )
    op.create_index("spool_turn", "spool", ["turn"])
