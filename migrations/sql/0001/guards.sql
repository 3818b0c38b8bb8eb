-- Rules that triggers enforce for every client, `psql` included. Refusals carry SQLSTATEs of their own:
-- CK001 the cart is locked, CK002 the row is history, CK003 no such transition (models/guards.py).

-- VOLATILE, so that the second statement sees what committed while the first one waited for the row. The row of a cart
-- that is itself written has been locked by PostgreSQL before this is called.
CREATE FUNCTION cart_guard() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    touched uuid[];
    active record;
    sold record;
BEGIN
    IF TG_TABLE_NAME = 'carts' THEN
        SELECT id, cart_id, expires_at INTO active FROM checkouts
            WHERE cart_id = OLD.id AND state IN ('action_required', 'awaiting_payment', 'needs_review', 'running', 'unwinding');
    ELSE
        touched := CASE TG_OP WHEN 'INSERT' THEN ARRAY[NEW.cart_id] WHEN 'DELETE' THEN ARRAY[OLD.cart_id]
                   ELSE ARRAY[OLD.cart_id, NEW.cart_id] END;
        PERFORM 1 FROM carts WHERE id = ANY(touched) ORDER BY id FOR NO KEY UPDATE;
        SELECT id, cart_id, expires_at INTO active FROM checkouts
            WHERE cart_id = ANY(touched) AND state IN ('action_required', 'awaiting_payment', 'needs_review', 'running', 'unwinding') LIMIT 1;
    END IF;
    IF FOUND THEN
        -- The one allowed change: a phase completes the cart of the order it has just placed.
        -- Nested: a line has no state, and PL/pgSQL resolves all the fields of an expression.
        IF TG_TABLE_NAME = 'carts' AND TG_OP = 'UPDATE' THEN
            IF OLD.state = 'open' AND NEW.state = 'completed' THEN
                sold := OLD;
                sold.state := NEW.state;
                sold.updated_at := NEW.updated_at;
                IF sold IS NOT DISTINCT FROM NEW
                   AND EXISTS (SELECT FROM orders WHERE checkout_id = active.id AND state = 'placed') THEN
                    RETURN NEW;
                END IF;
            END IF;
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'CK001',
            MESSAGE = format('Cart %s is locked by checkout %s, which expires at %s.',
                             active.cart_id, active.id, active.expires_at),
            DETAIL = jsonb_build_object('cart_id', active.cart_id, 'checkout_id', active.id,
                                        'expires_at', active.expires_at)::text,
            HINT = 'Wait until the checkout has ended, or cancel it; then change the cart.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER cart_guard BEFORE UPDATE OR DELETE ON carts FOR EACH ROW EXECUTE FUNCTION cart_guard();
CREATE TRIGGER cart_guard BEFORE INSERT OR UPDATE OR DELETE ON cart_lines FOR EACH ROW EXECUTE FUNCTION cart_guard();

CREATE FUNCTION cart_lines_guard() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF EXISTS (SELECT FROM checkouts WHERE state IN ('action_required', 'awaiting_payment', 'needs_review', 'running', 'unwinding')) THEN
        RAISE EXCEPTION USING ERRCODE = 'CK001', MESSAGE = 'Some carts are locked by checkouts.',
            HINT = 'Delete the lines of single carts instead.';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER cart_lines_guard BEFORE TRUNCATE ON cart_lines FOR EACH STATEMENT EXECUTE FUNCTION cart_lines_guard();

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
END $$;
CREATE TRIGGER checkout_guard BEFORE UPDATE ON checkouts FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR OLD.fence <> NEW.fence OR OLD.pivot_at IS DISTINCT FROM NEW.pivot_at)
    EXECUTE FUNCTION checkout_guard();

CREATE FUNCTION price_lock_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.voided_at IS NULL AND NEW.voided_at IS NOT NULL
       AND to_jsonb(OLD) - 'voided_at' = to_jsonb(NEW) - 'voided_at' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'CK002',
        MESSAGE = 'A price lock is frozen: it may be voided once, and nothing else of it may change.',
        HINT = 'Void it and start a new checkout.';
END $$;
CREATE TRIGGER price_lock_guard BEFORE UPDATE ON price_locks FOR EACH ROW EXECUTE FUNCTION price_lock_guard();
