"""The stored state of one payment: its operations, their outcomes, and how an answer changes them.

Pure: no I/O. `pipeline/payments/storage.py` reads and writes it; the payment phases and their undos decide by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, assert_never
from uuid import UUID

from models.money import Money
from models.states import UNSETTLED, OperationKind, OperationStatus, PaymentStatus
from pipeline.gateways.gateway import (
    ActionRequired,
    Answer,
    Declined,
    Misconfigured,
    Succeeded,
    Transient,
    Unknown,
    Verb,
)
from pipeline.payments.operation import (
    EFFECTS,
    MISCONFIGURED,
    Operation,
    count_attempt,
    is_pending,
    outcome_of,
    settle,
    settle_by_status,
)

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

#: Statuses in which money can move, or has moved and was not refunded.
LIVE: Final = frozenset(
    {PaymentStatus.OPEN, PaymentStatus.ACTION_REQUIRED, PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURED}
)
#: Statuses that only an authorisation or the end of a payment gives: a retrieval that shows one is always applied.
_CERTAIN: Final = frozenset(
    {PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURED, PaymentStatus.CANCELLED, PaymentStatus.REFUNDED}
)


@dataclass(frozen=True, slots=True)
class Intent:
    """What to call next: a new operation, a repeat of one (same key), or a retrieval of the object."""

    kind: OperationKind
    n: int
    verb: Verb


@dataclass(frozen=True, slots=True)
class PaymentState:
    """The payment of one checkout, and the total of its order once there is one.

    `answered` means that an answer was applied just now, in this transaction; `asked` holds what the provider has just
    asked of the buyer for the first time.
    """

    checkout_id: UUID
    gateway: str
    token: str
    attempts: int
    reference: str | None
    status: PaymentStatus
    action: dict[str, Any] | None
    amount: Money
    operations: Sequence[Operation] = field(default_factory=tuple)
    answered: bool = False
    order_minor: int | None = None
    authorized_until: datetime | None = None
    asked: ActionRequired | None = None

    def find(self, kind: OperationKind, n: int) -> Operation | None:
        """Return the n-th operation of this kind, if it was ever intended."""
        return next((each for each in self.operations if each.kind == kind and each.n == n), None)

    def last(self, kind: OperationKind) -> Operation | None:
        """Return the newest operation of this kind."""
        return max((each for each in self.operations if each.kind == kind), key=lambda each: each.n, default=None)

    def first(self, kind: OperationKind) -> Operation | None:
        """Return the oldest operation of this kind."""
        return min((each for each in self.operations if each.kind == kind), key=lambda each: each.n, default=None)

    def count_unanswered(self, kind: OperationKind) -> int:
        """Return how often a call of this kind went without an answer, over all its keys."""
        return sum(each.attempts for each in self.operations if each.kind == kind)

    @property
    def pending(self) -> Operation | None:
        """The operation that a retrieval is most likely to settle: one without an outcome, else the newest."""
        waiting = [each for each in self.operations if is_pending(each)]
        return max(waiting or self.operations, key=lambda each: each.id or 0, default=None)

    @property
    def unsettled(self) -> list[Operation]:
        """Operations with an unknown outcome."""
        return [each for each in self.operations if each.status in UNSETTLED]

    def apply_result(self, operation: Operation, answer: Answer) -> "PaymentState":
        """Return the payment with the answer of a call applied. A settled operation keeps its outcome."""
        if not is_pending(operation):
            return replace(self, answered=True)
        match answer:
            case Succeeded():
                outcome = outcome_of(operation.kind, answer.status)
                code = None if outcome is OperationStatus.SUCCEEDED else f"payment_is_{answer.status}"
                settled = settle(operation, outcome, code)
                # Late or repeated answers cannot move a payment back.
                status = answer.status if _RANK[answer.status] >= _RANK[self.status] else self.status
                return self._with(settled, status, answer.reference, until=answer.authorized_until)
            case ActionRequired():
                settled = settle(operation, OperationStatus.ACTION_REQUIRED, None)
                asked = None if operation.status is OperationStatus.ACTION_REQUIRED else answer
                if _RANK[self.status] > _RANK[PaymentStatus.ACTION_REQUIRED]:
                    return self._with(settled, self.status, answer.reference)
                payment = self._with(settled, PaymentStatus.ACTION_REQUIRED, answer.reference)
                return replace(payment, action=dict(answer.action), asked=asked)
            case Declined():
                settled = settle(operation, OperationStatus.DECLINED, answer.code, answer.message)
                was_asked = operation.kind is OperationKind.AUTHORIZE and self.status is PaymentStatus.ACTION_REQUIRED
                return self._with(settled, PaymentStatus.OPEN if was_asked else self.status, self.reference)
            case Misconfigured() if operation.kind in (OperationKind.OPEN, OperationKind.AUTHORIZE):
                # Nothing was done, nor will be while the buyer waits: an object that may exist is cancelled.
                settled = settle(operation, OperationStatus.DECLINED, MISCONFIGURED, answer.error)
                return self._with(settled, self.status, self.reference)
            case Misconfigured():
                return self._with(count_attempt(operation, MISCONFIGURED, answer.error), self.status, self.reference)
            case Transient() | Unknown():
                return self._with(count_attempt(operation, answer.error, answer.error), self.status, self.reference)
            case _:
                assert_never(answer)

    def apply_retrieved_status(self, operation: Operation, answer: Answer, seen: PaymentStatus) -> "PaymentState":
        """Return the payment with a retrieved status applied. `seen` is its status when the retrieval was planned.

        What a retrieval shows is there; what it does not show may still come. When the payment has changed meanwhile,
        the retrieval is not applied.
        """
        freed = replace(operation, leased_until=None)
        if self.status is not seen:
            return self._with(freed, self.status, self.reference)
        asked_before = operation.status is OperationStatus.ACTION_REQUIRED
        match answer:
            case Succeeded():
                if answer.status not in _CERTAIN and not asked_before:
                    return self._with(freed, self.status, self.reference)
                shows_effect = answer.status in EFFECTS[operation.kind]
                if shows_effect and is_pending(operation):
                    freed = settle(operation, OperationStatus.SUCCEEDED, None)
                elif asked_before:
                    freed = settle(operation, OperationStatus.DECLINED, f"payment_is_{answer.status}")
                return self._with(freed, answer.status, answer.reference, until=answer.authorized_until, retrieved=True)
            case Declined() if asked_before:
                return self.apply_result(operation, answer)
            case ActionRequired() | Unknown() | Transient() | Misconfigured() if asked_before:
                # What was known is still known; after the error, a checkout that awaits the buyer is polled again.
                error = None if isinstance(answer, ActionRequired) else answer.error
                polled = replace(freed, code=error, attempts=operation.attempts + 1 if error else 0)
                return self._with(polled, self.status, self.reference)
            case ActionRequired() | Declined() | Unknown() | Transient() | Misconfigured():
                return self._with(freed, self.status, self.reference)
            case _:
                assert_never(answer)

    def end_lease(self, operation: Operation) -> "PaymentState":
        """Return the payment without the lease of a call that was not made."""
        freed = replace(operation, leased_until=None)
        return replace(self, operations=[freed if each.id == operation.id else each for each in self.operations])

    def keep_lease(self, operation: Operation) -> "PaymentState":
        """Return the payment with the lease that this operation has, unless its outcome is known by now."""
        return replace(
            self,
            operations=[
                replace(each, leased_until=operation.leased_until)
                if each.id == operation.id and is_pending(each)
                else each
                for each in self.operations
            ],
        )

    def _with(
        self,
        changed: Operation,
        status: PaymentStatus,
        reference: str | None,
        *,
        until: datetime | None = None,
        retrieved: bool = False,
    ) -> "PaymentState":
        """Return the payment with this operation and status, and the other operations settled by them."""
        operations = [changed if each.id == changed.id else each for each in self.operations]
        return replace(
            self,
            status=status,
            reference=reference,
            action=self.action if status is PaymentStatus.ACTION_REQUIRED else None,
            operations=settle_by_status(operations, status, retrieved=retrieved),
            authorized_until=until or self.authorized_until,
            answered=True,
        )
