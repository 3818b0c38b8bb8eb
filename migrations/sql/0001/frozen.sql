-- Columns that never change once they are written, and the transitions that exist. The WHEN of each trigger says what
-- it refuses: PostgreSQL evaluates it in place, and no function is called for a change that is allowed. `UPDATE OF`
-- leaves out the statements that do not name the columns.

CREATE FUNCTION frozen_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'CK002',
        MESSAGE = format('%s of a row of %s never change once written.', TG_ARGV[0], TG_TABLE_NAME),
        HINT = 'Leave the row as it is, and start a new checkout.';
END $$;

-- Columns that are written with the row and never again (models/history.py).
CREATE TRIGGER frozen BEFORE UPDATE OF id, cart_id, owner, reference, currency, created_at ON checkouts FOR EACH ROW
    WHEN (ROW(OLD.id, OLD.cart_id, OLD.owner, OLD.reference, OLD.currency, OLD.created_at)
    IS DISTINCT FROM ROW(NEW.id, NEW.cart_id, NEW.owner, NEW.reference, NEW.currency, NEW.created_at))
    EXECUTE FUNCTION frozen_guard('The columns id, cart_id, owner, reference, currency, created_at');
CREATE TRIGGER frozen BEFORE UPDATE OF checkout_id, gateway, created_at ON payments FOR EACH ROW
    WHEN (ROW(OLD.checkout_id, OLD.gateway, OLD.created_at)
    IS DISTINCT FROM ROW(NEW.checkout_id, NEW.gateway, NEW.created_at))
    EXECUTE FUNCTION frozen_guard('The columns checkout_id, gateway, created_at');
CREATE TRIGGER frozen BEFORE UPDATE OF checkout_id, kind, n, idempotency_key, amount_minor, created_at
    ON payment_operations FOR EACH ROW
    WHEN (ROW(OLD.checkout_id, OLD.kind, OLD.n, OLD.idempotency_key, OLD.amount_minor, OLD.created_at)
    IS DISTINCT FROM ROW(NEW.checkout_id, NEW.kind, NEW.n, NEW.idempotency_key, NEW.amount_minor, NEW.created_at))
    EXECUTE FUNCTION frozen_guard('The columns checkout_id, kind, n, idempotency_key, amount_minor, created_at');
CREATE TRIGGER frozen BEFORE UPDATE OF id, checkout_id, cart_id, owner, reference, currency, subtotal_minor,
    discount_minor, shipping_minor, tax_minor, total_minor, shipping, shipping_address, billing_address, created_at,
    customer ON orders FOR EACH ROW WHEN (ROW(OLD.id, OLD.checkout_id, OLD.cart_id, OLD.owner, OLD.reference,
    OLD.currency, OLD.subtotal_minor, OLD.discount_minor, OLD.shipping_minor, OLD.tax_minor, OLD.total_minor,
    OLD.shipping, OLD.shipping_address, OLD.billing_address, OLD.created_at, OLD.customer)
    IS DISTINCT FROM ROW(NEW.id, NEW.checkout_id, NEW.cart_id, NEW.owner, NEW.reference, NEW.currency,
    NEW.subtotal_minor, NEW.discount_minor, NEW.shipping_minor, NEW.tax_minor, NEW.total_minor, NEW.shipping,
    NEW.shipping_address, NEW.billing_address, NEW.created_at, NEW.customer))
    EXECUTE FUNCTION frozen_guard('The columns id, checkout_id, cart_id, owner, reference, currency, '
    'subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor, shipping, shipping_address, '
    'billing_address, created_at, customer');
CREATE TRIGGER frozen BEFORE UPDATE OF checkout_id, line, variant_id, location_id, quantity ON reservations
    FOR EACH ROW WHEN (ROW(OLD.checkout_id, OLD.line, OLD.variant_id, OLD.location_id, OLD.quantity)
    IS DISTINCT FROM ROW(NEW.checkout_id, NEW.line, NEW.variant_id, NEW.location_id, NEW.quantity))
    EXECUTE FUNCTION frozen_guard('The columns checkout_id, line, variant_id, location_id, quantity');
