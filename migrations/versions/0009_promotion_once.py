"""A checkout uses a promotion once, whatever codes bring it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand the schema. Redemptions that are there name no promotion: two codes of one may stand among them."""
    op.add_column("redemptions", sa.Column("promotion_id", sa.BigInteger(), nullable=True))
    op.create_index("redemptions_promotion_key", "redemptions", ["checkout_id", "promotion_id"], unique=True)


def downgrade() -> None:
    """Go back."""
    op.drop_index("redemptions_promotion_key", table_name="redemptions")
    op.drop_column("redemptions", "promotion_id")
