"""The search index of the inbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ID = sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _number(name: str, kind: type = sa.Integer) -> sa.Column[int]:
    return sa.Column(name, kind(), server_default="0", nullable=False)


def upgrade() -> None:
    op.create_table(
        "search_thread",
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("thread_id", _ID, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        _number("version"),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.LargeBinary().with_variant(TSVECTOR, "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "thread_id"),
        comment="store/search_index",
    )
    op.create_index("search_thread_seq", "search_thread", ["tenant_id", "seq"], unique=True)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE INDEX search_thread_words ON search_thread USING gin (words) WITH (gin_pending_list_limit = 256)"
        )
    else:
        op.get_bind().exec_driver_sql(
            "CREATE VIRTUAL TABLE search_words USING fts5(words, content='', columnsize=0, detail=full,"
            " tokenize=\"ascii tokenchars '=:_'\")"
        )
    op.create_table(
        "search_progress",
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("part", sa.String(length=10), nullable=False),
        _text("cursor"),
        _number("seq", sa.BigInteger),
        sa.Column("state", sa.String(length=10), server_default="", nullable=False),
        _text("position"),
        _number("total"),
        _number("done"),
        _text("leased_by"),
        sa.Column("leased_until", sa.BigInteger()),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "part"),
        comment="store/search_progress",
    )
    op.create_table(
        "saved_search",
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("search_id", _ID, nullable=False),
        sa.Column("user_id", _ID, server_default="", nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        _text("query"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "search_id"),
        comment="store/saved_searches",
    )
    op.create_index("saved_search_name", "saved_search", ["tenant_id", "user_id", "name"], unique=True)
