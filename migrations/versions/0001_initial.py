"""The first schema: catalog, carts, checkouts, what they hold, payments, orders, events, and the guards.

The sandbox bank keeps its own books in its own schema.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

#: The guards as they were on this day; models/guards.py holds today's.
FUNCTIONS = (
    r"""
CREATE FUNCTION cart_guard() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    touched uuid[];
    holder record;
BEGIN
    IF TG_TABLE_NAME = 'carts' THEN
        touched := ARRAY[OLD.id];
    ELSE
        touched := CASE TG_OP WHEN 'INSERT' THEN ARRAY[NEW.cart_id] WHEN 'DELETE' THEN ARRAY[OLD.cart_id]
                   ELSE ARRAY[OLD.cart_id, NEW.cart_id] END;
    END IF;
    PERFORM 1 FROM carts WHERE id = ANY(touched) ORDER BY id FOR NO KEY UPDATE;
    SELECT id, cart_id, expires_at, phase INTO holder FROM checkouts
        WHERE cart_id = ANY(touched) AND state IN ('action_required', 'awaiting_payment', 'needs_review', 'running', 'unwinding') LIMIT 1;
    IF FOUND THEN
        -- The one change let through: phase 7 completes the cart of the order it has just placed.
        -- Nested: a line has no state, and PL/pgSQL looks all the fields of an expression up.
        IF TG_TABLE_NAME = 'carts' AND TG_OP = 'UPDATE' THEN
            IF holder.phase = 6 AND OLD.state = 'open' AND NEW.state = 'completed'
               AND to_jsonb(OLD) - 'state' - 'updated_at' = to_jsonb(NEW) - 'state' - 'updated_at'
               AND EXISTS (SELECT FROM orders WHERE checkout_id = holder.id AND state = 'placed') THEN
                RETURN NEW;
            END IF;
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'CK001',
            MESSAGE = format('Cart %s is locked by checkout %s, which expires at %s.',
                             holder.cart_id, holder.id, holder.expires_at),
            DETAIL = jsonb_build_object('cart_id', holder.cart_id, 'checkout_id', holder.id,
                                        'expires_at', holder.expires_at)::text,
            HINT = 'Wait until the checkout has ended, or cancel it; then change the cart.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$
""",
    r"""
CREATE FUNCTION cart_lines_guard() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF EXISTS (SELECT FROM checkouts WHERE state IN ('action_required', 'awaiting_payment', 'needs_review', 'running', 'unwinding')) THEN
        RAISE EXCEPTION USING ERRCODE = 'CK001', MESSAGE = 'Some carts are locked by checkouts.',
            HINT = 'Delete the lines of single carts instead.';
    END IF;
    RETURN NULL;
END $$
""",
    r"""
CREATE FUNCTION append_only_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'CK002',
        MESSAGE = format('Rows of %s are history: they are neither changed nor removed.', TG_TABLE_NAME),
        HINT = 'Write a new row that corrects it.';
END $$
""",
    r"""
CREATE FUNCTION price_lock_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.voided_at IS NULL AND NEW.voided_at IS NOT NULL
       AND to_jsonb(OLD) - 'voided_at' = to_jsonb(NEW) - 'voided_at' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'CK002',
        MESSAGE = 'A price lock is frozen: it may be voided once, and nothing else of it may change.',
        HINT = 'Void it and start a new checkout.';
END $$
""",
    r"""
