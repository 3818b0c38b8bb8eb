"""What breaks an invariant about history, and nothing else: the invariant, the SQL past every guard, the rows."""

from typing import Final

COMPLETED: Final = "'00000000-0000-7000-8000-000000000001'"
FAILED: Final = "'00000000-0000-7000-8000-000000000002'"
RUNNING: Final = "'00000000-0000-7000-8000-000000000003'"

HISTORY_PLANTS: Final = (
    ("one_owner_throughout", "UPDATE orders SET owner = 'thief' WHERE state = 'placed'", 1),
    ("one_owner_throughout", "UPDATE orders SET reference = 'other'", 2),
    ("one_owner_throughout", f"UPDATE checkouts SET owner = 'thief' WHERE id = {COMPLETED}", 1),
    (
        "one_owner_throughout",
        "UPDATE orders SET cart_id = '00000000-0000-7000-8000-0000000000c3' WHERE state = 'cancelled'",
        1,
    ),
    (
        "one_owner_throughout",
        "INSERT INTO idempotency_keys (owner, key, action, fingerprint, checkout_id)"
        f" VALUES ('thief', 'k', 'start', 'f', {RUNNING})",
        1,
    ),
    ("one_owner_throughout", "UPDATE carts SET owner = 'thief'", 1),
    ("one_owner_throughout", f"UPDATE checkouts SET currency = 'USD' WHERE id = {FAILED}", 1),
    (
        "operations_are_named",
        f"UPDATE payment_operations SET idempotency_key = 'mine' WHERE checkout_id = {COMPLETED} AND kind = 'open'",
        1,
    ),
    (
        "operations_are_named",
        "UPDATE payment_operations SET n = 0, idempotency_key = checkout_id || ':open:0' WHERE kind = 'open'",
        2,
    ),
    (
        "operations_are_named",
        "UPDATE payment_operations SET n = 2, idempotency_key = checkout_id || ':authorize:2'"
        f" WHERE kind = 'authorize' AND checkout_id = {COMPLETED}",
        1,
    ),
    ("captures_follow_the_pivot", f"UPDATE checkouts SET pivot_at = NULL WHERE id = {COMPLETED}", 1),
    (
        "captures_follow_the_pivot",
        f"INSERT INTO payments (checkout_id, gateway, token) VALUES ({RUNNING}, 'sandbox', 'tok_ok');"
        "INSERT INTO payment_operations (checkout_id, kind, n, idempotency_key, amount_minor, status, fence)"
        f" VALUES ({RUNNING}, 'capture', 1, CAST({RUNNING} AS text) || ':capture:1', 250, 'intended', 0)",
        1,
    ),
    ("payment_has_its_object", f"UPDATE payments SET reference = NULL WHERE checkout_id = {FAILED}", 1),
    ("order_numbers_were_drawn", "UPDATE orders SET number = 9223372036854775807 WHERE state = 'placed'", 1),
    ("order_numbers_were_drawn", "UPDATE orders SET number = 0 WHERE state = 'placed'", 1),
)
