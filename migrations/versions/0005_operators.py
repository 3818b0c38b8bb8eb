"""For operators: lists of checkouts by state and by owner, and rates of the last minute."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand the schema. On a large database make these `CONCURRENTLY` beforehand: what is there is left as it is."""
    op.create_index("checkouts_state_id_idx", "checkouts", ["state", "id"], if_not_exists=True)
    op.create_index("checkouts_owner_id_idx", "checkouts", ["owner", "id"], if_not_exists=True)
    op.create_index(
        "events_at_idx",
        "events",
        ["at"],
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 16, "autosummarize": "on"},
        if_not_exists=True,
    )


def downgrade() -> None:
    """Go back."""
    op.drop_index("events_at_idx", table_name="events")
    op.drop_index("checkouts_owner_id_idx", table_name="checkouts")
    op.drop_index("checkouts_state_id_idx", table_name="checkouts")
