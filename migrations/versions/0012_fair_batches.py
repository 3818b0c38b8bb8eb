"""How many lines a checkout has, so that a batch is bounded by them."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column: a constant default writes no row, and what was started before counts as one line."""
    op.add_column("checkouts", sa.Column("line_count", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.create_check_constraint(op.f("checkouts_line_count_check"), "checkouts", "line_count >= 0")


def downgrade() -> None:
    """Go back."""
    op.drop_constraint(op.f("checkouts_line_count_check"), "checkouts", type_="check")
    op.drop_column("checkouts", "line_count")
