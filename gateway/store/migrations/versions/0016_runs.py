"""The batch that a mail was handed over in."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("message", sa.Column("run", sa.Text(), server_default="", nullable=False))
    with_one = sa.text("run <> ''")
    op.create_index(
        "message_run", "message", ["tenant_id", "run", "message_id"], sqlite_where=with_one, postgresql_where=with_one
    )
