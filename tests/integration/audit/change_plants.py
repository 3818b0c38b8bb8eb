"""What breaks an invariant about changes of orders, and nothing else: the invariant, the SQL past guards, the rows.

Each begins with a life: one of two mugs and the postage were refunded, one was restocked and one sent, and a dispute
was won. Or with another life: the order was cancelled.
"""

from typing import Final

_ORDER: Final = "'00000000-0000-7000-8000-0000000000b1'"
_CHECKOUT: Final = "'00000000-0000-7000-8000-000000000001'"


def _change(n: int, kind: str, state: str, amount: str, others: str = "NULL, NULL", actor: str = "operator:ada") -> str:
    """SQL of a change; `others` are its reference and when it is due."""
    ended = "now()" if state in ("done", "failed") else "NULL"
    return (
        "INSERT INTO order_changes (id, order_id, checkout_id, owner, kind, state, amount_minor, actor, reference,"
        f" due_at, created_at, ended_at) VALUES ({change_id(n)}, {_ORDER}, {_CHECKOUT}, 'shop', '{kind}', '{state}',"
        f" {amount}, '{actor}', {others}, now() + interval '{n} s', {ended});"
    )


def change_id(n: int) -> str:
    return f"'00000000-0000-7000-8000-0000000000e{n}'"


def _line(n: int, purpose: str, quantity: int, amount: int = 0) -> str:
    return (
        "INSERT INTO order_change_lines (change_id, purpose, line, location_id, quantity, amount_minor)"
        f" VALUES ({change_id(n)}, '{purpose}', 1, 1, {quantity}, {amount});"
    )


def _refund(n: int, number: int, amount: int, status: str = "succeeded", key: str | None = None) -> str:
    named = f"{_CHECKOUT} || ':refund_amount:{number}'" if key is None else key
    return (
        "INSERT INTO refunds (change_id, checkout_id, n, idempotency_key, amount_minor, status, reference)"
        f" VALUES ({change_id(n)}, {_CHECKOUT}, {number}, {named}, {amount}, '{status}', 're_{number}');"
    )


def _restock(n: int, quantity: int) -> str:
    return (
        "INSERT INTO stock_movements (variant_id, location_id, kind, quantity, change_id)"
        f" VALUES (1, 1, 'restock', {quantity}, {change_id(n)});"
        f" UPDATE stock_levels SET on_hand = on_hand + {quantity};"
    )


def _event(n: int, kind: str) -> str:
    return (
        "INSERT INTO events (checkout_id, kind, owner, data)"
        f""" VALUES ({_CHECKOUT}, '{kind}', 'shop', jsonb_build_object('change_id', {change_id(n)}));"""
    )


def _bank(amount: int) -> str:
    return (
        f"INSERT INTO sandbox.entries (reference, kind, amount_minor) VALUES ('pay_1', 'refund', {amount});"
        f" UPDATE sandbox.payments SET refunded_minor = refunded_minor + {amount} WHERE reference = 'pay_1';"
    )


#: Refunded (1), restocked (2), sent (3), disputed (4), and a refund from the provider's dashboard (5).
LIFE: Final = "".join(
    [
        _change(1, "refund", "done", "275"),
        f"UPDATE order_changes SET delivery_minor = 50 WHERE id = {change_id(1)};",
        _line(1, "refund", 1, 225),
        _refund(1, 1, 275),
        _event(1, "order.refunded"),
        _bank(275),
        _change(2, "restock", "done", "NULL"),
        _line(2, "restock", 1),
        _restock(2, 1),
        _event(2, "order.restocked"),
        _change(3, "fulfillment", "done", "NULL"),
        _line(3, "fulfillment", 1),
        _event(3, "order.fulfilled"),
        _change(4, "dispute", "done", "100", "'dp_1', NULL", "provider"),
        _event(4, "order.disputed"),
        _event(4, "order.disputed"),
        _change(5, "refund", "done", "25", "'re_2', NULL", "provider"),
        _refund(5, 2, 25, key="NULL"),
        _event(5, "order.refunded"),
        _bank(25),
    ]
)

#: All of it was cancelled (1), and its coupon returned.
CANCELLED: Final = "".join(
    [
        _change(1, "cancel", "done", "500"),
        f"""UPDATE order_changes SET outcome = '{{"coupons_returned": true}}' WHERE id = {change_id(1)};""",
        _line(1, "restock", 2),
        _restock(1, 2),
        _refund(1, 1, 500),
        _event(1, "order.cancelled"),
        _bank(500),
        f"UPDATE orders SET state = 'cancelled', placed_at = now(), cancelled_at = now() WHERE id = {_ORDER};",
        f"UPDATE redemptions SET returned_at = now() WHERE checkout_id = {_CHECKOUT}; UPDATE coupons SET used = 0;",
    ]
)

#: The bank has no refund of 25.
_UNDONE: Final = (
    "; DELETE FROM sandbox.entries WHERE kind = 'refund' AND amount_minor = 25;"
    "UPDATE sandbox.payments SET refunded_minor = 275 WHERE reference = 'pay_1'"
)
_LATE: Final = "now() - interval '1 hour'"

