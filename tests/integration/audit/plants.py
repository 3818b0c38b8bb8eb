"""Rows that violate one invariant each, and how rows are written for the audit's tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from pipeline.audit.report import AuditReport
from tests.integration.audit.change_plants import CHANGE_PLANTS
from tests.integration.audit.history_plants import HISTORY_PLANTS

CONSISTENT_ROWS: Final = Path(__file__).with_name("consistent_rows.sql")


@dataclass(frozen=True)
class Plant:
    """A broken invariant: the SQL that breaks it, past every guard, and the rows that then break it."""

    invariant: str
    sql: str
    rows: int = 1


def checkout_id(n: int) -> str:
    return f"'00000000-0000-7000-8000-00000000000{n}'"


def cart_id(n: int) -> str:
    return f"'00000000-0000-7000-8000-0000000000c{n}'"


def empty_order(state: str, number: str, checkout: int, cart: int) -> str:
    """SQL of an order of nothing, with its lock: it breaks no invariant about amounts and lines."""
    return (
        "INSERT INTO price_locks (checkout_id, currency, subtotal_minor, discount_minor, shipping_minor, tax_minor,"
        f" total_minor, rounding, shipping_address, hash) VALUES ({checkout_id(checkout)}, 'EUR', 0, 0, 0, 0, 0,"
        " 'none', '{}', 'c');" + empty_order_row(state, number, checkout, cart_id(cart))
    )


def empty_order_row(state: str, number: str, checkout: int, cart: str) -> str:
    return (
        "INSERT INTO orders (id, checkout_id, cart_id, number, state, owner, currency, subtotal_minor, discount_minor,"
        f" shipping_minor, tax_minor, total_minor, shipping_address) VALUES (gen_random_uuid(),"
        f" {checkout_id(checkout)}, {cart}, {number}, '{state}', 'shop', 'EUR', 0, 0, 0, 0, 0, '{{}}');"
    )


def empty_lock(amounts: str) -> str:
    """SQL of a lock of the running checkout, without lines and shipping, and with these amounts all the same."""
    return (
        "INSERT INTO price_locks (checkout_id, currency, rounding, shipping_address, hash, subtotal_minor,"
        " discount_minor, shipping_minor, tax_minor, total_minor)"
        f" VALUES ({checkout_id(3)}, 'EUR', 'half-up, tax per line', '{{}}', 'c', {amounts});"
    )


def running_checkout(n: int, cart: int) -> str:
    return (
        "INSERT INTO checkouts (id, cart_id, owner, currency, straight_through, expires_at, due_at, due_reason)"
        f" VALUES ({checkout_id(n)}, {cart_id(cart)}, 'shop', 'EUR', true, now(), now(), 'stalled');"
    )


def operation(checkout: int, kind: str, n: int, amount: int, status: str) -> str:
    return (
        "INSERT INTO payment_operations (checkout_id, kind, n, idempotency_key, amount_minor, status, fence)"
        f" SELECT id, '{kind}', {n}, id || ':{kind}:{n}', {amount}, '{status}', 0 FROM checkouts"
        f" WHERE id = {checkout_id(checkout)};"
    )


PLANTS: Final = (
    # Reserved units without a reservation: only the ledger and the level agree.
    Plant(
        "reserved_is_held",
        "ALTER TABLE stock_movements DROP CONSTRAINT stock_movements_checkout_check;"
        "INSERT INTO stock_movements (variant_id, location_id, kind, quantity) VALUES (1, 1, 'reserve', 1);"
        "UPDATE stock_levels SET reserved = 2",
    ),
    Plant(
        "no_oversell",
        "ALTER TABLE stock_levels DROP CONSTRAINT stock_levels_no_oversell_check;"
        "INSERT INTO stock_movements (variant_id, location_id, kind, quantity) VALUES (1, 1, 'adjust', -8);"
        "UPDATE stock_levels SET on_hand = 0",
    ),
    Plant("stock_is_ledger", "UPDATE stock_levels SET on_hand = 9"),
    Plant("stock_is_ledger", "INSERT INTO stock_levels (variant_id, location_id, on_hand) VALUES (1, 2, 5)"),
    Plant(
        "stock_is_ledger",
        "INSERT INTO stock_movements (variant_id, location_id, kind, quantity) VALUES (1, 2, 'receive', 5)",
    ),
    Plant(
        "reservations_are_ledger",
        f"UPDATE stock_movements SET checkout_id = {checkout_id(2)} WHERE checkout_id = {checkout_id(3)}",
        rows=2,
    ),
    Plant("one_active_checkout", "DROP INDEX checkouts_active_cart_key;" + running_checkout(4, cart=3)),
    Plant(
        "one_order",
        "DROP INDEX orders_cart_key;"
        + running_checkout(4, cart=1)
        + empty_order("pending", "NULL", checkout=4, cart=1),
    ),
    Plant(
        "one_order",
        "ALTER TABLE orders DROP CONSTRAINT orders_checkout_id_key;"
        + empty_order("pending", "NULL", checkout=3, cart=3)
        + empty_order_row("pending", "NULL", checkout=3, cart="gen_random_uuid()"),
    ),
    Plant("cart_completed_when_bought", f"UPDATE carts SET state = 'open' WHERE id = {cart_id(1)}"),
    Plant("cart_completed_when_bought", f"UPDATE carts SET state = 'completed' WHERE id = {cart_id(2)}"),
    Plant(
        "completed_is_placed",
        "ALTER TABLE orders DROP CONSTRAINT orders_number_check; UPDATE orders SET number = NULL",
    ),
    Plant("completed_is_placed", f"UPDATE orders SET cart_id = {cart_id(3)} WHERE state = 'placed'"),
    Plant("completed_is_placed", empty_order("placed", "1002", checkout=3, cart=3)),
    Plant("lines_keep_their_variant", "UPDATE checkout_lines SET variant_id = 2"),
    Plant("lines_keep_their_variant", f"UPDATE reservations SET variant_id = 2 WHERE checkout_id = {checkout_id(2)}"),
    Plant("lines_keep_their_variant", f"DELETE FROM reservations WHERE checkout_id = {checkout_id(2)}"),
    Plant(
        "lines_keep_their_variant",
        f"INSERT INTO checkout_lines (checkout_id, line, variant_id) VALUES ({checkout_id(2)}, 2, 1)",
    ),
    Plant("order_lines_are_locked_lines", "UPDATE order_lines SET sku = 'cup' WHERE quantity = 2"),
    Plant(
        "order_lines_are_locked_lines",
        "UPDATE price_lock_lines SET quantity = 1, unit_price_minor = 500 WHERE quantity = 2",
    ),
    Plant(
        "order_lines_are_locked_lines",
        "INSERT INTO price_lock_lines (checkout_id, line, variant_id, sku, title, quantity, unit_price_minor,"
        " price_source, tax_included, subtotal_minor, discount_minor, tax_minor, total_minor, discounts, taxes)"
        " SELECT checkout_id, 2, variant_id, sku, title, 1, 0, price_source, tax_included, 0, 0, 0, 0, '[]', '[]'"
        " FROM price_lock_lines WHERE quantity = 2",
    ),
    Plant("order_lines_are_locked_lines", "UPDATE order_lines SET tax_included = false WHERE quantity = 3"),
    Plant("order_lines_are_locked_lines", "UPDATE order_lines SET discounts = '[]' WHERE quantity = 2"),
    Plant("order_lines_are_locked_lines", "UPDATE order_lines SET taxes = '[]' WHERE quantity = 2"),
    Plant("order_total_is_locked_total", "UPDATE price_locks SET currency = 'USD' WHERE total_minor = 500"),
    Plant("order_total_is_locked_total", "UPDATE price_locks SET voided_at = now() WHERE total_minor = 500"),
    Plant("order_total_is_locked_total", "UPDATE orders SET total_minor = 751 WHERE state = 'cancelled'"),
    Plant("order_total_is_locked_total", "UPDATE orders SET discount_minor = 49 WHERE state = 'placed'"),
    Plant("order_total_is_locked_total", "UPDATE orders SET tax_minor = 82 WHERE state = 'placed'"),
    Plant(
        "order_total_is_locked_total",
        "UPDATE orders SET shipping = shipping || '{\"title\": \"Courier\"}' WHERE state = 'placed'",
    ),
    Plant("order_total_is_locked_total", 'UPDATE orders SET shipping_address = \'{"city": "Bath"}\' WHERE number > 0'),
    Plant("order_total_is_locked_total", "UPDATE orders SET billing_address = '{}' WHERE number > 0"),
    Plant("price_lock_is_unforged", "UPDATE price_locks SET tax_id = 'GB123' WHERE total_minor = 500"),
    Plant("price_lock_is_unforged", "UPDATE price_locks SET hash = 'forged' WHERE total_minor = 750"),
    Plant("price_lock_is_unforged", "UPDATE price_lock_lines SET price_source = 'external'", rows=2),
    Plant(
        "price_lock_adds_up",
        empty_lock("0, 0, 0, 0, 1"),
    ),
    Plant(
        "price_lock_adds_up",
        empty_lock("0, 0, 0, 1, 0"),
    ),
    Plant(
        "price_lock_adds_up",
        empty_lock("1, 0, 0, 0, 0"),
    ),
    Plant(
        "price_lock_adds_up",
        empty_lock("0, 1, 0, 0, 0"),
    ),
    Plant(
        "price_lock_adds_up",
        empty_lock("0, 0, 1, 0, 1"),
    ),
    Plant("coupon_uses_are_redemptions", "UPDATE coupons SET used = 0"),
    Plant("coupon_uses_are_redemptions", "DELETE FROM redemptions WHERE returned_at IS NULL"),
    Plant(
        "coupon_uses_are_redemptions",
        "ALTER TABLE coupons DROP CONSTRAINT coupons_used_check; UPDATE coupons SET usage_limit = 0",
    ),
    Plant(
        "undone_returns_coupons",
        "UPDATE redemptions SET returned_at = NULL; UPDATE coupons SET used = 2, usage_limit = 2",
    ),
    Plant(
        "completed_stock_is_sold",
        "INSERT INTO reservations (checkout_id, line, variant_id, location_id, quantity)"
        f" VALUES ({checkout_id(1)}, 2, 1, 1, 1); UPDATE stock_levels SET reserved = 2;"
        "INSERT INTO stock_movements (variant_id, location_id, kind, quantity, checkout_id)"
        f" VALUES (1, 1, 'reserve', 1, {checkout_id(1)})",
    ),
    Plant(
        "completed_stock_is_sold",
        f"UPDATE reservations SET quantity = 1 WHERE checkout_id = {checkout_id(1)};"
        f"UPDATE stock_movements SET quantity = sign(quantity) WHERE checkout_id = {checkout_id(1)};"
        "UPDATE stock_levels SET on_hand = 9",
    ),
    # Charged twice, refunded once: the sum is right and the buyer's statement is not.
    Plant(
        "completed_is_captured_once",
        "DROP INDEX payment_operations_once_key;"
        + operation(1, "capture", 2, 500, "succeeded")
        + operation(1, "refund", 1, 500, "succeeded"),
    ),
    Plant("completed_is_captured_once", operation(1, "void", 1, 500, "succeeded")),
    Plant("completed_is_captured_once", "UPDATE payments SET status = 'authorized' WHERE status = 'captured'"),
    Plant("charge_is_order_total", operation(2, "capture", 2, 750, "succeeded")),
    Plant("ended_is_settled", operation(1, "capture", 2, 500, "unknown")),
    Plant("ended_is_settled", operation(2, "void", 2, 750, "intended")),
    Plant(
        "undone_holds_no_stock",
        f"UPDATE reservations SET state = 'held' WHERE checkout_id = {checkout_id(2)};"
        "DELETE FROM stock_movements WHERE kind = 'release'; UPDATE stock_levels SET reserved = 4",
    ),
    Plant("undone_price_lock_is_void", "UPDATE price_locks SET voided_at = NULL"),
    Plant("undone_order_is_cancelled", "UPDATE orders SET state = 'pending' WHERE state = 'cancelled'"),
    Plant("undone_payment_is_voided", "UPDATE payments SET status = 'authorized' WHERE status = 'cancelled'"),
    Plant("undone_payment_is_voided", "UPDATE payments SET status = 'captured' WHERE status = 'cancelled'"),
    Plant("active_has_a_due_time", "UPDATE checkouts SET due_at = NULL, due_reason = NULL WHERE state = 'running'"),
    Plant("nothing_is_overdue", "UPDATE checkouts SET due_at = now() - interval '1 hour' WHERE state = 'running'"),
    Plant(
        "reservations_expire",
        "UPDATE checkouts SET state = 'awaiting_payment', due_at = NULL, due_reason = NULL,"
        " expires_at = now() - interval '1 hour' WHERE state = 'running'",
    ),
    Plant(
        "reservations_expire",
        "UPDATE checkouts SET state = 'action_required', expires_at = now() - interval '1 hour'"
        " WHERE state = 'running'",
    ),
    Plant(
        "one_ending_event",
        f"INSERT INTO events (checkout_id, kind, owner) VALUES ({checkout_id(1)}, 'checkout.completed', 'shop')",
    ),
    Plant("one_ending_event", "UPDATE events SET kind = 'checkout.expired' WHERE kind = 'checkout.failed'"),
    Plant("one_ending_event", "DELETE FROM events WHERE kind = 'checkout.completed'"),
    Plant(
        "one_ending_event",
        f"INSERT INTO events (checkout_id, kind, owner) VALUES ({checkout_id(3)}, 'checkout.failed', 'shop')",
    ),
    Plant(
        "bank_charge_is_order_total",
        "UPDATE sandbox.payments SET status = 'cancelled', captured_minor = 0 WHERE reference = 'pay_1';"
        "UPDATE sandbox.entries SET kind = 'cancel' WHERE kind = 'capture'",
    ),
    Plant(
        "bank_charge_is_order_total",
        "UPDATE sandbox.payments SET status = 'captured', captured_minor = 750 WHERE reference = 'pay_2';"
        "UPDATE sandbox.entries SET kind = 'capture' WHERE kind = 'cancel'",
    ),
    Plant(
        "bank_holds_no_authorization",
        "UPDATE sandbox.payments SET status = 'authorized' WHERE reference = 'pay_2';"
        "DELETE FROM sandbox.entries WHERE kind = 'cancel'",
    ),
    Plant(
        "bank_charged_once",
        "INSERT INTO sandbox.payments (reference, checkout_id, currency, amount_minor, status, authorized_minor,"
        f" captured_minor, refunded_minor) VALUES ('pay_3', {checkout_id(1)}, 'EUR', 500, 'refunded', 500, 500, 500);"
        "INSERT INTO sandbox.entries (reference, kind, amount_minor)"
        " VALUES ('pay_3', 'authorize', 500), ('pay_3', 'capture', 500), ('pay_3', 'refund', 500)",
    ),
    *(Plant(*each) for each in HISTORY_PLANTS),
    *(Plant(*each) for each in CHANGE_PLANTS),
    Plant(
        "operations_are_of_the_locked_total",
        "UPDATE payment_operations SET amount_minor = 751 WHERE kind = 'authorize' AND amount_minor = 750",
    ),
    Plant("bank_ledger_agrees", "UPDATE sandbox.entries SET amount_minor = 499 WHERE kind = 'capture'"),
    Plant("bank_ledger_agrees", "UPDATE sandbox.entries SET amount_minor = 499 WHERE kind = 'authorize'", rows=2),
    Plant("bank_ledger_agrees", "DELETE FROM sandbox.entries WHERE kind = 'cancel'"),
    Plant(
        "bank_ledger_agrees",
        "INSERT INTO sandbox.entries (reference, kind, amount_minor) VALUES ('pay_9', 'refund', 1)",
    ),
    Plant(
        "bank_has_no_orphaned_payments",
        "INSERT INTO sandbox.payments (reference, checkout_id, currency, amount_minor, status, authorized_minor,"
        " captured_minor, refunded_minor) VALUES ('pay_3', gen_random_uuid(), 'EUR', 500, 'open', 0, 0, 0)",
    ),
)


def write_books(connection: Connection) -> None:
    connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
    connection.exec_driver_sql(CONSISTENT_ROWS.read_text())
    connection.exec_driver_sql("SET LOCAL session_replication_role = origin")


def broken(report: AuditReport) -> dict[str, int]:
    return {violation.invariant: violation.count for violation in report.violations}
