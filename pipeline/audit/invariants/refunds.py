"""Money that goes back after the order: never more than was captured, and each refund is of one change."""

from typing import Final

from pipeline.database.invariant import Invariant

# The refunds of each change.
_PAID: Final = """(SELECT change_id, count(*) FILTER (WHERE status = 'succeeded') AS succeeded,
                    count(*) FILTER (WHERE status IN ('intended', 'unknown')) AS unsettled,
                    coalesce(sum(amount_minor) FILTER (WHERE status = 'succeeded'), 0) AS succeeded_minor
             FROM refunds GROUP BY change_id)"""

REFUNDS: Final = (
    Invariant(
        "refunds_are_within_capture",
        "What is refunded of an order, or is to be refunded, is not more than was captured.",
        # A change in review is not counted by its amount: what it refunded has come back, and another may replace it.
        # Nor is one that was paid elsewhere, as a person has said.
        """
        SELECT checkout_id, m.captured_minor, r.counted_minor, h.promised_minor
        FROM (SELECT checkout_id, sum(amount_minor) AS counted_minor FROM refunds
              WHERE status IN ('intended', 'unknown', 'succeeded') GROUP BY checkout_id) r
        FULL JOIN (SELECT checkout_id, sum(amount_minor) AS promised_minor FROM order_changes
                   WHERE kind IN ('cancel', 'refund') AND state IN ('requested', 'running', 'done')
                     AND outcome ->> 'elsewhere' IS NULL
                   GROUP BY checkout_id) h USING (checkout_id)
        LEFT JOIN (SELECT checkout_id, sum(amount_minor) AS captured_minor FROM payment_operations
                   WHERE kind = 'capture' AND status = 'succeeded' GROUP BY checkout_id) m USING (checkout_id)
        WHERE greatest(r.counted_minor, h.promised_minor) > coalesce(m.captured_minor, 0)
        """,
        by_checkout=True,
    ),
    Invariant(
        "change_is_refunded_once",
        "A refund or cancel that is done has one refund of exactly its amount, unless a person has paid it elsewhere; a"
        " failed one and any other has none; nothing is unsettled once a change has ended.",
        f"""
        SELECT c.checkout_id, c.id AS change_id, c.kind, c.state, c.amount_minor, p.succeeded, p.succeeded_minor,
               p.unsettled
        FROM order_changes c LEFT JOIN {_PAID} p ON p.change_id = c.id
        WHERE CASE WHEN c.kind NOT IN ('cancel', 'refund') THEN p.change_id IS NOT NULL
                   WHEN c.state = 'failed' THEN p.succeeded > 0 OR p.unsettled > 0
                   WHEN c.outcome ->> 'elsewhere' = 'true' THEN p.succeeded > 0 OR p.unsettled > 0
                   WHEN c.state = 'done' THEN coalesce(p.unsettled, 0) > 0
                       OR coalesce(p.succeeded, 0) <> CASE WHEN c.amount_minor = 0 THEN 0 ELSE 1 END
                       OR coalesce(p.succeeded_minor, 0) <> c.amount_minor
                   ELSE coalesce(p.succeeded, 0) > 1 END
        """,
        by_checkout=True,
    ),
    Invariant(
        "refunds_are_named",
        "The key of a refund names its checkout and its number, its change is of the same checkout, and a refund that"
        " succeeded names its object at the provider, unless a person has said so.",
        """
        SELECT r.checkout_id, r.id AS refund_id, r.n, r.idempotency_key, r.reference, r.status, c.actor
        FROM refunds r LEFT JOIN order_changes c ON c.id = r.change_id AND c.checkout_id = r.checkout_id
        WHERE r.idempotency_key <> r.checkout_id || ':refund_amount:' || r.n OR r.n < 1 OR c.id IS NULL
           OR (r.idempotency_key IS NULL) <> (c.actor = 'provider')
           OR r.status = 'returned' AND r.reference IS NULL
           OR r.status = 'succeeded' AND r.reference IS NULL AND r.code IS DISTINCT FROM 'settled_by_person'
        """,
        by_checkout=True,
    ),
)
