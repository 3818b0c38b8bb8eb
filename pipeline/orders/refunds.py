"""Settles a refund by what the provider shows of it."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, text

from models.states import RefundStatus
from pipeline.checkouts.events import write_events
from pipeline.gateways.charges import ChargeRefund, RefundState
from pipeline.messaging import OutgoingMessage

ROW: Final = text("""
    SELECT r.id, r.status, r.change_id, r.checkout_id, r.amount_minor, c.actor, o.currency
    FROM refunds r JOIN order_changes c ON c.id = r.change_id JOIN orders o ON o.id = c.order_id WHERE r.id = :id
""")
SETTLE: Final = text("UPDATE refunds SET status = :status, reference = :reference, updated_at = now() WHERE id = :id")
DONE: Final = text("UPDATE order_changes SET state = 'done', ended_at = now(), due_at = NULL WHERE id = :id")
REVIEW: Final = text("UPDATE order_changes SET state = 'needs_review', ended_at = NULL, due_at = NULL WHERE id = :id")


def apply_shown_refund(connection: Connection, refund_id: int, shown: ChargeRefund) -> Sequence[OutgoingMessage] | None:
    """STUB: returns the messages to send, None when nothing changed."""
    row = connection.execute(ROW, {"id": refund_id}).one()
    failed = shown.state is RefundState.FAILED
    data = {
        "change_id": str(row.change_id),
        "amount_minor": row.amount_minor,
        "currency": row.currency,
        "lines": [],
        "actor": row.actor,
    }
    if row.status in (RefundStatus.INTENDED, RefundStatus.UNKNOWN) and not failed:
        connection.execute(SETTLE, {"id": row.id, "status": "succeeded", "reference": shown.reference})
        connection.execute(DONE, {"id": row.change_id})
        write_events(connection, "order.refunded", [row.checkout_id], data={row.checkout_id: data})
        return []
    if row.status == RefundStatus.SUCCEEDED and failed:
        connection.execute(SETTLE, {"id": row.id, "status": "returned", "reference": shown.reference})
        connection.execute(REVIEW, {"id": row.change_id})
        write_events(connection, "order.refund_failed", [row.checkout_id], data={row.checkout_id: data})
        return []
    return None
