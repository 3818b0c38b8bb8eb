-- Bounds of order changes that no client can exceed, `psql` included. Refusals have SQLSTATE CK005 (models/guards.py).
-- VOLATILE, so that the statements after the row lock see what committed while it was waited for.

-- Refunds that are intended, unknown or succeeded are never more than what was captured.
CREATE FUNCTION refund_guard() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    captured bigint;
    counted bigint;
BEGIN
    PERFORM FROM payments WHERE checkout_id = NEW.checkout_id FOR NO KEY UPDATE;
    SELECT coalesce(sum(amount_minor), 0) INTO captured FROM payment_operations
        WHERE checkout_id = NEW.checkout_id AND kind = 'capture' AND status = 'succeeded';
    SELECT coalesce(sum(amount_minor), 0) INTO counted FROM refunds
        WHERE checkout_id = NEW.checkout_id AND id <> NEW.id AND status IN ('intended', 'succeeded', 'unknown');
    IF counted + NEW.amount_minor > captured THEN
        RAISE EXCEPTION USING ERRCODE = 'CK005',
            MESSAGE = format('Refunds of checkout %s would be %s, and %s was captured.',
                             NEW.checkout_id, counted + NEW.amount_minor, captured),
            HINT = 'Refund less.';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER refund_guard AFTER INSERT ON refunds FOR EACH ROW
    WHEN (NEW.status IN ('intended', 'succeeded', 'unknown')) EXECUTE FUNCTION refund_guard();

-- Units of changes that have not failed: refunded and fulfilled ones are never more than were ordered in the line,
-- restocked ones never more than were sold of it at the location.
CREATE FUNCTION change_line_guard() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    changed record;
    bound bigint;
    counted bigint;
BEGIN
    SELECT c.order_id, c.checkout_id INTO changed FROM order_changes c WHERE c.id = NEW.change_id;
    PERFORM FROM orders WHERE id = changed.order_id FOR NO KEY UPDATE;
    IF NEW.purpose = 'restock' THEN
        SELECT coalesce(sum(quantity), 0) INTO bound FROM reservations
            WHERE checkout_id = changed.checkout_id AND line = NEW.line AND location_id = NEW.location_id
              AND state = 'committed';
    ELSE
        SELECT coalesce(sum(quantity), 0) INTO bound FROM order_lines
            WHERE order_id = changed.order_id AND line = NEW.line;
    END IF;
    SELECT coalesce(sum(l.quantity), 0) INTO counted FROM order_change_lines l JOIN order_changes c ON c.id = l.change_id
        WHERE c.order_id = changed.order_id AND c.state <> 'failed' AND l.line = NEW.line AND l.purpose = NEW.purpose
          AND (NEW.purpose <> 'restock' OR l.location_id = NEW.location_id);
    IF counted > bound THEN
        RAISE EXCEPTION USING ERRCODE = 'CK005',
            MESSAGE = format('Line %s of order %s would have %s units of %s, and at most %s are possible.',
                             NEW.line, changed.order_id, counted, NEW.purpose, bound),
            HINT = 'Name fewer units.';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER change_line_guard AFTER INSERT ON order_change_lines FOR EACH ROW EXECUTE FUNCTION change_line_guard();
