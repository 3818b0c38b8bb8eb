"""Where a checkout stands, for whoever asks."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import CheckoutState
from pipeline.chain import CHAIN
from pipeline.errors import Code, NotFound

# The newest checkout of a cart: its active one if there is one (ids are in time's order).
STATUS: Final = text("""
    SELECT c.id, c.cart_id, c.owner, c.reference, c.state, c.phase, c.currency, c.expires_at, c.created_at, c.ended_at,
           coalesce(c.review, p.review) AS review, c.failure_code, c.failure_phase, c.failure_message, c.failure_detail,
           l.total_minor, l.hash AS quote_hash, o.number AS order_number, p.action, p.tries
    FROM checkouts c
    LEFT JOIN price_locks l ON l.checkout_id = c.id
    LEFT JOIN orders o ON o.checkout_id = c.id
    LEFT JOIN payments p ON p.checkout_id = c.id
    WHERE (c.id = :checkout_id OR c.cart_id = :cart_id) AND (CAST(:owner AS text) IS NULL OR c.owner = :owner)
    ORDER BY c.id DESC LIMIT 1
""")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a checkout did not become an order, or what a person must settle."""

    code: str
    phase: str | None
    message: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Status:
    """One checkout as its owner sees it. `total_minor` is the frozen total, from phase 3 on.

    `review` says what a person must settle: what keeps it in `needs_review`, or money of one that has ended.
    """

    checkout_id: UUID
    cart_id: UUID
    owner: str
    reference: str | None
    state: CheckoutState
    phase: int
    phase_name: str | None
    currency: str
    total_minor: int | None
    quote_hash: str | None
    expires_at: datetime
    created_at: datetime
    ended_at: datetime | None
    order_number: int | None
    action: dict[str, Any] | None
    tries: int | None
    failure: Failure | None
    review: Failure | None


def read_status(
    connection: Connection,
    *,
    checkout_id: UUID | None = None,
    cart_id: UUID | None = None,
    owner: str | None = None,
) -> Status:
    """Return where a checkout stands, by its id or its cart's; NotFound if there is none of this owner."""
    row = connection.execute(STATUS, {"checkout_id": checkout_id, "cart_id": cart_id, "owner": owner}).one_or_none()
    if row is None:
        raise NotFound(Code.CHECKOUT_UNKNOWN, checkout_id=str(checkout_id or f"for cart {cart_id}"))
    return Status(
        checkout_id=row.id,
        cart_id=row.cart_id,
        owner=row.owner,
        reference=row.reference,
        state=CheckoutState(row.state),
        phase=row.phase,
        phase_name=CHAIN[row.phase - 1].name if row.phase else None,
        currency=row.currency,
        total_minor=row.total_minor,
        quote_hash=row.quote_hash,
        expires_at=row.expires_at,
        created_at=row.created_at,
        ended_at=row.ended_at,
        order_number=row.order_number,
        action=row.action if row.state == CheckoutState.ACTION_REQUIRED else None,
        tries=row.tries,
        failure=None
        if row.failure_code is None
        else Failure(row.failure_code, row.failure_phase, row.failure_message, row.failure_detail or {}),
        review=None if row.review is None else Failure(**row.review),
    )
