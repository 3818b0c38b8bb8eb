"""The bank's own tables as an auditor reads them: plain SQL, none of the bank's code.

The invariants compare them with the engine's. Only ended checkouts are compared: while one is active the bank may be
ahead of the engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from pipeline.checkouts.conditions import WAS_PLACED
from pipeline.database.invariant import Invariant

#: Per checkout: authorised and not yet captured or voided, captured, refunded.
TOTALS: Final = """
    SELECT checkout_id,
           coalesce(sum(authorized_minor) FILTER (WHERE status = 'authorized'), 0)::bigint AS authorized_minor,
           sum(captured_minor)::bigint AS captured_minor,
           sum(refunded_minor)::bigint AS refunded_minor
    FROM sandbox.payments WHERE checkout_id = ANY(CAST(:checkout_ids AS uuid[]))
    GROUP BY checkout_id
"""

#: Objects that disagree with the ledger, line by line: must be none. What was cancelled is what had been authorised.
DISAGREEMENTS: Final = """
    SELECT reference, p.status, p.authorized_minor, p.captured_minor, p.refunded_minor,
           e.authorize_sum, e.capture_sum, e.cancel_sum, e.refund_sum
    FROM sandbox.payments p
    FULL JOIN (
        SELECT reference,
               coalesce(sum(amount_minor) FILTER (WHERE kind = 'authorize'), 0) AS authorize_sum,
               coalesce(sum(amount_minor) FILTER (WHERE kind = 'capture'), 0) AS capture_sum,
               coalesce(sum(amount_minor) FILTER (WHERE kind = 'cancel'), 0) AS cancel_sum,
               coalesce(sum(amount_minor) FILTER (WHERE kind IN ('refund', 'refund_failed')), 0) AS refund_sum
        FROM sandbox.entries GROUP BY reference
    ) e USING (reference)
    WHERE p.reference IS NULL
       OR p.authorized_minor <> coalesce(e.authorize_sum, 0)
       OR p.captured_minor <> coalesce(e.capture_sum, 0)
       OR p.refunded_minor <> coalesce(e.refund_sum, 0)
       OR coalesce(e.cancel_sum, 0) <> CASE p.status WHEN 'cancelled' THEN p.authorized_minor ELSE 0 END
"""


@dataclass(frozen=True, slots=True)
class BankTotals:
    """What the bank has of one checkout, in minor units."""

    authorized_minor: int
    captured_minor: int
    refunded_minor: int


def read_totals(connection: Connection, checkout_ids: Sequence[UUID]) -> dict[UUID, BankTotals]:
    """Return what the bank has of these checkouts; one it never heard of is not in the answer."""
    rows = connection.execute(text(TOTALS), {"checkout_ids": list(checkout_ids)})
    return {row.checkout_id: BankTotals(row.authorized_minor, row.captured_minor, row.refunded_minor) for row in rows}


BANK_INVARIANTS: Final = (
    Invariant(
        "bank_charge_is_order_total",
        "What the bank has kept of an ended checkout is its order's total less the refunds that succeeded, or nothing.",
        # While a refund of the engine has no known outcome, the bank may be ahead by its amount.
        f"""
        SELECT c.id AS checkout_id, c.state, o.total_minor AS order_minor, r.refunded_minor, r.unsettled_minor,
               b.kept_minor AS bank_minor
        FROM payments p JOIN checkouts c ON c.id = p.checkout_id
        LEFT JOIN orders o ON o.checkout_id = c.id AND {WAS_PLACED}
        LEFT JOIN (SELECT checkout_id,
                          coalesce(sum(amount_minor) FILTER (WHERE status = 'succeeded'), 0) AS refunded_minor,
                          coalesce(sum(amount_minor) FILTER (WHERE status IN ('intended', 'unknown')), 0)
                              AS unsettled_minor
                   FROM refunds GROUP BY checkout_id) r ON r.checkout_id = c.id
        LEFT JOIN (SELECT checkout_id, sum(captured_minor - refunded_minor) AS kept_minor
                   FROM sandbox.payments GROUP BY checkout_id) b ON b.checkout_id = c.id
        WHERE p.gateway = 'sandbox' AND c.ended_at IS NOT NULL
          AND coalesce(b.kept_minor, 0)
              NOT BETWEEN coalesce(o.total_minor, 0) - coalesce(r.refunded_minor, 0) - coalesce(r.unsettled_minor, 0)
                  AND coalesce(o.total_minor, 0) - coalesce(r.refunded_minor, 0)
        """,
    ),
    Invariant(
        "bank_holds_no_authorization",
        "The bank holds no live authorisation for an ended checkout.",
        """
        SELECT c.id AS checkout_id, c.state, b.reference, b.status AS bank_status, b.authorized_minor
        FROM sandbox.payments b JOIN checkouts c ON c.id = b.checkout_id
        WHERE c.ended_at IS NOT NULL
          AND (b.status = 'authorized' OR b.status = 'action_required' AND c.state <> 'completed')
        """,
    ),
    Invariant(
        "bank_charged_once",
        "The bank captured money for a checkout at most once.",
        """
        SELECT checkout_id, count(*) AS charges, array_agg(reference ORDER BY reference) AS references_
        FROM sandbox.payments WHERE captured_minor > 0 GROUP BY checkout_id HAVING count(*) > 1
        """,
    ),
    Invariant(
        "bank_ledger_agrees",
        "Every amount of a payment at the bank is the sum of the bank's own ledger.",
        """
        SELECT reference, b.status,
               b.authorized_minor, e.authorized AS ledger_authorized, e.released AS ledger_released,
               b.captured_minor, e.captured AS ledger_captured, b.refunded_minor, e.refunded AS ledger_refunded
        FROM sandbox.payments b
        FULL JOIN (SELECT reference, sum(amount_minor) FILTER (WHERE kind = 'authorize') AS authorized,
                          sum(amount_minor) FILTER (WHERE kind = 'cancel') AS released,
                          sum(amount_minor) FILTER (WHERE kind = 'capture') AS captured,
                          sum(amount_minor) FILTER (WHERE kind IN ('refund', 'refund_failed')) AS refunded
                   FROM sandbox.entries GROUP BY reference) e USING (reference)
        WHERE (coalesce(e.authorized, 0), coalesce(e.released, 0), coalesce(e.captured, 0), coalesce(e.refunded, 0))
              IS DISTINCT FROM
              (coalesce(b.authorized_minor, 0), CASE b.status WHEN 'cancelled' THEN b.authorized_minor ELSE 0 END,
               coalesce(b.captured_minor, 0), coalesce(b.refunded_minor, 0))
        """,
    ),
    Invariant(
        "bank_has_no_orphaned_payments",
        "Every payment at the bank belongs to a checkout in this database.",
        """
        SELECT b.reference, b.checkout_id, b.status AS bank_status, b.captured_minor
        FROM sandbox.payments b LEFT JOIN checkouts c ON c.id = b.checkout_id WHERE c.id IS NULL
        """,
    ),
)
