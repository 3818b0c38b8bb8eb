"""Payments in every state."""

from dataclasses import replace
from uuid import UUID

from models.money import Money
from models.states import OperationKind, OperationStatus, PaymentStatus
from pipeline.payments.operation import Operation
from pipeline.payments.payment import PaymentState

K, S, P = OperationKind, OperationStatus, PaymentStatus

EMPTY = PaymentState(UUID(int=1), "sandbox", "tok_ok", 1, None, P.NEW, None, Money(500, "EUR"))


def operation(kind: OperationKind, status: OperationStatus = S.INTENDED, *, n: int = 1, id_: int = 1) -> Operation:
    return Operation(kind, n, status, fence=0, attempts=0, id=id_)


def payment(status: PaymentStatus, *operations: Operation) -> PaymentState:
    numbered = tuple(replace(each, id=id_) for id_, each in enumerate(operations, start=1))
    return replace(EMPTY, status=status, reference=None if status is P.NEW else "ref", operations=numbered)
