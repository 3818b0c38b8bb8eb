"""Money that turned up after the end of its checkout: what happened to it, and what a person must settle."""

import json
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import OperationKind, OperationStatus
from pipeline.checkouts.batch import Review
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
    """Write down what has just been given back for checkouts that had ended, whoever told that it was."""
    for kind, event in _EVENTS.items():
        facts = {
            id_: {"amount": str(after[id_].amount), "operation": f"{id_}:{kind}:{n}"}
            for id_ in ended
            for n in sorted(_succeeded(after[id_], kind) - _succeeded(before[id_], kind))
        }
        write_events(connection, event, list(facts), data=facts)


def _succeeded(books: PaymentState, kind: OperationKind) -> set[int]:
    return {each.n for each in books.operations if each.kind is kind and each.status is OperationStatus.SUCCEEDED}


def request_review(connection: Connection, reviews: Mapping[UUID, Review]) -> None:
    """Put the payments of these ended checkouts before a person, with the money and the reason."""
    if not reviews:
        return
    facts = {id_: each.describe(None) for id_, each in reviews.items()}
    rows = [json.dumps(facts[id_], default=str) for id_ in reviews]
    asked = connection.execute(ASK, {"ids": list(reviews), "reviews": rows}).scalars().all()
    write_events(connection, "payment.needs_review", asked, data=facts)


def close_reviews(connection: Connection, ids: Sequence[UUID], **detail: str) -> Sequence[UUID]:
    """Take the question back from whoever was asked, and return the checkouts that had one. Lock them first."""
    if not ids:
        return []
    closed = connection.execute(CLOSE, {"ids": list(ids)}).scalars().all()
    write_events(connection, "payment.review_closed", closed, data=dict.fromkeys(closed, detail))
    return closed
