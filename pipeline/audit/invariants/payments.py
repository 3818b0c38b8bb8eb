"""At most one charge, and it equals the order, by the stored operations."""

from typing import Final

from pipeline.checkouts.conditions import WAS_PLACED
from pipeline.database.invariant import Invariant

# The money of each checkout, by its succeeded operations.
_MOVED = """(SELECT checkout_id, count(*) FILTER (WHERE kind = 'capture') AS captures,
                    count(*) FILTER (WHERE kind IN ('void', 'refund')) AS reversals,
                    coalesce(sum(amount_minor) FILTER (WHERE kind = 'capture'), 0) AS captured_minor,
                    coalesce(sum(amount_minor) FILTER (WHERE kind = 'refund'), 0) AS refunded_minor
             FROM payment_operations WHERE status = 'succeeded' GROUP BY checkout_id)"""

PAYMENTS: Final = (
    Invariant(
        "operations_are_of_the_locked_total",
        "Every gateway call is made for the frozen total.",
        """
        SELECT p.checkout_id, p.idempotency_key, p.amount_minor, l.total_minor
        FROM payment_operations p JOIN price_locks l USING (checkout_id) WHERE p.amount_minor <> l.total_minor
        """,
        by_checkout=True,
    ),
    Invariant(
        "completed_is_captured_once",
        "A completed checkout was captured once, for its order's total, and nothing was voided or refunded whole.",
        # An order of nothing needs no payment.
        f"""
        SELECT c.id AS checkout_id, o.total_minor, m.captures, m.captured_minor, m.reversals, p.status AS payment
        FROM checkouts c JOIN orders o ON o.checkout_id = c.id AND {WAS_PLACED}
        LEFT JOIN payments p ON p.checkout_id = c.id LEFT JOIN {_MOVED} m ON m.checkout_id = c.id
        WHERE c.state = 'completed'
          AND (m.captures = 1 AND m.captured_minor = o.total_minor AND m.reversals = 0 AND p.status = 'captured'
               OR o.total_minor = 0 AND coalesce(m.captures, 0) = 0) IS NOT TRUE
        """,
        by_checkout=True,
    ),
    Invariant(
        "charge_is_order_total",
        "What an ended checkout was charged, less refunds, is the total of its order, or nothing;"
        " what is refunded later is of a change of the order.",
        # A provider may decline a capture and still capture the money: what was refunded had been captured.
        f"""
        SELECT c.id AS checkout_id, c.state, o.total_minor AS order_minor, m.captured_minor, m.refunded_minor
        FROM checkouts c LEFT JOIN orders o ON o.checkout_id = c.id AND {WAS_PLACED}
        LEFT JOIN {_MOVED} m ON m.checkout_id = c.id
        WHERE c.ended_at IS NOT NULL
          AND coalesce(greatest(m.captured_minor, m.refunded_minor) - m.refunded_minor, 0)
              <> coalesce(o.total_minor, 0)
        """,
        by_checkout=True,
    ),
    Invariant(
        "ended_is_settled",
        "An ended checkout has no gateway call whose outcome is not known.",
        """
        SELECT c.id AS checkout_id, c.state, p.idempotency_key, p.status
        FROM payment_operations p JOIN checkouts c ON c.id = p.checkout_id
        WHERE p.status IN ('intended', 'unknown') AND c.ended_at IS NOT NULL
        """,
        by_checkout=True,
    ),
)
