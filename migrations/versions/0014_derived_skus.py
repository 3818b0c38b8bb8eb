"""Skus derived from handle and options are remembered: two of them never meet in one sku."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, empty: what was derived before is recognised by its title at the next import."""
    op.create_table(
        "derived_skus",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("handle", sa.Text(), nullable=False),
        sa.Column("options", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("variant_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("digest ~ '^[0-9a-f]{64}$'", name=op.f("derived_skus_digest_check")),
        sa.CheckConstraint("char_length(handle) <= 255", name=op.f("derived_skus_handle_length_check")),
        sa.ForeignKeyConstraint(
            ["variant_id"], ["variants.id"], name=op.f("derived_skus_variant_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("derived_skus_pkey")),
        sa.UniqueConstraint("variant_id", name=op.f("derived_skus_variant_id_key")),
    )


def downgrade() -> None:
    """Go back."""
    op.drop_table("derived_skus")
