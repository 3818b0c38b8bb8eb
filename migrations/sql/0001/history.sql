-- Rows that are never removed: history is inserted and never changed.

CREATE FUNCTION append_only_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'CK002',
        MESSAGE = format('Rows of %s are history: they are neither changed nor removed.', TG_TABLE_NAME),
        HINT = 'Write a new row that corrects it.';
END $$;

-- Rows that are inserted and never changed.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON checkout_lines FOR EACH ROW EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON order_lines FOR EACH ROW EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON order_change_lines FOR EACH ROW
    EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON catalog_changes FOR EACH ROW EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON price_lock_lines FOR EACH ROW
    EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON stock_movements FOR EACH ROW
    EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER keep_checkout_lines BEFORE TRUNCATE ON checkout_lines FOR EACH STATEMENT
    EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER keep_events BEFORE TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER keep_order_lines BEFORE TRUNCATE ON order_lines FOR EACH STATEMENT EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER keep_order_change_lines BEFORE TRUNCATE ON order_change_lines FOR EACH STATEMENT
    EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER keep_catalog_changes BEFORE TRUNCATE ON catalog_changes FOR EACH STATEMENT
    EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER keep_price_lock_lines BEFORE TRUNCATE ON price_lock_lines FOR EACH STATEMENT
    EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER keep_idempotency_keys BEFORE TRUNCATE ON idempotency_keys FOR EACH STATEMENT
    EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER keep_stock_movements BEFORE TRUNCATE ON stock_movements FOR EACH STATEMENT
    EXECUTE FUNCTION append_only_guard();

-- Rows that are never removed, though some of their columns change.
CREATE TRIGGER keep_checkouts BEFORE DELETE OR TRUNCATE ON checkouts FOR EACH STATEMENT
    EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER keep_orders BEFORE DELETE OR TRUNCATE ON orders FOR EACH STATEMENT EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER keep_order_changes BEFORE DELETE OR TRUNCATE ON order_changes FOR EACH STATEMENT
    EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER keep_refunds BEFORE DELETE OR TRUNCATE ON refunds FOR EACH STATEMENT EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER keep_payment_operations BEFORE DELETE OR TRUNCATE ON payment_operations FOR EACH STATEMENT
    EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER keep_payments BEFORE DELETE OR TRUNCATE ON payments FOR EACH STATEMENT
    EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER keep_price_locks BEFORE DELETE OR TRUNCATE ON price_locks FOR EACH STATEMENT
    EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER keep_redemptions BEFORE DELETE OR TRUNCATE ON redemptions FOR EACH STATEMENT
    EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER keep_reservations BEFORE DELETE OR TRUNCATE ON reservations FOR EACH STATEMENT
    EXECUTE FUNCTION append_only_guard();

-- Tables whose old rows may be deleted: no row of the last day, and none that is still to be processed.
CREATE TRIGGER keep_lately BEFORE DELETE ON rejected_messages FOR EACH ROW
    WHEN (OLD.received_at > now() - interval '1 day') EXECUTE FUNCTION append_only_guard();
CREATE TRIGGER keep_lately BEFORE DELETE ON webhook_inbox FOR EACH ROW
    WHEN (OLD.due_at IS NOT NULL OR OLD.received_at > now() - interval '1 day') EXECUTE FUNCTION append_only_guard();
