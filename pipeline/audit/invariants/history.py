"""Stored facts agree with each other, also when they are written by other SQL."""

from typing import Final

from models.cells import NUMBERS
from pipeline.database.invariant import Invariant

HISTORY: Final = (
    Invariant(
        "one_owner_throughout",
        "A checkout's order and its idempotency keys are its owner's, with its reference and cart; while it is active"
        " its cart has no other owner; its price lock is in its currency.",
        """
        SELECT c.id AS checkout_id, 'order' AS what, o.owner, c.owner AS checkout_owner
        FROM checkouts c JOIN orders o ON o.checkout_id = c.id
        WHERE (o.owner, o.reference) IS DISTINCT FROM (c.owner, c.reference)
           OR o.state = 'cancelled' AND o.cart_id <> c.cart_id
        UNION ALL
        SELECT c.id, 'key ' || k.key, k.owner, c.owner
        FROM checkouts c JOIN idempotency_keys k ON k.checkout_id = c.id WHERE k.owner <> c.owner
        UNION ALL
        SELECT c.id, 'cart', t.owner, c.owner
        FROM checkouts c JOIN carts t ON t.id = c.cart_id WHERE c.ended_at IS NULL AND t.owner <> c.owner
        UNION ALL
        SELECT c.id, 'currency', l.currency, c.currency
        FROM checkouts c JOIN price_locks l ON l.checkout_id = c.id
        LEFT JOIN orders o ON o.checkout_id = c.id AND o.currency = c.currency
        WHERE l.currency <> c.currency AND o.id IS NULL
        """,
        by_checkout=True,
    ),
    Invariant(
        "operations_are_named",
        "The idempotency key of a gateway call names its checkout, its kind and its number; there are no more"
        " authorisations than cards.",
        """
        SELECT o.checkout_id, o.idempotency_key, o.kind, o.n, p.attempts
        FROM payment_operations o LEFT JOIN payments p USING (checkout_id)
        WHERE o.idempotency_key <> o.checkout_id || ':' || o.kind || ':' || o.n OR o.n < 1
           OR (p.attempts >= o.n OR o.kind <> 'authorize') IS NOT TRUE
        """,
        by_checkout=True,
    ),
    Invariant(
        "captures_follow_the_pivot",
        "Nothing is captured before the pivot, after which a checkout only completes.",
        """
        SELECT c.id AS checkout_id, c.state, o.idempotency_key, o.status
        FROM payment_operations o JOIN checkouts c ON c.id = o.checkout_id
        WHERE o.kind = 'capture' AND c.pivot_at IS NULL
        """,
        by_checkout=True,
    ),
    Invariant(
        "payment_has_its_object",
        "A payment with a status names its object at the provider.",
        "SELECT checkout_id, gateway, status FROM payments WHERE status <> 'new' AND reference IS NULL",
        by_checkout=True,
    ),
    Invariant(
        "order_numbers_were_drawn",
        "Every order number was drawn from its sequence.",
        f"""
        -- A cell draws above its base. Orders of an owner that came from another cell have the numbers of that one.
        SELECT checkout_id, number, (SELECT last_value FROM order_numbers) AS last_drawn FROM orders o
        WHERE number < 1 OR number % {NUMBERS} > (SELECT last_value FROM order_numbers)
              AND NOT EXISTS (SELECT FROM owner_moves m WHERE m.owner = o.owner)
        """,
        by_checkout=True,
    ),
)
