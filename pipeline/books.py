"""Our books of one payment: what was intended, what is known, and what therefore comes next.

Pure: no I/O. `pipeline/operations.py` reads and writes these; the payment phases and their undos decide on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, assert_never
from uuid import UUID

from models.money import Money
from models.states import UNSETTLED, OperationKind, OperationStatus, PaymentStatus
from pipeline.gateways.protocol import ActionRequired, Answer, Declined, Succeeded, Unknown


class Verb(StrEnum):
    """What is called at the gateway."""

    OPEN = "open"
    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"
    RETRIEVE = "retrieve"


VERBS: Final = {
    OperationKind.OPEN: Verb.OPEN,
    OperationKind.AUTHORIZE: Verb.AUTHORIZE,
    OperationKind.CAPTURE: Verb.CAPTURE,
    OperationKind.VOID: Verb.CANCEL,
    OperationKind.REFUND: Verb.REFUND,
}

#: A payment only moves down this list; cancelled and refunded are ends. Late or repeated answers cannot move it back.
_RANK: Final = {
    PaymentStatus.NEW: 0,
    PaymentStatus.OPEN: 1,
    PaymentStatus.ACTION_REQUIRED: 2,
    PaymentStatus.AUTHORIZED: 3,
    PaymentStatus.CAPTURED: 4,
    PaymentStatus.CANCELLED: 5,
    PaymentStatus.REFUNDED: 6,
}

#: The calls that bring an object to its end: once a look shows it there, their lost answer is known.
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

#: A definite no that our own cancellation made: whatever was still unanswered can no longer happen.
SETTLED_BY_CANCEL: Final = "settled_by_cancel"


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of `payment_operations`. `id` is None until it is written."""

    kind: OperationKind
    n: int
    status: OperationStatus
    fence: int
    attempts: int
    id: int | None = None
    claimed_until: datetime | None = None
    code: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """What to call next: a new operation, a repeat of one (same key), or a look at the object."""

    kind: OperationKind
    n: int
    verb: Verb


@dataclass(frozen=True, slots=True)
class Books:
    """The payment of one checkout, and the total of its order once there is one.

    `answered` says that an answer was recorded just now, in this transaction.
    """

    checkout_id: UUID
    gateway: str
    token: str
    tries: int
    reference: str | None
    status: PaymentStatus
    action: dict[str, Any] | None
    amount: Money
    operations: Sequence[Operation] = field(default_factory=tuple)
    answered: bool = False
    order_minor: int | None = None

    def find(self, kind: OperationKind, n: int) -> Operation | None:
        """Return the n-th operation of this kind, if it was ever intended."""
        return next((each for each in self.operations if each.kind == kind and each.n == n), None)

    def last(self, kind: OperationKind) -> Operation | None:
        """Return the newest operation of this kind."""
        return max((each for each in self.operations if each.kind == kind), key=lambda each: each.n, default=None)

    @property
    def unsettled(self) -> list[Operation]:
        """Operations whose outcome is not known."""
        return [each for each in self.operations if each.status in UNSETTLED]

    def record(self, operation: Operation, answer: Answer) -> "Books":
        """Return the books with this answer written in. A settled operation keeps its outcome."""
        if operation.status not in UNSETTLED and operation.status is not OperationStatus.ACTION_REQUIRED:
            return replace(self, answered=True)
        status, reference, action, code = self.status, self.reference, self.action, None
        match answer:
            case Succeeded():
                outcome = self._outcome(operation.kind, answer.status)
                code = None if outcome is OperationStatus.SUCCEEDED else f"payment_is_{answer.status}"
                reference = answer.reference
                if _RANK[answer.status] >= _RANK[status]:
                    status, action = answer.status, None
            case ActionRequired():
                outcome, reference = OperationStatus.ACTION_REQUIRED, answer.reference
                if _RANK[status] <= _RANK[PaymentStatus.ACTION_REQUIRED]:
                    status, action = PaymentStatus.ACTION_REQUIRED, dict(answer.action)
            case Declined():
                outcome, code = OperationStatus.DECLINED, answer.code
                if operation.kind is OperationKind.AUTHORIZE and status is PaymentStatus.ACTION_REQUIRED:
                    status, action = PaymentStatus.OPEN, None
            case Unknown():
                # A look that fails changes nothing: what was known is still known.
                known = operation.status is OperationStatus.ACTION_REQUIRED
                outcome, code = OperationStatus.ACTION_REQUIRED if known else OperationStatus.UNKNOWN, answer.error
            case _:
                assert_never(answer)
        settled = replace(
            operation,
            status=outcome,
            code=code,
            claimed_until=None,
            attempts=operation.attempts + isinstance(answer, Unknown),
        )
        operations = [settled if each.id == operation.id else each for each in self.operations]
        if status in (PaymentStatus.CANCELLED, PaymentStatus.REFUNDED):
            operations = [self._settle_ended(each, status) for each in operations]
        return replace(self, status=status, reference=reference, action=action, operations=operations, answered=True)

    @staticmethod
    def _outcome(kind: OperationKind, status: PaymentStatus) -> OperationStatus:
        """Tell what the object's status says of an operation. A look may find the effect; that it is not there yet
        proves nothing, unless the object has ended otherwise or the buyer was the one to act.
        """
        if status in EFFECTS[kind]:
            return OperationStatus.SUCCEEDED
        ended = status in (PaymentStatus.CANCELLED, PaymentStatus.REFUNDED)
        if ended or (kind is OperationKind.AUTHORIZE and status is PaymentStatus.OPEN):
            return OperationStatus.DECLINED
        return OperationStatus.UNKNOWN

    @staticmethod
    def _settle_ended(operation: Operation, status: PaymentStatus) -> Operation:
        """Settle what was unanswered when the object reached its end, whoever told of it."""
        pending = operation.status in UNSETTLED or operation.status is OperationStatus.ACTION_REQUIRED
        if not pending:
            return operation
        if (operation.kind, status) in _ENDED_BY:
            return replace(operation, status=OperationStatus.SUCCEEDED, code=None, claimed_until=None)
        return replace(operation, status=OperationStatus.DECLINED, code=SETTLED_BY_CANCEL, claimed_until=None)
