"""States of a checkout, and the one place that says which transitions exist.

The triggers `checkout_guard` and `transitions` of migrations/sql allow the same ones and refuse everything else; tests
try every pair. The docs are drawn from the tables here.
"""

from enum import StrEnum
from typing import Final


class CheckoutState(StrEnum):
    """The state of a checkout."""

    RUNNING = "running"  # a phase is queued or in progress
    AWAITING_PAYMENT = "awaiting_payment"  # stock reserved, prices locked; it awaits payment
    ACTION_REQUIRED = "action_required"  # the buyer must complete 3-D Secure
    UNWINDING = "unwinding"  # undos run, newest first
    NEEDS_REVIEW = "needs_review"  # could not be settled automatically: it needs review
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TERMINAL: Final = frozenset(
    {CheckoutState.COMPLETED, CheckoutState.FAILED, CheckoutState.CANCELLED, CheckoutState.EXPIRED}
)

#: An active checkout locks its cart. `needs_review` stays active: nothing may be sold twice meanwhile.
ACTIVE: Final = frozenset(CheckoutState) - TERMINAL
#: The same for a statement.
ACTIVE_SQL: Final = ", ".join(f"'{state.value}'" for state in sorted(ACTIVE))

#: The endings an unwind may have.
ENDINGS: Final = frozenset({CheckoutState.FAILED, CheckoutState.CANCELLED, CheckoutState.EXPIRED})

TRANSITIONS: Final[dict[CheckoutState, frozenset[CheckoutState]]] = {
    CheckoutState.RUNNING: frozenset(
        {
            CheckoutState.AWAITING_PAYMENT,
            CheckoutState.ACTION_REQUIRED,
            CheckoutState.COMPLETED,
            CheckoutState.UNWINDING,
            CheckoutState.NEEDS_REVIEW,
        }
    ),
    CheckoutState.AWAITING_PAYMENT: frozenset({CheckoutState.RUNNING, CheckoutState.UNWINDING}),
    CheckoutState.ACTION_REQUIRED: frozenset({CheckoutState.RUNNING, CheckoutState.UNWINDING}),
    CheckoutState.UNWINDING: ENDINGS | {CheckoutState.NEEDS_REVIEW},
    CheckoutState.NEEDS_REVIEW: frozenset({CheckoutState.RUNNING, CheckoutState.UNWINDING}),
    **{state: frozenset() for state in TERMINAL},
}


class DueReason(StrEnum):
    """Why the sweep may act on a checkout once `due_at` has passed."""

    STALLED = "stalled"  # its message should have been processed by now: it was lost, or its worker crashed
    SCHEDULED = "scheduled"  # it is to be called again at this time


class ReservationState(StrEnum):
    """The state of a reservation of stock."""

    HELD = "held"
    COMMITTED = "committed"
    RELEASED = "released"


RESERVATION_TRANSITIONS: Final = {
    ReservationState.HELD: frozenset({ReservationState.COMMITTED, ReservationState.RELEASED})
}


class MovementKind(StrEnum):
    """Kinds of rows in the stock ledger.

    `receive` and `adjust` change `on_hand`; `reserve` and `release` change `reserved`; `sell` (negative) changes both.
    `balance` stands for the sales of a month whose movements are detached: it changes nothing that is stored.
    """

    RECEIVE = "receive"
    ADJUST = "adjust"
    BALANCE = "balance"
    RESERVE = "reserve"
    RELEASE = "release"
    SELL = "sell"


class PaymentStatus(StrEnum):
    """The status of the payment object at the provider, as far as it is known."""

    NEW = "new"  # no object yet, or the answer to its creation is missing
    OPEN = "open"  # the object exists, no money has moved
    ACTION_REQUIRED = "action_required"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


#: A payment never returns to `new`, and to `open` only after a failed 3-D Secure. The money of a retrieved object
#: counts, whatever was stored: these may follow anything.
_SEEN: Final = frozenset(
    {PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURED, PaymentStatus.CANCELLED, PaymentStatus.REFUNDED}
)
PAYMENT_TRANSITIONS: Final[dict[PaymentStatus, frozenset[PaymentStatus]]] = {
    PaymentStatus.NEW: _SEEN | {PaymentStatus.OPEN, PaymentStatus.ACTION_REQUIRED},
    PaymentStatus.OPEN: _SEEN | {PaymentStatus.ACTION_REQUIRED},
    PaymentStatus.ACTION_REQUIRED: _SEEN | {PaymentStatus.OPEN},
    **{status: _SEEN - {status} for status in sorted(_SEEN)},
}


class OperationKind(StrEnum):
    """Calls to a gateway that are stored before they are made."""

    OPEN = "open"
    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"


class OperationStatus(StrEnum):
    """What is known of one such call."""

    INTENDED = "intended"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    ACTION_REQUIRED = "action_required"  # accepted, and pending on the buyer
    UNKNOWN = "unknown"


#: No checkout leaves `unwinding` while one of its operations is in one of these.
UNSETTLED: Final = frozenset({OperationStatus.INTENDED, OperationStatus.UNKNOWN})


#: An outcome is final, except for a capture or a refund: another of its keys may have had the effect, and the buyer's
#: bank may return a refund.
OPERATION_TRANSITIONS: Final[dict[OperationStatus, frozenset[OperationStatus]]] = {
    OperationStatus.INTENDED: frozenset(OperationStatus) - {OperationStatus.INTENDED},
    OperationStatus.UNKNOWN: frozenset(OperationStatus) - {OperationStatus.INTENDED, OperationStatus.UNKNOWN},
    OperationStatus.ACTION_REQUIRED: frozenset({OperationStatus.SUCCEEDED, OperationStatus.DECLINED}),
    OperationStatus.SUCCEEDED: frozenset({OperationStatus.DECLINED}),
    OperationStatus.DECLINED: frozenset(),
}


class PromotionKind(StrEnum):
    """What a promotion does. How to add a kind: CONTRIBUTING.md."""

    PERCENTAGE = "percentage"
    FIXED_AMOUNT = "fixed_amount"
    FREE_SHIPPING = "free_shipping"


class InboxStatus(StrEnum):
    """What became of a provider's webhook."""

    RECEIVED = "received"  # stored, to be processed
    APPLIED = "applied"  # its payment was retrieved
    IGNORED = "ignored"  # of a kind that cannot concern a payment
    UNMATCHED = "unmatched"  # matched no payment for as long as it was retried


class DeliveryStatus(StrEnum):
    """The state of an outbound webhook."""

    PENDING = "pending"  # to be sent, for the first time or again
    DELIVERED = "delivered"  # the endpoint accepted it
    DEAD_LETTERED = "dead_lettered"  # not delivered for as long as it was retried; a command replays it


class MoveState(StrEnum):
    """How far the move of an owner to another cell is."""

    DRAINING = "draining"  # no new checkout starts; the active ones finish
    CLOSED = "closed"  # nothing of the owner changes: it is being copied
    MOVED = "moved"  # it lives in the other cell
    ARRIVED = "arrived"  # it came from the other cell


class OrderState(StrEnum):
    """An order is written `pending` before the payment is captured, and `placed` after it."""

    PENDING = "pending"
    PLACED = "placed"
    CANCELLED = "cancelled"


ORDER_TRANSITIONS: Final = {OrderState.PENDING: frozenset({OrderState.PLACED, OrderState.CANCELLED})}


class CartState(StrEnum):
    """A cart is open until an order of it is placed."""

    OPEN = "open"
    COMPLETED = "completed"
