"""Which variant each line of a checkout is, decided once. Checkouts that run already are resolved by their next phase."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, kept like the rest of history: rows are inserted and never changed."""
    op.create_table(
        "checkout_lines",
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("variant_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["checkout_id"], ["checkouts.id"], name=op.f("checkout_lines_checkout_id_fkey")),
        sa.PrimaryKeyConstraint("checkout_id", "line", name=op.f("checkout_lines_pkey")),
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON checkout_lines FOR EACH ROW"
        " EXECUTE FUNCTION append_only_guard()"
    )
    op.execute(
        "CREATE TRIGGER keep_checkout_lines BEFORE TRUNCATE ON checkout_lines FOR EACH STATEMENT"
        " EXECUTE FUNCTION append_only_guard()"
    )


def downgrade() -> None:
    """Go back: a release that knows no such table looks skus up in every phase."""
    op.drop_table("checkout_lines")
