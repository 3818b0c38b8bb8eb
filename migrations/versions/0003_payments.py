"""Payments: the inbox for providers' webhooks, when an authorisation runs out, and what a person must settle."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand the schema."""
    op.create_table(
        "webhook_inbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("checkout_id", sa.Uuid(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="received", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('applied', 'ignored', 'received', 'unmatched')", name=op.f("webhook_inbox_status_check")
        ),
        sa.CheckConstraint("char_length(event_id) <= 255", name=op.f("webhook_inbox_event_id_length_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_inbox_pkey")),
    )
    op.create_index("webhook_inbox_event_key", "webhook_inbox", ["gateway", "event_id"], unique=True)
    op.create_index(
        "webhook_inbox_due_idx", "webhook_inbox", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.add_column("payments", sa.Column("authorized_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("payments", sa.Column("review", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.create_index("payments_review_idx", "payments", ["checkout_id"], postgresql_where=sa.text("review IS NOT NULL"))
    op.add_column(
        "payments", sa.Column("authorized_until", sa.DateTime(timezone=True), nullable=True), schema="sandbox"
    )


def downgrade() -> None:
    """Go back. What providers told us is dropped with its table."""
    op.drop_column("payments", "authorized_until", schema="sandbox")
    op.drop_index("payments_review_idx", table_name="payments")
    op.drop_column("payments", "review")
    op.drop_column("payments", "authorized_until")
    op.drop_table("webhook_inbox")
