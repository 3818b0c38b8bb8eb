"""The chain: the one list of the seven phases. A phase is added here and nowhere else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from sqlalchemy import Connection

from pipeline.checkouts.batch import LockedCheckout, PhaseResult
from pipeline.gateways.gateway import Chargeable
from pipeline.payments.payment import Intent, PaymentState
from pipeline.phases import (
    cart_validation,
    inventory_reservation,
    order_creation,
    payment_authorization,
    payment_capture,
    price_lock,
    stock_commit,
)
from pipeline.settings import Settings

Do = Callable[[Connection, Sequence[LockedCheckout], Settings], Mapping[UUID, PhaseResult]]
Undo = Callable[[Connection, Sequence[LockedCheckout]], None]
Plan = Callable[[LockedCheckout, PaymentState, Settings], PhaseResult | Intent]
PlanUndo = Callable[[LockedCheckout, PaymentState | None, Settings], PhaseResult | Intent]


@dataclass(frozen=True, slots=True)
class TransactionPhase:
    """A phase that is one transaction. `undo` is None where there is nothing to undo."""

    do: Do
    undo: Undo | None


class DoQuote(Protocol):
    """The `do` of a phase that looks at totals. `chargeable` is the gateway's; without it every amount can be."""

    def __call__(
        self,
        connection: Connection,
        batch: Sequence[LockedCheckout],
        settings: Settings,
        chargeable: Chargeable = ...,
        /,
    ) -> Mapping[UUID, PhaseResult]:
        """Do it."""


@dataclass(frozen=True, slots=True)
class QuotingPhase(TransactionPhase):
    """A local phase that must know what the gateway can charge."""

    do: DoQuote


@dataclass(frozen=True, slots=True)
class GatewayPhase:
    """A phase that calls the gateway: it plans on our books, the executor calls, it plans again.

    Once the intent of a `pivot` phase is committed, nothing is undone by wish or by time.
    """

    plan: Plan
    plan_undo: PlanUndo
    pivot: bool = False


@dataclass(frozen=True, slots=True)
class Phase:
    """One step of the chain. After a phase with `awaits_payment` a checkout without a payment waits for the buyer."""

    number: int
    name: str
    work: TransactionPhase | GatewayPhase
    awaits_payment: bool = False

    @property
    def queue(self) -> str:
        """The queue that carries it."""
        return f"checkout.{self.name}"


CHAIN: Final = (
    Phase(1, "cart_validation", QuotingPhase(cart_validation.do, cart_validation.undo)),
    Phase(2, "inventory_reservation", TransactionPhase(inventory_reservation.do, inventory_reservation.undo)),
    Phase(3, "price_lock", QuotingPhase(price_lock.do, price_lock.undo), awaits_payment=True),
    Phase(4, "payment_authorization", GatewayPhase(payment_authorization.plan, payment_authorization.plan_undo)),
    Phase(5, "order_creation", TransactionPhase(order_creation.do, order_creation.undo)),
    Phase(6, "payment_capture", GatewayPhase(payment_capture.plan, payment_capture.plan_undo, pivot=True)),
    Phase(7, "stock_commit", TransactionPhase(stock_commit.do, stock_commit.undo)),
)


def next_phase(completed: int) -> Phase:
    """Return the phase that follows this many completed ones."""
    return CHAIN[completed]


def first_undo(completed: int) -> int:
    """Return the number of the newest phase that an unwind must undo, 0 for none.

    A gateway phase may have written operations before it completed: the unwind begins with it, and finds nothing to do
    if it had not begun.
    """
    started = completed + 1 if completed < len(CHAIN) and isinstance(CHAIN[completed].work, GatewayPhase) else completed
    while started and not undoable(CHAIN[started - 1]):
        started -= 1
    return started


def undoable(phase: Phase) -> bool:
    """Tell whether the phase has anything to undo."""
    return isinstance(phase.work, GatewayPhase) or phase.work.undo is not None
