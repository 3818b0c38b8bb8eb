"""The status of a checkout, for its owner and for operators."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, text

from models.states import CheckoutState
from pipeline.checkouts.progress import PROGRESS
from pipeline.errors import Code, NotFound, sentence
from pipeline.saga import find_phase
from pipeline.saga.chain import next_phase

# The newest checkout of a cart: its active one if there is one (ids are in time's order).
_STATUS: Final = f"""
    SELECT c.id, c.cart_id, c.owner, c.reference, c.state, {PROGRESS}, c.currency, c.expires_at, c.created_at,
           c.ended_at,
           coalesce(c.review, p.review) AS review, c.failure_code, c.failure_phase, c.failure_message, c.failure_detail,
           l.subtotal_minor, l.discount_minor, l.shipping_minor, l.tax_minor, l.total_minor, l.hash AS quote_hash,
           o.id AS order_id, o.number AS order_number, o.placed_at, {{action}} AS action,
           p.attempts AS payment_attempts,
           (SELECT d.code FROM payment_operations d WHERE d.checkout_id = c.id AND d.kind = 'authorize'
                AND d.n = p.attempts AND d.status = 'declined') AS declined
    FROM checkouts c
    LEFT JOIN price_locks l ON l.checkout_id = c.id
    LEFT JOIN orders o ON o.checkout_id = c.id
    LEFT JOIN payments p ON p.checkout_id = c.id
    WHERE {{condition}}
"""
_ONE: Final = """(c.id = :checkout_id OR c.cart_id = :cart_id)
        AND (CAST(:owner AS text) IS NULL OR c.owner = :owner)
    ORDER BY c.id DESC LIMIT 1
"""
STATUS: Final = text(_STATUS.format(action="p.action", condition=_ONE))
#: The same for callers other than the owner, which may not read the column.
PLAIN_STATUS: Final = text(_STATUS.format(action="CAST(NULL AS jsonb)", condition=_ONE))
STATUSES: Final = text(_STATUS.format(action="p.action", condition="c.id = ANY(CAST(:ids AS uuid[]))"))

#: The name of each state for people.
STATE_NAMES: Final = {
    CheckoutState.RUNNING: "In progress",
    CheckoutState.AWAITING_PAYMENT: "Waiting for payment",
    CheckoutState.ACTION_REQUIRED: "Waiting for the buyer's bank",
    CheckoutState.UNWINDING: "Being undone",
    CheckoutState.NEEDS_REVIEW: "Being reviewed",
    CheckoutState.COMPLETED: "Completed",
    CheckoutState.FAILED: "Failed",
    CheckoutState.CANCELLED: "Cancelled",
    CheckoutState.EXPIRED: "Expired",
}

#: Stable states: nothing more happens until the buyer or an operator acts, or ever.
STABLE: Final = frozenset(CheckoutState) - {CheckoutState.RUNNING, CheckoutState.UNWINDING}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a checkout did not become an order, or what an operator must settle."""

    code: str
    phase: str | None
    message: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Totals:
    """The frozen totals."""

    subtotal_minor: int
    discount_minor: int
    shipping_minor: int
    tax_minor: int
    total_minor: int


_TOTALS: Final = tuple(Totals.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Placed:
    """The placed order of a checkout."""

    id: UUID
    number: int
    placed_at: datetime


@dataclass(frozen=True, slots=True)
class Status:
    """One checkout as its owner sees it. `totals` are frozen once the prices are locked.

    `failure` says why it unwinds or, while it awaits payment, why the last card was declined.

    `phases_completed` is None while it is undone, and `phases_to_undo` otherwise. `phase_name` is the newest completed
    one, or the next to undo.

    `review` says what an operator must settle: what keeps it in `needs_review`, or money of one that has ended.
    """

    checkout_id: UUID
    cart_id: UUID
    owner: str
    reference: str | None
    state: CheckoutState
    phases_completed: int | None
    phases_to_undo: int | None
    phase_name: str | None
    currency: str
    totals: Totals | None
    quote_hash: str | None
    expires_at: datetime
    created_at: datetime
    ended_at: datetime | None
    order: Placed | None
    action: dict[str, Any] | None
    payment_attempts: int | None
    failure: Failure | None
    review: Failure | None

    @property
    def total_minor(self) -> int | None:
        """The frozen total."""
        return None if self.totals is None else self.totals.total_minor

    @property
    def order_number(self) -> int | None:
        """The number of the placed order."""
        return None if self.order is None else self.order.number


def read_status(
    connection: Connection,
    *,
    checkout_id: UUID | None = None,
    cart_id: UUID | None = None,
    owner: str | None = None,
    with_action: bool = True,
) -> Status:
    """Return the status of a checkout, by its id or its cart's; NotFound if there is none of this owner.

    `with_action=False` leaves out the buyer's 3-D Secure action, which is a secret of the buyer and the shop.
    """
    query = STATUS if with_action else PLAIN_STATUS
    row = connection.execute(query, {"checkout_id": checkout_id, "cart_id": cart_id, "owner": owner}).one_or_none()
    if row is None:
        raise NotFound(Code.CHECKOUT_UNKNOWN, checkout_id=str(checkout_id or f"for cart {cart_id}"))
    return _read(row)


def read_statuses(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Status]:
    """Return the statuses of these checkouts, of any owner; those that do not exist are left out."""
    return {row.id: _read(row) for row in connection.execute(STATUSES, {"ids": list(ids)})}


def _read(row: Row[Any]) -> Status:
    return Status(
        checkout_id=row.id,
        cart_id=row.cart_id,
        owner=row.owner,
        reference=row.reference,
        state=CheckoutState(row.state),
        phases_completed=row.phases_completed,
        phases_to_undo=row.phases_to_undo,
        phase_name=find_phase(number).name if (number := row.phases_completed or row.phases_to_undo) else None,
        currency=row.currency,
        totals=None if row.total_minor is None else Totals(**{name: getattr(row, name) for name in _TOTALS}),
        quote_hash=row.quote_hash,
        expires_at=row.expires_at,
        created_at=row.created_at,
        ended_at=row.ended_at,
        order=None if row.order_number is None else Placed(row.order_id, row.order_number, row.placed_at),
        action=row.action if row.state == CheckoutState.ACTION_REQUIRED else None,
        payment_attempts=row.payment_attempts,
        failure=_find_failure(row),
        review=None if row.review is None else Failure(**row.review),
    )


def _find_failure(row: Row[Any]) -> Failure | None:
    if row.failure_code is not None:
        return Failure(row.failure_code, row.failure_phase, row.failure_message, row.failure_detail or {})
    if row.state == CheckoutState.AWAITING_PAYMENT and row.declined is not None:
        detail = {"reason": row.declined, "attempt": row.payment_attempts}
        code = Code.PAYMENT_DECLINED
        return Failure(code, next_phase(row.phases_completed).name, sentence(code, detail), detail)
    return None
