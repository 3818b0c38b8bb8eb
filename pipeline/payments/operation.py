"""One intended call of a payment, and how it is settled. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from models.states import UNSETTLED, OperationKind, OperationStatus, PaymentStatus

#: The calls that end an object: once a retrieval shows that end, their lost answer is known.
_ENDED_BY: Final = {
    (OperationKind.VOID, PaymentStatus.CANCELLED),
    (OperationKind.REFUND, PaymentStatus.REFUNDED),
}

#: The statuses that show that an operation has had its effect.
EFFECTS: Final[dict[OperationKind, frozenset[PaymentStatus]]] = {
    OperationKind.OPEN: frozenset(PaymentStatus) - {PaymentStatus.NEW},
    OperationKind.AUTHORIZE: frozenset({PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURED, PaymentStatus.REFUNDED}),
    OperationKind.CAPTURE: frozenset({PaymentStatus.CAPTURED, PaymentStatus.REFUNDED}),
    OperationKind.VOID: frozenset({PaymentStatus.CANCELLED}),
    OperationKind.REFUND: frozenset({PaymentStatus.REFUNDED}),
}

#: A definite no after a cancellation by the engine: whatever was still unanswered can no longer happen.
SETTLED_BY_CANCEL: Final = "settled_by_cancel"
#: The same call under another key had the effect, which cannot happen twice.
SUPERSEDED: Final = "superseded"
#: The provider refuses the access, not the payment.
MISCONFIGURED: Final = "misconfigured"
#: A refund that had been accepted failed later: the buyer's bank sent it back.
REFUND_RETURNED: Final = "refund_returned"


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of `payment_operations`. `id` is None until it is written."""

    kind: OperationKind
    n: int
    status: OperationStatus
    fence: int
    attempts: int
    id: int | None = None
    leased_until: datetime | None = None
    code: str | None = None
    last_error: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


def is_pending(operation: Operation) -> bool:
    """Return whether the outcome is still open."""
    return operation.status in UNSETTLED or operation.status is OperationStatus.ACTION_REQUIRED


def settle(operation: Operation, status: OperationStatus, code: str | None, error: str | None = None) -> Operation:
    """Return the operation with its outcome and without a lease."""
    return replace(operation, status=status, code=code, last_error=error or None, leased_until=None)


def count_attempt(operation: Operation, code: str, error: str) -> Operation:
    """Return the operation with one more attempt without an outcome; a pending action of the buyer stays known."""
    known = operation.status is OperationStatus.ACTION_REQUIRED
    status = OperationStatus.ACTION_REQUIRED if known else OperationStatus.UNKNOWN
    return replace(settle(operation, status, code, error), attempts=operation.attempts + 1)


def outcome_of(kind: OperationKind, status: PaymentStatus) -> OperationStatus:
    """Return the outcome of an operation that was answered with this status.

    That an effect is not there yet proves nothing, unless the object has ended otherwise.
    """
    if status in EFFECTS[kind]:
        return OperationStatus.SUCCEEDED
    ended = status in (PaymentStatus.CANCELLED, PaymentStatus.REFUNDED)
    return OperationStatus.DECLINED if ended else OperationStatus.UNKNOWN


def settle_by_status(
    operations: Sequence[Operation], status: PaymentStatus, *, retrieved: bool
) -> tuple[Operation, ...]:
    """Settle all operations of a payment by its status: the one place where these rules are applied.

    `retrieved` means that the object was retrieved in that status: only that proves that a refund did not last.
    """
    if status in (PaymentStatus.CANCELLED, PaymentStatus.REFUNDED):
        operations = [_settle_ended(each, status) for each in operations]
    if status is PaymentStatus.CAPTURED:
        operations = _settle_captured(operations)
    settled = _supersede(operations)
    return _reopen_refunds(settled) if retrieved and status is PaymentStatus.CAPTURED else settled


def _settle_ended(operation: Operation, status: PaymentStatus) -> Operation:
    """Settle what was unanswered when the object reached its final status."""
    if not is_pending(operation):
        return operation
    if (operation.kind, status) in _ENDED_BY:
        return settle(operation, OperationStatus.SUCCEEDED, None)
    return settle(operation, OperationStatus.DECLINED, SETTLED_BY_CANCEL)


def _settle_captured(operations: Sequence[Operation]) -> list[Operation]:
    """Settle the capture that is still unanswered when the payment is captured, whatever call showed it.

    A retrieval that was planned before the capture can be the first to show it. Its checkout then goes on, and an
    answer without an outcome would leave the capture unknown for ever.
    """
    captures = [each for each in operations if each.kind is OperationKind.CAPTURE]
    if any(each.status is OperationStatus.SUCCEEDED for each in captures):
        return list(operations)
    first = next((each for each in captures if is_pending(each)), None)
    return [settle(each, OperationStatus.SUCCEEDED, None) if each is first else each for each in operations]


def _supersede(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """Keep only the first success of each kind that can happen only once; its other keys had no effect."""
    first = {
        kind: min(n)
        for kind in (OperationKind.CAPTURE, OperationKind.REFUND)
        if (n := [each.n for each in operations if each.kind is kind and each.status is OperationStatus.SUCCEEDED])
    }
    return tuple(
        settle(each, OperationStatus.DECLINED, SUPERSEDED)
        if first.get(each.kind, each.n) != each.n and each.status is not OperationStatus.DECLINED
        else each
        for each in operations
    )


def _reopen_refunds(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """Mark accepted refunds as failed, now that the provider has the money again."""
    return tuple(
        replace(each, status=OperationStatus.DECLINED, code=REFUND_RETURNED)
        if each.kind is OperationKind.REFUND and each.status is OperationStatus.SUCCEEDED
        else each
        for each in operations
    )
