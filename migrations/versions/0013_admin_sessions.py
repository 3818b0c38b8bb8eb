"""Sessions of the admin pages are rows: signing out ends one, wherever its cookie has gone."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table. Who has signed in before signs in again."""
    op.create_table(
        "admin_sessions",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("octet_length(token_hash) = 32", name=op.f("admin_sessions_token_hash_check")),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("admin_sessions_key_id_fkey")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("admin_sessions_pkey")),
    )
    op.create_index(op.f("admin_sessions_expires_at_idx"), "admin_sessions", ["expires_at"])
    op.create_index(op.f("admin_sessions_key_id_idx"), "admin_sessions", ["key_id"])


def downgrade() -> None:
    """Go back: whoever has signed in signs in again."""
    op.drop_table("admin_sessions")