CREATE TRIGGER frozen BEFORE UPDATE OF checkout_id, code, promotion_id, customer, redeemed_at ON redemptions
    FOR EACH ROW WHEN (ROW(OLD.checkout_id, OLD.code, OLD.promotion_id, OLD.customer, OLD.redeemed_at)
    IS DISTINCT FROM ROW(NEW.checkout_id, NEW.code, NEW.promotion_id, NEW.customer, NEW.redeemed_at))
    EXECUTE FUNCTION frozen_guard('The columns checkout_id, code, promotion_id, customer, redeemed_at');
CREATE TRIGGER frozen BEFORE UPDATE OF id, gateway, event_id, kind, reference, checkout_id, body, received_at
    ON webhook_inbox FOR EACH ROW
    WHEN (ROW(OLD.id, OLD.gateway, OLD.event_id, OLD.kind, OLD.reference, OLD.checkout_id, OLD.body, OLD.received_at)
    IS DISTINCT FROM ROW(NEW.id, NEW.gateway, NEW.event_id, NEW.kind, NEW.reference, NEW.checkout_id, NEW.body,
    NEW.received_at))
    EXECUTE FUNCTION frozen_guard('The columns id, gateway, event_id, kind, reference, checkout_id, body, received_at');

CREATE TRIGGER frozen BEFORE UPDATE OF id, order_id, checkout_id, owner, kind, reason, actor, idempotency_key,
    fingerprint, options, reference, created_at ON order_changes FOR EACH ROW
    WHEN (ROW(OLD.id, OLD.order_id, OLD.checkout_id, OLD.owner, OLD.kind, OLD.reason, OLD.actor,
    OLD.idempotency_key, OLD.fingerprint, OLD.options, OLD.reference, OLD.created_at)
    IS DISTINCT FROM ROW(NEW.id, NEW.order_id, NEW.checkout_id, NEW.owner, NEW.kind, NEW.reason, NEW.actor,
    NEW.idempotency_key, NEW.fingerprint, NEW.options, NEW.reference, NEW.created_at))
    EXECUTE FUNCTION frozen_guard('The columns id, order_id, checkout_id, owner, kind, reason, actor, '
    'idempotency_key, fingerprint, options, reference, created_at');
CREATE TRIGGER frozen BEFORE UPDATE OF id, change_id, checkout_id, n, idempotency_key, amount_minor, created_at
    ON refunds FOR EACH ROW
    WHEN (ROW(OLD.id, OLD.change_id, OLD.checkout_id, OLD.n, OLD.idempotency_key, OLD.amount_minor, OLD.created_at)
    IS DISTINCT FROM ROW(NEW.id, NEW.change_id, NEW.checkout_id, NEW.n, NEW.idempotency_key, NEW.amount_minor,
    NEW.created_at))
    EXECUTE FUNCTION frozen_guard('The columns id, change_id, checkout_id, n, idempotency_key, amount_minor, created_at');

-- Columns that get their value once.
CREATE TRIGGER once BEFORE UPDATE OF reference ON refunds FOR EACH ROW WHEN (OLD.reference IS NOT NULL
    AND ROW(OLD.reference) IS DISTINCT FROM ROW(NEW.reference))
    EXECUTE FUNCTION frozen_guard('The refund at the provider');
CREATE TRIGGER once BEFORE UPDATE OF ending, failure_code, failure_phase, failure_message, failure_detail ON checkouts
    FOR EACH ROW WHEN (OLD.ended_at IS NOT NULL
    AND ROW(OLD.ending, OLD.failure_code, OLD.failure_phase, OLD.failure_message, OLD.failure_detail)
    IS DISTINCT FROM ROW(NEW.ending, NEW.failure_code, NEW.failure_phase, NEW.failure_message, NEW.failure_detail))
    EXECUTE FUNCTION frozen_guard('The reason of the end');
CREATE TRIGGER once BEFORE UPDATE OF reference ON payments FOR EACH ROW WHEN (OLD.reference IS NOT NULL
    AND ROW(OLD.reference) IS DISTINCT FROM ROW(NEW.reference))
    EXECUTE FUNCTION frozen_guard('The object at the provider');
CREATE TRIGGER once BEFORE UPDATE OF number, placed_at, cancelled_at ON orders FOR EACH ROW
    WHEN (OLD.state <> 'pending' AND (ROW(OLD.number, OLD.placed_at) IS DISTINCT FROM ROW(NEW.number, NEW.placed_at)
    OR OLD.cancelled_at IS DISTINCT FROM NEW.cancelled_at AND NOT (OLD.state = 'placed' AND NEW.state = 'cancelled')))
    EXECUTE FUNCTION frozen_guard('The number and the time');
