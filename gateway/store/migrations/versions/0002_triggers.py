"""Triggers: the history of documents, their one automatic message, template switches, idempotency keys."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("document", sa.Column("automatic_id", _ID, server_default="", nullable=False))
    op.create_table(
        "document_revision",
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("document_id", sa.String(length=191), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "type", "document_id", "sha256"),
        comment="store/documents",
    )
    op.create_table(
        "template_setting",
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("data", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "key", "language"),
        comment="store/template_settings",
    )
    op.create_table(
        "idempotency",
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("key", sa.String(length=256), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("message_id", _ID, nullable=False),
        sa.Column("thread_id", _ID, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "key"),
        comment="store/idempotency",
    )