CREATE FUNCTION checkout_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (('running', 'action_required'), ('running', 'awaiting_payment'), ('running', 'completed'), ('running', 'needs_review'), ('running', 'unwinding'), ('awaiting_payment', 'running'), ('awaiting_payment', 'unwinding'), ('action_required', 'running'), ('action_required', 'unwinding'), ('unwinding', 'cancelled'), ('unwinding', 'expired'), ('unwinding', 'failed'), ('unwinding', 'needs_review'), ('needs_review', 'running'), ('needs_review', 'unwinding')) THEN
        RAISE EXCEPTION USING ERRCODE = 'CK003',
            MESSAGE = format('Checkout %s is %s and cannot become %s.', OLD.id, OLD.state, NEW.state);
    END IF;
    IF NEW.fence < OLD.fence OR (OLD.pivot_at IS NOT NULL AND NEW.pivot_at IS NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'CK003',
            MESSAGE = format('The fence and the pivot of checkout %s never go back.', OLD.id);
    END IF;
    RETURN NEW;
END $$
""",
)

TRIGGERS = (
    "CREATE TRIGGER cart_lines_guard BEFORE TRUNCATE ON cart_lines FOR EACH STATEMENT EXECUTE FUNCTION cart_lines_guard()",
    "CREATE TRIGGER cart_guard BEFORE UPDATE OR DELETE ON carts FOR EACH ROW EXECUTE FUNCTION cart_guard()",
    (
        "CREATE TRIGGER cart_guard BEFORE INSERT OR UPDATE OR DELETE ON cart_lines FOR EACH ROW EXECUTE "
        "FUNCTION cart_guard()"
    ),
    "CREATE TRIGGER price_lock_guard BEFORE UPDATE ON price_locks FOR EACH ROW EXECUTE FUNCTION price_lock_guard()",
    (
        "CREATE TRIGGER checkout_guard BEFORE UPDATE ON checkouts FOR EACH ROW WHEN (OLD.state <> NEW.state "
        "OR OLD.fence <> NEW.fence OR OLD.pivot_at IS DISTINCT FROM NEW.pivot_at) EXECUTE FUNCTION "
        "checkout_guard()"
    ),
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION append_only_guard()",
    (
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON order_lines FOR EACH ROW EXECUTE FUNCTION "
        "append_only_guard()"
    ),
    (
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON price_lock_lines FOR EACH ROW EXECUTE FUNCTION "
        "append_only_guard()"
    ),
    (
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON stock_movements FOR EACH ROW EXECUTE FUNCTION "
        "append_only_guard()"
    ),
    "CREATE TRIGGER keep_events BEFORE TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION append_only_guard()",
    (
        "CREATE TRIGGER keep_order_lines BEFORE TRUNCATE ON order_lines FOR EACH STATEMENT EXECUTE FUNCTION "
        "append_only_guard()"
    ),
    (
        "CREATE TRIGGER keep_price_lock_lines BEFORE TRUNCATE ON price_lock_lines FOR EACH STATEMENT EXECUTE "
        "FUNCTION append_only_guard()"
    ),
    (
        "CREATE TRIGGER keep_stock_movements BEFORE TRUNCATE ON stock_movements FOR EACH STATEMENT EXECUTE "
        "FUNCTION append_only_guard()"
    ),
    (
        "CREATE TRIGGER keep_price_locks BEFORE DELETE OR TRUNCATE ON price_locks FOR EACH STATEMENT EXECUTE "
        "FUNCTION append_only_guard()"
    ),
    (
        "CREATE TRIGGER keep_checkouts BEFORE DELETE OR TRUNCATE ON checkouts FOR EACH STATEMENT EXECUTE "
        "FUNCTION append_only_guard()"
    ),
)


def upgrade() -> None:
    """Create everything."""
    op.execute("CREATE SCHEMA IF NOT EXISTS sandbox")
    op.execute("CREATE SEQUENCE order_numbers START WITH 1001")
    op.create_table(
        "carts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("shipping_address", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("billing_address", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("lock_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('completed', 'open')", name=op.f("carts_state_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("carts_pkey")),
    )
    op.create_table(
        "locations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("locations_pkey")),
        sa.UniqueConstraint("code", name=op.f("locations_code_key")),
    )
    op.create_table(
        "refused_messages",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("refused_messages_pkey")),
    )
    op.create_index(op.f("refused_messages_received_at_idx"), "refused_messages", ["received_at"], unique=False)
    op.create_table(
        "entries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("entries_pkey")),
        schema="sandbox",
    )
    op.create_index(op.f("entries_reference_idx"), "entries", ["reference"], unique=False, schema="sandbox")
    op.create_table(
        "payments",
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("authorized_minor", sa.BigInteger(), nullable=False),
        sa.Column("captured_minor", sa.BigInteger(), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "status IN ('open', 'action_required', 'authorized', 'captured', 'cancelled', 'refunded')",
            name=op.f("payments_status_check"),
        ),
        sa.CheckConstraint(
            "captured_minor <= authorized_minor AND refunded_minor <= captured_minor",
            name=op.f("payments_amounts_check"),
        ),
        sa.PrimaryKeyConstraint("reference", name=op.f("payments_pkey")),
        schema="sandbox",
    )
    op.create_index(op.f("payments_checkout_id_idx"), "payments", ["checkout_id"], unique=False, schema="sandbox")
    op.create_table(
        "requests",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("requests_pkey")),
        schema="sandbox",
    )
    op.create_table(
        "variants",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("backorder_policy", sa.Text(), server_default="deny", nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.CheckConstraint("backorder_policy IN ('deny', 'continue')", name=op.f("variants_backorder_policy_check")),
        sa.CheckConstraint("char_length(sku) <= 255", name=op.f("variants_sku_length_check")),
        sa.CheckConstraint("char_length(title) <= 1000", name=op.f("variants_title_length_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("variants_pkey")),
        sa.UniqueConstraint("sku", name=op.f("variants_sku_key")),
    )
    op.create_table(
        "cart_lines",
        sa.Column("cart_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_price_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.CheckConstraint("char_length(sku) <= 255", name=op.f("cart_lines_sku_length_check")),
        sa.CheckConstraint("char_length(title) <= 1000", name=op.f("cart_lines_title_length_check")),
        sa.ForeignKeyConstraint(["cart_id"], ["carts.id"], name=op.f("cart_lines_cart_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("cart_id", "line", name=op.f("cart_lines_pkey")),
    )
    op.create_table(
        "checkouts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cart_id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("state", sa.Text(), server_default="running", nullable=False),
        sa.Column("phase", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("fence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("straight_through", sa.Boolean(), nullable=False),
        sa.Column("payment_given", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("expected_total_minor", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("pivot_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("failure_phase", sa.Text(), nullable=True),
        sa.Column("failure_message", sa.Text(), nullable=True),
        sa.Column("failure_detail", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("review", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (state IN ('action_required', 'awaiting_payment', 'needs_review', 'running', 'unwinding'))",
            name=op.f("checkouts_ended_check"),
        ),
        sa.CheckConstraint("due_reason IN ('scheduled', 'stalled')", name=op.f("checkouts_due_reason_check")),
        sa.CheckConstraint("ending IN ('cancelled', 'expired', 'failed')", name=op.f("checkouts_ending_check")),
        sa.CheckConstraint("state <> 'completed' OR phase = 7", name=op.f("checkouts_completed_check")),
        sa.CheckConstraint(
            "state IN ('action_required', 'awaiting_payment', 'cancelled', 'completed', 'expired', 'failed', 'needs_review', 'running', 'unwinding')",
            name=op.f("checkouts_state_check"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('failed', 'cancelled', 'expired') OR phase = 0", name=op.f("checkouts_undone_check")
        ),
        sa.CheckConstraint("(due_at IS NULL) = (due_reason IS NULL)", name=op.f("checkouts_due_check")),
        sa.CheckConstraint("(review IS NOT NULL) = (state = 'needs_review')", name=op.f("checkouts_review_check")),
        sa.CheckConstraint("char_length(owner) <= 255", name=op.f("checkouts_owner_length_check")),
        sa.CheckConstraint("char_length(reference) <= 255", name=op.f("checkouts_reference_length_check")),
        sa.CheckConstraint("phase BETWEEN 0 AND 7", name=op.f("checkouts_phase_check")),
        sa.ForeignKeyConstraint(["cart_id"], ["carts.id"], name=op.f("checkouts_cart_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("checkouts_pkey")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "checkouts_active_cart_key",
        "checkouts",
        ["cart_id"],
        unique=True,
        postgresql_where=sa.text(
            "state IN ('action_required', 'awaiting_payment', 'needs_review', 'running', 'unwinding')"
        ),
    )
    op.create_index(
        "checkouts_active_idx",
        "checkouts",
        ["state"],
        unique=False,
        postgresql_where=sa.text(
            "state IN ('action_required', 'awaiting_payment', 'needs_review', 'running', 'unwinding')"
        ),
    )
    op.create_index("checkouts_cart_id_idx", "checkouts", ["cart_id"], unique=False)
    op.create_index(
        "checkouts_ended_at_idx",
        "checkouts",
        ["ended_at"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NOT NULL"),
    )
    op.create_index(
        "checkouts_expiring_idx",
        "checkouts",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("pivot_at IS NULL AND state IN ('running', 'awaiting_payment', 'action_required')"),
    )
    op.create_index(
        "checkouts_scheduled_idx",
        "checkouts",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_reason = 'scheduled'"),
    )
    op.create_index(
        "checkouts_stalled_idx",
        "checkouts",
        ["state", "phase", "sent_at"],
        unique=False,
        postgresql_where=sa.text("due_reason = 'stalled'"),
    )
    op.create_table(
        "prices",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("variant_id", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("prices_amount_check")),
        sa.CheckConstraint("valid_until > valid_from", name=op.f("prices_range_check")),
        sa.ForeignKeyConstraint(
            ["variant_id"], ["variants.id"], name=op.f("prices_variant_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("prices_pkey")),
    )
    op.create_index(
        op.f("prices_variant_id_currency_valid_from_idx"),
        "prices",
        ["variant_id", "currency", "valid_from"],
        unique=True,
    )
    op.create_table(
        "stock_levels",
        sa.Column("variant_id", sa.BigInteger(), nullable=False),
        sa.Column("location_id", sa.BigInteger(), nullable=False),
        sa.Column("on_hand", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("backorderable", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint(
            "reserved >= 0 AND (backorderable OR reserved <= on_hand)", name=op.f("stock_levels_no_oversell_check")
        ),
        sa.ForeignKeyConstraint(["location_id"], ["locations.id"], name=op.f("stock_levels_location_id_fkey")),
        sa.ForeignKeyConstraint(["variant_id"], ["variants.id"], name=op.f("stock_levels_variant_id_fkey")),
        sa.PrimaryKeyConstraint("variant_id", "location_id", name=op.f("stock_levels_pkey")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=True),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["checkout_id"], ["checkouts.id"], name=op.f("events_checkout_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("events_pkey")),
    )
    op.create_index(op.f("events_checkout_id_idx"), "events", ["checkout_id"], unique=False)
    op.create_index(
        "events_resent_idx", "events", ["at"], unique=False, postgresql_where=sa.text("kind = 'sweep.resent'")
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("cart_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("shipping_address", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("billing_address", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(number IS NOT NULL) = (state = 'placed')", name=op.f("orders_number_check")),
        sa.CheckConstraint("state IN ('cancelled', 'pending', 'placed')", name=op.f("orders_state_check")),
        sa.ForeignKeyConstraint(["cart_id"], ["carts.id"], name=op.f("orders_cart_id_fkey")),
        sa.ForeignKeyConstraint(["checkout_id"], ["checkouts.id"], name=op.f("orders_checkout_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("orders_pkey")),
        sa.UniqueConstraint("checkout_id", name=op.f("orders_checkout_id_key")),
        sa.UniqueConstraint("number", name=op.f("orders_number_key")),
    )
    op.create_index(
        "orders_cart_key", "orders", ["cart_id"], unique=True, postgresql_where=sa.text("state <> 'cancelled'")
    )
    op.create_table(
        "payments",
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="new", nullable=False),
        sa.Column("action", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "status IN ('action_required', 'authorized', 'cancelled', 'captured', 'new', 'open', 'refunded')",
            name=op.f("payments_status_check"),
        ),
        sa.CheckConstraint("char_length(token) <= 255", name=op.f("payments_token_length_check")),
        sa.ForeignKeyConstraint(["checkout_id"], ["checkouts.id"], name=op.f("payments_checkout_id_fkey")),
        sa.PrimaryKeyConstraint("checkout_id", name=op.f("payments_pkey")),
        sa.UniqueConstraint("reference", name=op.f("payments_reference_key")),
    )
    op.create_table(
        "price_locks",
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("shipping_address", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("billing_address", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("locked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("total_minor >= 0", name=op.f("price_locks_total_check")),
        sa.ForeignKeyConstraint(["checkout_id"], ["checkouts.id"], name=op.f("price_locks_checkout_id_fkey")),
        sa.PrimaryKeyConstraint("checkout_id", name=op.f("price_locks_pkey")),
    )
    op.create_table(
        "request_keys",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("char_length(key) <= 255", name=op.f("request_keys_key_length_check")),
        sa.ForeignKeyConstraint(["checkout_id"], ["checkouts.id"], name=op.f("request_keys_checkout_id_fkey")),
        sa.PrimaryKeyConstraint("owner", "key", name=op.f("request_keys_pkey")),
    )
    op.create_index(op.f("request_keys_checkout_id_idx"), "request_keys", ["checkout_id"], unique=False)
    op.create_table(
        "reservations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("variant_id", sa.BigInteger(), nullable=False),
        sa.Column("location_id", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default="held", nullable=False),
        sa.CheckConstraint("state IN ('committed', 'held', 'released')", name=op.f("reservations_state_check")),
        sa.CheckConstraint("quantity > 0", name=op.f("reservations_quantity_check")),
        sa.ForeignKeyConstraint(["checkout_id"], ["checkouts.id"], name=op.f("reservations_checkout_id_fkey")),
        sa.ForeignKeyConstraint(
            ["variant_id", "location_id"],
            ["stock_levels.variant_id", "stock_levels.location_id"],
            name=op.f("reservations_variant_id_location_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("reservations_pkey")),
    )
    op.create_index(
        op.f("reservations_checkout_id_line_location_id_idx"),
        "reservations",
        ["checkout_id", "line", "location_id"],
        unique=True,
    )
    op.create_index(
        "reservations_held_idx",
        "reservations",
        ["variant_id", "location_id"],
        unique=False,
        postgresql_where=sa.text("state = 'held'"),
    )
    op.create_table(
        "stock_movements",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("variant_id", sa.BigInteger(), nullable=False),
        sa.Column("location_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(checkout_id IS NULL) = (kind IN ('receive', 'adjust'))", name=op.f("stock_movements_checkout_check")
        ),
        sa.CheckConstraint(
            "kind IN ('adjust', 'receive', 'release', 'reserve', 'sell')", name=op.f("stock_movements_kind_check")
        ),
        sa.CheckConstraint(
            "quantity <> 0 AND CASE kind WHEN 'receive' THEN quantity > 0 WHEN 'reserve' THEN quantity > 0 WHEN 'release' THEN quantity < 0 WHEN 'sell' THEN quantity < 0 ELSE true END",
            name=op.f("stock_movements_sign_check"),
        ),
        sa.ForeignKeyConstraint(["checkout_id"], ["checkouts.id"], name=op.f("stock_movements_checkout_id_fkey")),
        sa.ForeignKeyConstraint(
            ["variant_id", "location_id"],
            ["stock_levels.variant_id", "stock_levels.location_id"],
            name=op.f("stock_movements_variant_id_location_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("stock_movements_pkey")),
    )
    op.create_index(
        op.f("stock_movements_checkout_id_idx"),
        "stock_movements",
        ["checkout_id"],
        unique=False,
        postgresql_where=sa.text("checkout_id IS NOT NULL"),
    )
    op.create_index(
        op.f("stock_movements_variant_id_location_id_idx"),
        "stock_movements",
        ["variant_id", "location_id"],
        unique=False,
    )
    op.create_table(
        "order_lines",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("variant_id", sa.BigInteger(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_price_minor", sa.BigInteger(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "quantity > 0 AND total_minor = unit_price_minor * quantity", name=op.f("order_lines_total_check")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("order_lines_order_id_fkey")),
        sa.ForeignKeyConstraint(["variant_id"], ["variants.id"], name=op.f("order_lines_variant_id_fkey")),
        sa.PrimaryKeyConstraint("order_id", "line", name=op.f("order_lines_pkey")),
    )
    op.create_table(
        "payment_operations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("n", sa.SmallInteger(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), server_default="intended", nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('authorize', 'capture', 'open', 'refund', 'void')", name=op.f("payment_operations_kind_check")
        ),
        sa.CheckConstraint(
            "status IN ('action_required', 'declined', 'intended', 'succeeded', 'unknown')",
            name=op.f("payment_operations_status_check"),
        ),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("payment_operations_amount_check")),
        sa.ForeignKeyConstraint(
            ["checkout_id"], ["payments.checkout_id"], name=op.f("payment_operations_checkout_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("payment_operations_pkey")),
        sa.UniqueConstraint("idempotency_key", name=op.f("payment_operations_idempotency_key_key")),
    )
    op.create_index(
        op.f("payment_operations_checkout_id_kind_n_idx"),
        "payment_operations",
        ["checkout_id", "kind", "n"],
        unique=True,
    )
    op.create_index(
        "payment_operations_once_key",
        "payment_operations",
        ["checkout_id", "kind"],
        unique=True,
        postgresql_where=sa.text("status = 'succeeded' AND kind IN ('capture', 'refund')"),
    )
    op.create_index(
        "payment_operations_unsettled_idx",
        "payment_operations",
        ["checkout_id"],
        unique=False,
        postgresql_where=sa.text("status IN ('intended', 'unknown')"),
    )
    op.create_table(
        "price_lock_lines",
        sa.Column("checkout_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("variant_id", sa.BigInteger(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_price_minor", sa.BigInteger(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("price_source", sa.Text(), nullable=False),
        sa.CheckConstraint("price_source IN ('list', 'external')", name=op.f("price_lock_lines_price_source_check")),
        sa.CheckConstraint("quantity > 0", name=op.f("price_lock_lines_quantity_check")),
        sa.CheckConstraint(
            "unit_price_minor >= 0 AND total_minor = unit_price_minor * quantity",
            name=op.f("price_lock_lines_total_check"),
        ),
        sa.ForeignKeyConstraint(
            ["checkout_id"], ["price_locks.checkout_id"], name=op.f("price_lock_lines_checkout_id_fkey")
        ),
        sa.ForeignKeyConstraint(["variant_id"], ["variants.id"], name=op.f("price_lock_lines_variant_id_fkey")),
        sa.PrimaryKeyConstraint("checkout_id", "line", name=op.f("price_lock_lines_pkey")),
    )
    for statement in (*FUNCTIONS, *TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    """Drop everything."""
    op.drop_table("price_lock_lines")
    op.drop_index(
        "payment_operations_unsettled_idx",
        table_name="payment_operations",
        postgresql_where=sa.text("status IN ('intended', 'unknown')"),
    )
    op.drop_index(
        "payment_operations_once_key",
        table_name="payment_operations",
        postgresql_where=sa.text("status = 'succeeded' AND kind IN ('capture', 'refund')"),
    )
    op.drop_index(op.f("payment_operations_checkout_id_kind_n_idx"), table_name="payment_operations")
    op.drop_table("payment_operations")
    op.drop_table("order_lines")
    op.drop_index(op.f("stock_movements_variant_id_location_id_idx"), table_name="stock_movements")
    op.drop_index(
        op.f("stock_movements_checkout_id_idx"),
        table_name="stock_movements",
        postgresql_where=sa.text("checkout_id IS NOT NULL"),
    )
    op.drop_table("stock_movements")
    op.drop_index("reservations_held_idx", table_name="reservations", postgresql_where=sa.text("state = 'held'"))
    op.drop_index(op.f("reservations_checkout_id_line_location_id_idx"), table_name="reservations")
    op.drop_table("reservations")
    op.drop_index(op.f("request_keys_checkout_id_idx"), table_name="request_keys")
    op.drop_table("request_keys")
    op.drop_table("price_locks")
    op.drop_table("payments")
    op.drop_index("orders_cart_key", table_name="orders", postgresql_where=sa.text("state <> 'cancelled'"))
    op.drop_table("orders")
    op.drop_index("events_resent_idx", table_name="events", postgresql_where=sa.text("kind = 'sweep.resent'"))
    op.drop_index(op.f("events_checkout_id_idx"), table_name="events")
    op.drop_table("events")
    op.drop_table("stock_levels")
    op.drop_index(op.f("prices_variant_id_currency_valid_from_idx"), table_name="prices")
    op.drop_table("prices")
    op.drop_index("checkouts_stalled_idx", table_name="checkouts", postgresql_where=sa.text("due_reason = 'stalled'"))
    op.drop_index(
        "checkouts_scheduled_idx", table_name="checkouts", postgresql_where=sa.text("due_reason = 'scheduled'")
    )
    op.drop_index(
        "checkouts_expiring_idx",
        table_name="checkouts",
        postgresql_where=sa.text("pivot_at IS NULL AND state IN ('running', 'awaiting_payment', 'action_required')"),
    )
    op.drop_index("checkouts_ended_at_idx", table_name="checkouts", postgresql_where=sa.text("ended_at IS NOT NULL"))
    op.drop_index("checkouts_cart_id_idx", table_name="checkouts")
    op.drop_index(
        "checkouts_active_idx",
        table_name="checkouts",
        postgresql_where=sa.text(
            "state IN ('action_required', 'awaiting_payment', 'needs_review', 'running', 'unwinding')"
        ),
    )
    op.drop_index(
        "checkouts_active_cart_key",
        table_name="checkouts",
        postgresql_where=sa.text(
            "state IN ('action_required', 'awaiting_payment', 'needs_review', 'running', 'unwinding')"
        ),
    )
    op.drop_table("checkouts")
    op.drop_table("cart_lines")
    op.drop_table("variants")
    op.drop_table("requests", schema="sandbox")
    op.drop_index(op.f("payments_checkout_id_idx"), table_name="payments", schema="sandbox")
    op.drop_table("payments", schema="sandbox")
    op.drop_index(op.f("entries_reference_idx"), table_name="entries", schema="sandbox")
    op.drop_table("entries", schema="sandbox")
    op.drop_index(op.f("refused_messages_received_at_idx"), table_name="refused_messages")
    op.drop_table("refused_messages")
    op.drop_table("locations")
    op.drop_table("carts")
    for function in ("cart_guard", "cart_lines_guard", "append_only_guard", "price_lock_guard", "checkout_guard"):
        op.execute(f"DROP FUNCTION {function}()")
    op.execute("DROP SEQUENCE order_numbers")
    op.execute("DROP SCHEMA sandbox")
