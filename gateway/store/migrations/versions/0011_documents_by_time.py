"""The list of documents, the newest first."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("document_recent", "document", ["tenant_id", "created_at"])
