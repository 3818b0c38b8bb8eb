"""History: every function looks where the tables are, and what is written once stays as it was written."""

from typing import Final

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

FROZEN_GUARD: Final = """
CREATE FUNCTION frozen_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'CK002',
        MESSAGE = format('%s of a row of %s never change once written.', TG_ARGV[0], TG_TABLE_NAME),
        HINT = 'Leave the row as it is, and start a new checkout.';
END $$
"""

TRANSITION_GUARD: Final = """
CREATE FUNCTION transition_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'CK003',
        MESSAGE = format('A row of %s is %s and cannot become %s.', TG_TABLE_NAME, to_jsonb(OLD) ->> TG_ARGV[0],
                         to_jsonb(NEW) ->> TG_ARGV[0]);
END $$
"""

#: Each function, whether it was there before this.
FUNCTIONS: Final = {
    "cart_guard": True,
    "cart_lines_guard": True,
    "append_only_guard": True,
    "price_lock_guard": True,
    "checkout_guard": True,
    "normalize_names": True,
    "frozen_guard": False,
    "transition_guard": False,
}

SET_PATHS: Final = """
DO $$ DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[{names}] LOOP
        EXECUTE format('ALTER FUNCTION %I() SET search_path = pg_catalog, %I, pg_temp', name, current_schema());
    END LOOP;
END $$
"""

