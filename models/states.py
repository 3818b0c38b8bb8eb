"""States of a checkout, and the one place that says which transitions exist.

The triggers `checkout_guard` and `transitions` of migrations/sql allow the same ones and refuse everything else; tests
try every pair. The docs are drawn from the tables here.
"""

from collections.abc import Mapping
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

    `receive`, `adjust` and `restock` change `on_hand`; `reserve` and `release` change `reserved`; `sell` (negative)
    changes both. A `restock` is of an order change, not of a checkout: its month can be detached before it comes.
    `balance` stands for the sales of a month whose movements are detached: it changes nothing that is stored.
    """

    RECEIVE = "receive"
    ADJUST = "adjust"
    BALANCE = "balance"
    RESERVE = "reserve"
    RELEASE = "release"
    SELL = "sell"
    RESTOCK = "restock"


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


#: The columns that promotions of a kind have, and no others: a percentage or an amount. The schema demands them too.
COLUMNS_OF_KIND: Final[Mapping[PromotionKind, frozenset[str]]] = {
    PromotionKind.PERCENTAGE: frozenset({"percent"}),
    PromotionKind.FIXED_AMOUNT: frozenset({"amount_minor"}),
    PromotionKind.FREE_SHIPPING: frozenset(),
}


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
    """An order is written `pending` before the payment is captured, and `placed` after it.

    `cancelled` without a number: its checkout was undone. With its number: it was cancelled after it had been placed.
    """

    PENDING = "pending"
    PLACED = "placed"
    CANCELLED = "cancelled"


ORDER_TRANSITIONS: Final = {
    OrderState.PENDING: frozenset({OrderState.PLACED, OrderState.CANCELLED}),
    OrderState.PLACED: frozenset({OrderState.CANCELLED}),
}


class ChangeKind(StrEnum):
    """What is done to a placed order."""

    CANCEL = "cancel"
    REFUND = "refund"
    RESTOCK = "restock"
    FULFILLMENT = "fulfillment"
    DISPUTE = "dispute"  # opened by the buyer's bank; the provider reports it


class CatalogKind(StrEnum):
    """What a batch of the catalog's writers sets."""

    VARIANTS = "variants"
    PRICES = "prices"
    STOCK = "stock"
    TRANSFERS = "transfers"


class ChangeState(StrEnum):
    """The state of an order change."""

    REQUESTED = "requested"  # recorded, and counted by everything that is bounded
    RUNNING = "running"  # its refund is intended at the provider, or the dispute is open
    DONE = "done"
    FAILED = "failed"  # refused for good: nothing of it happened, and it counts no more
    NEEDS_REVIEW = "needs_review"  # nobody but a person can say what happened, or what is to happen


#: A refund that the provider accepted can fail days later: then its change is reopened. A dispute that was won can be
#: lost in the end.
CHANGE_TRANSITIONS: Final = {
    ChangeState.REQUESTED: frozenset(ChangeState) - {ChangeState.REQUESTED},
    ChangeState.RUNNING: frozenset({ChangeState.DONE, ChangeState.FAILED, ChangeState.NEEDS_REVIEW}),
    ChangeState.NEEDS_REVIEW: frozenset({ChangeState.RUNNING, ChangeState.DONE, ChangeState.FAILED}),
    ChangeState.DONE: frozenset({ChangeState.NEEDS_REVIEW, ChangeState.RUNNING}),
}

#: Changes that the workers still have to do. Those of one order are done one after another.
CHANGES_TO_DO: Final = frozenset({ChangeState.REQUESTED, ChangeState.RUNNING})


class LinePurpose(StrEnum):
    """What a line of an order change is about. The lines of a cancel are refunded and restocked."""

    REFUND = "refund"
    RESTOCK = "restock"
    FULFILLMENT = "fulfillment"


class RefundStatus(StrEnum):
    """What is known of one refund of a part of what was captured."""

    INTENDED = "intended"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"  # accepted by the provider; the buyer's bank may still return it
    DECLINED = "declined"
    RETURNED = "returned"  # it had been accepted, and failed later: the shop has the money again


#: These count against what was captured.
REFUNDS_COUNTED: Final = frozenset({RefundStatus.INTENDED, RefundStatus.UNKNOWN, RefundStatus.SUCCEEDED})

REFUND_TRANSITIONS: Final = {
    RefundStatus.INTENDED: frozenset({RefundStatus.UNKNOWN, RefundStatus.SUCCEEDED, RefundStatus.DECLINED}),
    RefundStatus.UNKNOWN: frozenset({RefundStatus.SUCCEEDED, RefundStatus.DECLINED}),
    RefundStatus.SUCCEEDED: frozenset({RefundStatus.RETURNED}),
}


class CartState(StrEnum):
    """A cart is open until an order of it is placed."""

    OPEN = "open"
    COMPLETED = "completed"
