"""Late funds: money found after a checkout has ended, how it was voided or refunded, and what needs review."""

import json
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import OperationKind, OperationStatus
from pipeline.checkouts import Review
from pipeline.checkouts.events import write_events
from pipeline.payments.payment import PaymentState

# An ended checkout stays ended, its cart is free: what is left to settle stands with its payment, once.
ASK: Final = text("""
    UPDATE payments p SET review = CAST(r.review AS jsonb), updated_at = now()
    FROM unnest(CAST(:ids AS uuid[]), CAST(:reviews AS text[])) AS r (id, review)
    WHERE p.checkout_id = r.id AND p.review IS NULL
    RETURNING p.checkout_id
""")

CLOSE: Final = text("""
    UPDATE payments SET review = NULL, updated_at = now()
    WHERE checkout_id = ANY(CAST(:ids AS uuid[])) AND review IS NOT NULL
    RETURNING checkout_id
""")

_EVENTS: Final = {OperationKind.VOID: "payment.voided_late", OperationKind.REFUND: "payment.refunded_late"}


def note_late_funds(
    connection: Connection,
    ended: Sequence[UUID],
    before: Mapping[UUID, PaymentState],
    after: Mapping[UUID, PaymentState],
) -> None:
    """Record what has just been voided or refunded for checkouts that had ended."""
    for kind, event in _EVENTS.items():
        facts = {
            id_: {"amount": str(after[id_].amount), "operation": f"{id_}:{kind}:{n}"}
            for id_ in ended
            for n in sorted(_succeeded(after[id_], kind) - _succeeded(before[id_], kind))
        }
        write_events(connection, event, list(facts), data=facts)


def _succeeded(payment: PaymentState, kind: OperationKind) -> set[int]:
    return {each.n for each in payment.operations if each.kind is kind and each.status is OperationStatus.SUCCEEDED}


def request_review(connection: Connection, reviews: Mapping[UUID, Review]) -> None:
    """Move the payments of these ended checkouts to review, with the money and the reason."""
    if not reviews:
        return
    facts = {id_: each.describe(None) for id_, each in reviews.items()}
    rows = [json.dumps(facts[id_], default=str) for id_ in reviews]
    asked = connection.execute(ASK, {"ids": list(reviews), "reviews": rows}).scalars().all()
    write_events(connection, "payment.needs_review", asked, data=facts)


def close_reviews(connection: Connection, ids: Sequence[UUID], **detail: str) -> Sequence[UUID]:
    """End the review of these payments, and return the checkouts that had one. Lock them first."""
    if not ids:
        return []
    closed = connection.execute(CLOSE, {"ids": list(ids)}).scalars().all()
    write_events(connection, "payment.review_closed", closed, data=dict.fromkeys(closed, detail))
    return closed