CREATE TRIGGER once BEFORE UPDATE OF returned_at ON redemptions FOR EACH ROW WHEN (OLD.returned_at IS NOT NULL
    AND ROW(OLD.returned_at) IS DISTINCT FROM ROW(NEW.returned_at))
    EXECUTE FUNCTION frozen_guard('The time of the return');

CREATE FUNCTION transition_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'CK003',
        MESSAGE = format('A row of %s is %s and cannot become %s.', TG_TABLE_NAME, to_jsonb(OLD) ->> TG_ARGV[0],
                         to_jsonb(NEW) ->> TG_ARGV[0]);
END $$;

-- The transitions of models/states.py; all others are refused.
CREATE TRIGGER transitions BEFORE UPDATE OF status ON payments FOR EACH ROW
    WHEN (OLD.status <> NEW.status AND ((OLD.status, NEW.status) NOT IN (
        ('new', 'action_required'), ('new', 'authorized'), ('new', 'cancelled'), ('new', 'captured'),
        ('new', 'open'), ('new', 'refunded'),
        ('open', 'action_required'), ('open', 'authorized'), ('open', 'cancelled'), ('open', 'captured'),
        ('open', 'refunded'),
        ('action_required', 'authorized'), ('action_required', 'cancelled'), ('action_required', 'captured'),
        ('action_required', 'open'), ('action_required', 'refunded'),
        ('authorized', 'cancelled'), ('authorized', 'captured'), ('authorized', 'refunded'),
        ('cancelled', 'authorized'), ('cancelled', 'captured'), ('cancelled', 'refunded'),
        ('captured', 'authorized'), ('captured', 'cancelled'), ('captured', 'refunded'),
        ('refunded', 'authorized'), ('refunded', 'cancelled'), ('refunded', 'captured')
    )))
    EXECUTE FUNCTION transition_guard('status');
CREATE TRIGGER transitions BEFORE UPDATE OF status ON payment_operations FOR EACH ROW
    WHEN (OLD.status <> NEW.status AND ((OLD.status, NEW.status) NOT IN (
        ('intended', 'action_required'), ('intended', 'declined'), ('intended', 'succeeded'),
        ('intended', 'unknown'),
        ('unknown', 'action_required'), ('unknown', 'declined'), ('unknown', 'succeeded'),
        ('action_required', 'declined'), ('action_required', 'succeeded'),
        ('succeeded', 'declined')
    )
    OR OLD.status = 'succeeded' AND OLD.kind NOT IN ('capture', 'refund')))
    EXECUTE FUNCTION transition_guard('status');
CREATE TRIGGER transitions BEFORE UPDATE OF state ON orders FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND ((OLD.state, NEW.state) NOT IN (
        ('pending', 'cancelled'), ('pending', 'placed'), ('placed', 'cancelled')
    )))
    EXECUTE FUNCTION transition_guard('state');
CREATE TRIGGER transitions BEFORE UPDATE OF state ON reservations FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND ((OLD.state, NEW.state) NOT IN (
        ('held', 'committed'), ('held', 'released')
    )))
    EXECUTE FUNCTION transition_guard('state');
CREATE TRIGGER transitions BEFORE UPDATE OF state ON order_changes FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND ((OLD.state, NEW.state) NOT IN (
        ('requested', 'done'), ('requested', 'failed'), ('requested', 'needs_review'), ('requested', 'running'),
        ('running', 'done'), ('running', 'failed'), ('running', 'needs_review'),
        ('needs_review', 'done'), ('needs_review', 'failed'), ('needs_review', 'running'),
        ('done', 'needs_review'), ('done', 'running')
    )))
    EXECUTE FUNCTION transition_guard('state');
CREATE TRIGGER transitions BEFORE UPDATE OF status ON refunds FOR EACH ROW
    WHEN (OLD.status <> NEW.status AND ((OLD.status, NEW.status) NOT IN (
        ('intended', 'declined'), ('intended', 'succeeded'), ('intended', 'unknown'),
        ('unknown', 'declined'), ('unknown', 'succeeded'),
        ('succeeded', 'returned')
    )))
    EXECUTE FUNCTION transition_guard('status');
