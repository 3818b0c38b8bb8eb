"""The chain: the one list of the phases. A phase is one file in `pipeline/phases/` and one line here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol
from uuid import UUID

from sqlalchemy import Connection

from pipeline.checkouts import LockedCheckout, PhaseResult
from pipeline.gateways.gateway import Chargeable
from pipeline.payments import Intent, PaymentState
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
    """One step of the chain. After a phase with `awaits_payment` a checkout without a payment waits for the buyer.

    `number` is its place in the chain, from 1 on.
    """

    name: str
    work: TransactionPhase | GatewayPhase
    awaits_payment: bool = False
    number: int = 0

    @property
    def queue(self) -> str:
        """The queue that carries it."""
        return f"checkout.{self.name}"


def link(*phases: Phase) -> tuple[Phase, ...]:
    """Make a chain of these phases: each gets the number of its place."""
    return tuple(replace(phase, number=number) for number, phase in enumerate(phases, start=1))


CHAIN: Final = link(
    Phase("cart_validation", QuotingPhase(cart_validation.do, cart_validation.undo)),
    Phase("inventory_reservation", TransactionPhase(inventory_reservation.do, inventory_reservation.undo)),
    Phase("price_lock", QuotingPhase(price_lock.do, price_lock.undo), awaits_payment=True),
    Phase("payment_authorization", GatewayPhase(payment_authorization.plan, payment_authorization.plan_undo)),
    Phase("order_creation", TransactionPhase(order_creation.do, order_creation.undo)),
    Phase("payment_capture", GatewayPhase(payment_capture.plan, payment_capture.plan_undo, pivot=True)),
    Phase("stock_commit", TransactionPhase(stock_commit.do, stock_commit.undo)),
)


def get_chain() -> tuple[Phase, ...]:
    """Return the phases in order. The engine asks at each use and keeps no copy, so that another list is one change."""
    return CHAIN


def find_phase(number: int) -> Phase:
    """Return the phase with this number."""
    return get_chain()[number - 1]


def next_phase(completed: int) -> Phase:
    """Return the phase that follows this many completed ones."""
    return get_chain()[completed]


def is_last(phase: Phase) -> bool:
    """Tell whether a checkout is completed with this phase."""
    return phase.number == len(get_chain())


def first_undo(completed: int) -> int:
    """Return the number of the newest phase that an unwind must undo, 0 for none.

    A gateway phase may have written operations before it completed: the unwind begins with it, and finds nothing to do
    if it had not begun.
    """
    chain = get_chain()
    is_calling = completed < len(chain) and isinstance(chain[completed].work, GatewayPhase)
    return skip_settled(completed + 1 if is_calling else completed)


def skip_settled(number: int) -> int:
    """Return the number of the newest phase, up to this one, that has anything to undo; 0 for none."""
    while number and not undoable(find_phase(number)):
        number -= 1
    return number


def undoable(phase: Phase) -> bool:
    """Return whether the phase has anything to undo."""
    return isinstance(phase.work, GatewayPhase) or phase.work.undo is not None
