"""The inbox: where threads stand, clerks, notes, tags, canned answers, drafts, presence, what can be undone."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_ID = sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql")
# what has a lane of its own while it is open: bounces (the vocabulary of reasons at this revision) and people's mail
_BOUNCED = (
    "auth_failed blocked content_error domain_unknown expired greylisted ip_blocked mailbox_disabled mailbox_full "
    "mailbox_unknown policy_rejected rate_limited relay_failed spam_rejected too_large unknown unreachable unclear"
).split()
_REPLIES = ("reply", "challenge", "complaint")


def _key(name: str, length: int = 0) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length) if length else _ID, nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _at(name: str, nullable: bool = True) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def upgrade() -> None:
    op.add_column("thread", sa.Column("lane", sa.String(length=10), server_default="sent", nullable=False))
    op.add_column("thread", sa.Column("assignee", _ID, server_default="", nullable=False))
    op.add_column("thread", _at("snoozed_until"))
    op.add_column("thread", _text("promised_on"))
    op.add_column("thread", _text("promised_amount"))
    _fill()
    op.drop_index("thread_last", "thread")
    op.create_index("thread_lane", "thread", ["tenant_id", "lane", "last_at"])
    for name, columns, rows in (
        ("assignee", ["tenant_id", "assignee", "last_at"], "state = 'open'"),
        ("snoozed", ["tenant_id", "snoozed_until"], "snoozed_until IS NOT NULL"),
        ("promised", ["tenant_id", "promised_on"], "promised_on <> ''"),
    ):
        where = sa.text(rows)
        op.create_index(f"thread_{name}", "thread", columns, sqlite_where=where, postgresql_where=where)
    _of_threads()
    _of_people()


def _fill() -> None:
    """What threads say already: their lanes, and the promises that are noted."""
    thread = sa.table("thread", *(sa.column(name) for name in ("tenant_id", "state", "chip", "lane", "document_type",
                                                               "document_id", "promised_on")))  # fmt: skip
    opened = thread.c.state == "open"
    lanes = ((thread.c.chip.in_(_BOUNCED), "bounced"), (thread.c.chip.in_(_REPLIES), "replies"))
    op.execute(sa.update(thread).where(opened).values(lane=sa.case(*lanes, else_="problems")))
    reminder = sa.table("reminder", *(sa.column(name) for name in ("tenant_id", "type", "document_id", "promised_on")))
    same = (reminder.c.tenant_id == thread.c.tenant_id) & (reminder.c.type == thread.c.document_type)
    same &= (reminder.c.document_id == thread.c.document_id) & (reminder.c.promised_on != "")
    promised = sa.select(reminder.c.promised_on).where(same).scalar_subquery()
    op.execute(sa.update(thread).where(sa.exists().where(same)).values(promised_on=promised))


def _of_threads() -> None:
    op.create_table(
        "thread_tag",
        _key("tenant_id"),
        _key("thread_id"),
        _key("tag", 50),
        sa.PrimaryKeyConstraint("tenant_id", "thread_id", "tag"),
        comment="store/tags",
    )
    op.create_index("thread_tag_tag", "thread_tag", ["tenant_id", "tag", "thread_id"])
    op.create_table(
        "note",
        _key("tenant_id"),
        _key("note_id"),
        _key("thread_id"),
        _text("author"),
        _text("text"),
        _at("created_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "note_id"),
        comment="store/notes",
    )
    op.create_index("note_thread", "note", ["tenant_id", "thread_id"])
    op.create_table(
        "undo",
        _key("tenant_id"),
        _key("undo_id"),
        _text("by"),
        _text("data"),
        _at("expires_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "undo_id"),
        comment="store/undoing",
    )
    op.create_index("undo_expires", "undo", ["expires_at"])


def _of_people() -> None:
    op.create_table(
        "presence",
        _key("tenant_id"),
        _key("thread_id"),
        _key("user_id"),
        _key("doing", 10),
        _at("until", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "thread_id", "user_id"),
        comment="store/presence",
    )
    op.create_index("presence_until", "presence", ["until"])
    op.create_table(
        "canned",
        _key("tenant_id"),
        _key("canned_id"),
        _key("language", 2),
        _text("name"),
        _text("body"),
        _text("author"),
        _at("updated_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "canned_id", "language"),
        comment="store/canned",
    )
    op.create_table(
        "draft",
        _key("tenant_id"),
        _key("thread_id"),
        _key("user_id"),
        _text("data"),
        _at("updated_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "thread_id", "user_id"),
        comment="store/drafts",
    )