_OF_LIFE: Final = (
    # 225 of 500 are left, and another change promises 226; the same as a refund that is under way.
    ("refunds_are_within_capture", _change(6, "refund", "requested", "201", "NULL, now()"), 1),
    (
        "refunds_are_within_capture",
        _change(6, "refund", "needs_review", "201") + _refund(6, 3, 201, "unknown"),
        1,
    ),
    ("change_is_refunded_once", _change(6, "refund", "done", "10") + _event(6, "order.refunded"), 1),
    ("change_is_refunded_once", f"UPDATE order_changes SET amount_minor = 26 WHERE id = {change_id(5)}", 1),
    ("change_is_refunded_once", "UPDATE refunds SET status = 'declined' WHERE reference = 're_2'" + _UNDONE, 1),
    (
        "change_is_refunded_once",
        _change(6, "refund", "failed", "10") + _refund(6, 3, 10, "unknown") + _event(6, "order.refund_failed"),
        1,
    ),
    ("change_is_refunded_once", _refund(3, 3, 10, "declined"), 1),
    ("refunds_are_named", "UPDATE refunds SET idempotency_key = 'mine' WHERE n = 1", 1),
    ("refunds_are_named", "UPDATE refunds SET reference = NULL WHERE n = 1", 1),
    ("refunds_are_named", f"UPDATE order_changes SET actor = 'provider' WHERE id = {change_id(1)}", 1),
    ("refunds_are_named", "UPDATE refunds SET idempotency_key = checkout_id || ':refund_amount:2' WHERE n = 2", 1),
    ("changes_are_of_placed_orders", f"UPDATE order_changes SET owner = 'thief' WHERE id = {change_id(3)}", 1),
    (
        "changes_are_of_placed_orders",
        f"UPDATE order_changes SET order_id = '00000000-0000-7000-8000-0000000000b2' WHERE id = {change_id(4)}",
        1,
    ),
    ("changed_units_were_sold", "UPDATE order_change_lines SET quantity = 3 WHERE purpose = 'fulfillment'", 1),
    ("changed_units_were_sold", "UPDATE order_change_lines SET quantity = 3 WHERE purpose = 'refund'", 1),
    (
        "changed_units_were_sold",
        _change(6, "restock", "requested", "NULL", "NULL, now()") + _line(6, "restock", 2),
        1,
    ),
    (
        "changed_units_were_sold",
        _change(6, "restock", "requested", "NULL", "NULL, now()")
        + _line(6, "restock", 1)
        + f"UPDATE order_change_lines SET location_id = 2 WHERE change_id = {change_id(6)}",
        1,
    ),
    ("refunded_lines_add_up", "UPDATE order_change_lines SET amount_minor = 224 WHERE purpose = 'refund'", 1),
    (
        "refunded_lines_add_up",
        "UPDATE order_change_lines SET amount_minor = 451 WHERE purpose = 'refund';"
        f"UPDATE order_changes SET kind = 'cancel' WHERE id = {change_id(1)};"
        f"UPDATE orders SET state = 'cancelled', placed_at = now() WHERE id = {_ORDER};"
        "DELETE FROM order_change_lines WHERE purpose = 'fulfillment';"
        "UPDATE events SET kind = 'order.cancelled' WHERE kind = 'order.refunded'"
        f" AND data ->> 'change_id' = {change_id(1)}",
        1,
    ),
    (
        "refunded_lines_add_up",
        f"UPDATE order_changes SET delivery_minor = 1 WHERE id = {change_id(5)}",
        1,
    ),
    ("restocks_are_ledger", "UPDATE order_change_lines SET quantity = 2 WHERE purpose = 'restock'", 1),
    (
        "restocks_are_ledger",
        _change(6, "restock", "done", "NULL") + _line(6, "restock", 1) + _event(6, "order.restocked"),
        1,
    ),
    ("restocks_are_ledger", _restock(3, 1), 1),
    (
        "restocks_are_ledger",
        f"UPDATE order_changes SET state = 'running', due_at = now(), ended_at = NULL WHERE id = {change_id(2)}",
        1,
    ),
    (
        "cancelled_order_has_its_cancel",
        f"UPDATE orders SET state = 'cancelled', placed_at = now() WHERE id = {_ORDER}",
        1,
    ),
    (
        "changes_to_do_have_a_due_time",
        _change(6, "refund", "requested", "10"),
        1,
    ),
    ("no_change_is_overdue", _change(6, "refund", "running", "10", f"NULL, {_LATE}"), 1),
    (
        "changes_are_done_in_order",
        _change(6, "refund", "requested", "10", "NULL, now()") + _change(7, "refund", "running", "10", "NULL, now()"),
        1,
    ),
    ("one_event_of_each_end", f"DELETE FROM events WHERE data ->> 'change_id' = {change_id(4)}", 1),
    ("one_event_of_each_end", _event(3, "order.fulfilled"), 1),
    (
        "one_event_of_each_end",
        f"UPDATE events SET kind = 'order.restocked' WHERE data ->> 'change_id' = {change_id(5)}",
        1,
    ),
)

_OF_CANCELLED: Final = (
    ("cancelled_order_has_its_cancel", f"UPDATE orders SET state = 'placed' WHERE id = {_ORDER}", 1),
    (
        "cancelled_order_has_its_cancel",
        _change(2, "fulfillment", "done", "NULL") + _line(2, "fulfillment", 1) + _event(2, "order.fulfilled"),
        1,
    ),
    (
        "cancel_returns_coupons",
        f"UPDATE redemptions SET returned_at = NULL WHERE checkout_id = {_CHECKOUT}; UPDATE coupons SET used = 1",
        1,
    ),
)

CHANGE_PLANTS: Final = (
    *((name, LIFE + sql, rows) for name, sql, rows in _OF_LIFE),
    *((name, CANCELLED + sql, rows) for name, sql, rows in _OF_CANCELLED),
)
