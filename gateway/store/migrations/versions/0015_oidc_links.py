"""Who people are at an identity provider."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_ID = sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "oidc_link",
        sa.Column("tenant_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("issuer", sa.String(length=300), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "issuer"),
        comment="store/oidc_links",
    )
    op.create_index("oidc_link_subject", "oidc_link", ["issuer", "subject"], unique=True)
