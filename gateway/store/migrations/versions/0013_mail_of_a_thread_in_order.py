"""The mail of a thread in the order of its ids, so that its newest are found without reading the rest."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("message_thread", "message")
    op.create_index("message_thread", "message", ["tenant_id", "thread_id", "message_id"])
