"""What a next release may bring before its code: a table, a column with a default, one without, and an index.

It is in the tests alone: they run this release's code on a schema that is one revision ahead. Its number is above all
others, and it follows this release's last revision, whichever that is.
"""

import sqlalchemy as sa
from alembic import op

from pipeline.database.migrations import read_head

revision = "9999"
down_revision = read_head()
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand the schema."""
    op.create_table("order_notes", sa.Column("id", sa.Integer()))
    op.add_column("checkouts", sa.Column("change_policy", sa.Text(), server_default="x"))
    op.add_column("events", sa.Column("change_id", sa.Integer()))
    op.create_index("orders_created_at_idx", "orders", ["created_at"])


def downgrade() -> None:
    """Go back."""
    op.drop_index("orders_created_at_idx", table_name="orders")
    op.drop_column("events", "change_id")
    op.drop_column("checkouts", "change_policy")
    op.drop_table("order_notes")