TRIGGERS: Final = (
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON request_keys FOR EACH ROW EXECUTE FUNCTION append_only_guard()",
    "CREATE TRIGGER keep_request_keys BEFORE TRUNCATE ON request_keys FOR EACH STATEMENT EXECUTE FUNCTION append_only_guard()",
    "CREATE TRIGGER frozen BEFORE UPDATE OF id, cart_id, owner, reference, currency, created_at ON checkouts FOR EACH ROW WHEN (ROW(OLD.id, OLD.cart_id, OLD.owner, OLD.reference, OLD.currency, OLD.created_at) IS DISTINCT FROM ROW(NEW.id, NEW.cart_id, NEW.owner, NEW.reference, NEW.currency, NEW.created_at)) EXECUTE FUNCTION frozen_guard('The columns id, cart_id, owner, reference, currency, created_at')",
    "CREATE TRIGGER frozen BEFORE UPDATE OF checkout_id, gateway, created_at ON payments FOR EACH ROW WHEN (ROW(OLD.checkout_id, OLD.gateway, OLD.created_at) IS DISTINCT FROM ROW(NEW.checkout_id, NEW.gateway, NEW.created_at)) EXECUTE FUNCTION frozen_guard('The columns checkout_id, gateway, created_at')",
    "CREATE TRIGGER frozen BEFORE UPDATE OF checkout_id, kind, n, idempotency_key, amount_minor, created_at ON payment_operations FOR EACH ROW WHEN (ROW(OLD.checkout_id, OLD.kind, OLD.n, OLD.idempotency_key, OLD.amount_minor, OLD.created_at) IS DISTINCT FROM ROW(NEW.checkout_id, NEW.kind, NEW.n, NEW.idempotency_key, NEW.amount_minor, NEW.created_at)) EXECUTE FUNCTION frozen_guard('The columns checkout_id, kind, n, idempotency_key, amount_minor, created_at')",
    "CREATE TRIGGER frozen BEFORE UPDATE OF id, checkout_id, cart_id, owner, reference, currency, subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor, shipping, shipping_address, billing_address, created_at ON orders FOR EACH ROW WHEN (ROW(OLD.id, OLD.checkout_id, OLD.cart_id, OLD.owner, OLD.reference, OLD.currency, OLD.subtotal_minor, OLD.discount_minor, OLD.shipping_minor, OLD.tax_minor, OLD.total_minor, OLD.shipping, OLD.shipping_address, OLD.billing_address, OLD.created_at) IS DISTINCT FROM ROW(NEW.id, NEW.checkout_id, NEW.cart_id, NEW.owner, NEW.reference, NEW.currency, NEW.subtotal_minor, NEW.discount_minor, NEW.shipping_minor, NEW.tax_minor, NEW.total_minor, NEW.shipping, NEW.shipping_address, NEW.billing_address, NEW.created_at)) EXECUTE FUNCTION frozen_guard('The columns id, checkout_id, cart_id, owner, reference, currency, subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor, shipping, shipping_address, billing_address, created_at')",
    "CREATE TRIGGER frozen BEFORE UPDATE OF checkout_id, line, variant_id, location_id, quantity ON reservations FOR EACH ROW WHEN (ROW(OLD.checkout_id, OLD.line, OLD.variant_id, OLD.location_id, OLD.quantity) IS DISTINCT FROM ROW(NEW.checkout_id, NEW.line, NEW.variant_id, NEW.location_id, NEW.quantity)) EXECUTE FUNCTION frozen_guard('The columns checkout_id, line, variant_id, location_id, quantity')",
    "CREATE TRIGGER frozen BEFORE UPDATE OF checkout_id, code, promotion_id, customer, redeemed_at ON redemptions FOR EACH ROW WHEN (ROW(OLD.checkout_id, OLD.code, OLD.promotion_id, OLD.customer, OLD.redeemed_at) IS DISTINCT FROM ROW(NEW.checkout_id, NEW.code, NEW.promotion_id, NEW.customer, NEW.redeemed_at)) EXECUTE FUNCTION frozen_guard('The columns checkout_id, code, promotion_id, customer, redeemed_at')",
    "CREATE TRIGGER frozen BEFORE UPDATE OF id, gateway, event_id, kind, reference, checkout_id, body, received_at ON webhook_inbox FOR EACH ROW WHEN (ROW(OLD.id, OLD.gateway, OLD.event_id, OLD.kind, OLD.reference, OLD.checkout_id, OLD.body, OLD.received_at) IS DISTINCT FROM ROW(NEW.id, NEW.gateway, NEW.event_id, NEW.kind, NEW.reference, NEW.checkout_id, NEW.body, NEW.received_at)) EXECUTE FUNCTION frozen_guard('The columns id, gateway, event_id, kind, reference, checkout_id, body, received_at')",
    "CREATE TRIGGER once BEFORE UPDATE OF ending, failure_code, failure_phase, failure_message, failure_detail ON checkouts FOR EACH ROW WHEN (OLD.ended_at IS NOT NULL AND ROW(OLD.ending, OLD.failure_code, OLD.failure_phase, OLD.failure_message, OLD.failure_detail) IS DISTINCT FROM ROW(NEW.ending, NEW.failure_code, NEW.failure_phase, NEW.failure_message, NEW.failure_detail)) EXECUTE FUNCTION frozen_guard('The reason of the end')",
    "CREATE TRIGGER once BEFORE UPDATE OF reference ON payments FOR EACH ROW WHEN (OLD.reference IS NOT NULL AND ROW(OLD.reference) IS DISTINCT FROM ROW(NEW.reference)) EXECUTE FUNCTION frozen_guard('The object at the provider')",
    "CREATE TRIGGER once BEFORE UPDATE OF number, placed_at, cancelled_at ON orders FOR EACH ROW WHEN (OLD.state <> 'pending' AND ROW(OLD.number, OLD.placed_at, OLD.cancelled_at) IS DISTINCT FROM ROW(NEW.number, NEW.placed_at, NEW.cancelled_at)) EXECUTE FUNCTION frozen_guard('The number and the time')",
    "CREATE TRIGGER once BEFORE UPDATE OF returned_at ON redemptions FOR EACH ROW WHEN (OLD.returned_at IS NOT NULL AND ROW(OLD.returned_at) IS DISTINCT FROM ROW(NEW.returned_at)) EXECUTE FUNCTION frozen_guard('The time of the return')",
    "CREATE TRIGGER transitions BEFORE UPDATE OF status ON payments FOR EACH ROW WHEN (OLD.status <> NEW.status AND ((OLD.status, NEW.status) NOT IN (('new', 'action_required'), ('new', 'authorized'), ('new', 'cancelled'), ('new', 'captured'), ('new', 'open'), ('new', 'refunded'), ('open', 'action_required'), ('open', 'authorized'), ('open', 'cancelled'), ('open', 'captured'), ('open', 'refunded'), ('action_required', 'authorized'), ('action_required', 'cancelled'), ('action_required', 'captured'), ('action_required', 'open'), ('action_required', 'refunded'), ('authorized', 'cancelled'), ('authorized', 'captured'), ('authorized', 'refunded'), ('cancelled', 'authorized'), ('cancelled', 'captured'), ('cancelled', 'refunded'), ('captured', 'authorized'), ('captured', 'cancelled'), ('captured', 'refunded'), ('refunded', 'authorized'), ('refunded', 'cancelled'), ('refunded', 'captured')))) EXECUTE FUNCTION transition_guard('status')",
    "CREATE TRIGGER transitions BEFORE UPDATE OF status ON payment_operations FOR EACH ROW WHEN (OLD.status <> NEW.status AND ((OLD.status, NEW.status) NOT IN (('intended', 'action_required'), ('intended', 'declined'), ('intended', 'succeeded'), ('intended', 'unknown'), ('unknown', 'action_required'), ('unknown', 'declined'), ('unknown', 'succeeded'), ('action_required', 'declined'), ('action_required', 'succeeded'), ('succeeded', 'declined')) OR OLD.status = 'succeeded' AND OLD.kind NOT IN ('capture', 'refund'))) EXECUTE FUNCTION transition_guard('status')",
    "CREATE TRIGGER transitions BEFORE UPDATE OF state ON orders FOR EACH ROW WHEN (OLD.state <> NEW.state AND ((OLD.state, NEW.state) NOT IN (('pending', 'cancelled'), ('pending', 'placed')))) EXECUTE FUNCTION transition_guard('state')",
    "CREATE TRIGGER transitions BEFORE UPDATE OF state ON reservations FOR EACH ROW WHEN (OLD.state <> NEW.state AND ((OLD.state, NEW.state) NOT IN (('held', 'committed'), ('held', 'released')))) EXECUTE FUNCTION transition_guard('state')",
    "CREATE TRIGGER keep_orders BEFORE DELETE OR TRUNCATE ON orders FOR EACH STATEMENT EXECUTE FUNCTION append_only_guard()",
    "CREATE TRIGGER keep_payment_operations BEFORE DELETE OR TRUNCATE ON payment_operations FOR EACH STATEMENT EXECUTE FUNCTION append_only_guard()",
    "CREATE TRIGGER keep_payments BEFORE DELETE OR TRUNCATE ON payments FOR EACH STATEMENT EXECUTE FUNCTION append_only_guard()",
    "CREATE TRIGGER keep_redemptions BEFORE DELETE OR TRUNCATE ON redemptions FOR EACH STATEMENT EXECUTE FUNCTION append_only_guard()",
    "CREATE TRIGGER keep_reservations BEFORE DELETE OR TRUNCATE ON reservations FOR EACH STATEMENT EXECUTE FUNCTION append_only_guard()",
    "CREATE TRIGGER keep_lately BEFORE DELETE ON refused_messages FOR EACH ROW WHEN (OLD.received_at > now() - interval '1 day') EXECUTE FUNCTION append_only_guard()",
    "CREATE TRIGGER keep_lately BEFORE DELETE ON webhook_inbox FOR EACH ROW WHEN (OLD.due_at IS NOT NULL OR OLD.received_at > now() - interval '1 day') EXECUTE FUNCTION append_only_guard()",
)


def upgrade() -> None:
    """Expand the schema. No row is read or written, and each table is locked for the moment of its triggers."""
    op.execute(FROZEN_GUARD)
    op.execute(TRANSITION_GUARD)
    op.execute(SET_PATHS.format(names=", ".join(f"'{name}'" for name in FUNCTIONS)))
    for statement in TRIGGERS:
        op.execute(statement)


def downgrade() -> None:
    """Go back."""
    for statement in TRIGGERS:
        words = statement.split()
        op.execute(f"DROP TRIGGER {words[2]} ON {words[words.index('ON') + 1]}")
    for name, was_there in FUNCTIONS.items():
        op.execute(f"ALTER FUNCTION {name}() RESET search_path" if was_there else f"DROP FUNCTION {name}()")
