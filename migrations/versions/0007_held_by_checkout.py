"""Units held are found by the checkout that holds them: the only key by which workers ask for them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

HELD = "state = 'held'"


def upgrade() -> None:
    """Swap the index. On a large database make it `CONCURRENTLY` beforehand: what is there is left as it is."""
    op.create_index(
        "reservations_held_checkout_idx",
        "reservations",
        ["checkout_id"],
        postgresql_where=sa.text(HELD),
        if_not_exists=True,
    )
    op.drop_index("reservations_held_idx", table_name="reservations", if_exists=True)


def downgrade() -> None:
    """Go back."""
    op.create_index(
        "reservations_held_idx",
        "reservations",
        ["variant_id", "location_id"],
        postgresql_where=sa.text(HELD),
    )
    op.drop_index("reservations_held_checkout_idx", table_name="reservations")
