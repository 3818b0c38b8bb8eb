"""The newest exchange rate is found by an index: whoever watches the shop asks for it every few seconds."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

NAME = "exchange_rates_observed_at_idx"


def upgrade() -> None:
    """Make the index. On a large database make it `CONCURRENTLY` beforehand: what is there is left as it is."""
    op.create_index(NAME, "exchange_rates", ["observed_at"], if_not_exists=True)


def downgrade() -> None:
    """Go back."""
    op.drop_index(NAME, table_name="exchange_rates")
