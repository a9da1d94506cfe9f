"""Customers with their contacts, reminders, assets of a tenant (its logo), files that were too large to attach."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql")


def _key(name: str = "tenant_id") -> sa.Column[str]:
    return sa.Column(name, _ID, nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _at(name: str, nullable: bool = True) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def upgrade() -> None:
    op.add_column("tenant", _text("options"))
    op.add_column("document", _text("customer_key"))
    op.create_index("document_customer", "document", ["tenant_id", "customer_key"])
    op.create_index("document_due", "document", ["tenant_id", "type", "due_date", "document_id"])
    _customers()
    _reminders()
    op.create_table(
        "asset",
        _key(),
        sa.Column("name", sa.String(length=50), nullable=False),
        _text("content_type"),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        _at("created_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name"),
        comment="store/assets",
    )
    op.create_table(
        "shared_file",
        _key(),
        sa.Column("token", sa.String(length=64), nullable=False),
        _key("message_id"),
        _key("thread_id"),
        _text("filename"),
        _text("content_type"),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        _at("created_at", nullable=False),
        _at("expires_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "token"),
        comment="store/shared_files",
    )
    op.create_index("shared_file_token", "shared_file", ["token"], unique=True)


def _customers() -> None:
    op.create_table(
        "customer",
        _key(),
        sa.Column("customer_key", sa.String(length=200), nullable=False),
        _text("name"),
        _text("language"),
        _at("opted_out_at"),
        _text("opted_out_why"),
        _at("created_at", nullable=False),
        _at("updated_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "customer_key"),
        comment="store/customers",
    )
    op.create_table(
        "contact",
        _key(),
        sa.Column("customer_key", sa.String(length=200), nullable=False),
        sa.Column("address", sa.String(length=320), nullable=False),
        _text("email"),
        _text("name"),
        sa.Column("role", sa.String(length=10), server_default="to", nullable=False),
        _text("language"),
        sa.Column("source", sa.String(length=10), server_default="document", nullable=False),
        _at("created_at", nullable=False),
        _at("updated_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "customer_key", "address"),
        comment="store/customers",
    )
    op.create_index("contact_address", "contact", ["tenant_id", "address"])


def _reminders() -> None:
    op.create_table(
        "reminder",
        _key(),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("document_id", sa.String(length=191), nullable=False),
        _text("sent"),
        _text("promised_on"),
        _at("paused_at"),
        _text("paused_why"),
        _at("updated_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "type", "document_id"),
        comment="store/reminders",
    )
    op.create_table(
        "reminder_run",
        _key(),
        _text("day"),
        _at("ended_at"),
        sa.PrimaryKeyConstraint("tenant_id"),
        comment="store/reminders",
    )
