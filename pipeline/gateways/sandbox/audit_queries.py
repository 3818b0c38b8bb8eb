"""The bank's ledger as an auditor reads it: plain SQL over its tables, none of its code."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

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
               coalesce(sum(amount_minor) FILTER (WHERE kind = 'refund'), 0) AS refund_sum
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
