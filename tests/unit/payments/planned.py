"""Payments to plan for."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from pydantic import SecretStr

from models.money import Money
from models.states import CheckoutState, OperationKind, OperationStatus, PaymentStatus
from pipeline.checkouts import Expected, LockedCheckout
from pipeline.payments.operation import Operation
from pipeline.payments.payment import PaymentState
from pipeline.settings import Settings

K, S, P = OperationKind, OperationStatus, PaymentStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = Settings(_env_file=None, database_url=SecretStr("postgresql://"), redis_url=SecretStr("redis://"))

MEMBER = LockedCheckout(
    id=UUID(int=1),
    cart_id=UUID(int=2),
    owner="shop-1",
    reference=None,
    currency="EUR",
    state=CheckoutState.RUNNING,
    phase=3,
    fence=0,
    straight_through=True,
    payment_given=True,
    expected=Expected(),
    expires_at=NOW + timedelta(minutes=15),
    pivot_at=None,
    attempts=0,
    ending=None,
    now=NOW,
)

OPENED = Operation(K.OPEN, 1, S.SUCCEEDED, fence=0, attempts=0)


def operation(
    kind: OperationKind,
    status: OperationStatus,
    *,
    n: int = 1,
    attempts: int = 0,
    fence: int = 0,
    code: str | None = None,
    age_seconds: float = 3600,
    leased_seconds: float | None = None,
) -> Operation:
    return Operation(
        kind,
        n,
        status,
        fence,
        attempts,
        code=code,
        leased_until=None if leased_seconds is None else NOW + timedelta(seconds=leased_seconds),
        created_at=NOW - timedelta(seconds=age_seconds),
        updated_at=NOW - timedelta(seconds=age_seconds),
    )


def books(status: PaymentStatus, *operations: Operation, attempts: int = 1, answered: bool = False) -> PaymentState:
    reference = None if status is P.NEW else "ref"
    amount = Money(500, "EUR")
    return PaymentState(
        MEMBER.id, "sandbox", "tok", attempts, reference, status, None, amount, operations, answered, amount.minor
    )
