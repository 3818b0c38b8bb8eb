"""Builds that are broken on purpose: what looks for defects must find these."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from models.states import CheckoutState
from pipeline.checkouts import LockedCheckout
from pipeline.checkouts.locks import lock_checkouts
from pipeline.gateways import Gateway
from pipeline.gateways.charges import ChargeVerb
from pipeline.orders.refunds.calls import PlannedRefund, RefundResult
from pipeline.saga import CHAIN, Executor, chain, runner
from pipeline.saga.chain import TransactionPhase


def send_before_commit() -> None:
    """Send messages from within the transaction that they follow from."""

    def run(self: Executor, task: Any, way: Any) -> Any:
        def eager(connection: Connection, ids: Any, answers: Any) -> Any:
            done = way.step(connection, ids, answers)
            self._publisher.send(done.messages)
            done.messages = []
            return done

        return attempt(self, task, replace(way, step=eager))

    attempt = Executor._attempt
    Executor._attempt = run  # type: ignore[method-assign]


def skip_release() -> None:
    """Undo everything but the reservation."""

    def undo(*_given: Any) -> None:
        return None

    number, phase = next((index, each) for index, each in enumerate(CHAIN) if each.name == "inventory_reservation")
    assert isinstance(phase.work, TransactionPhase)
    broken = replace(phase, work=replace(phase.work, undo=undo))
    setattr(chain, "CHAIN", (*CHAIN[:number], broken, *CHAIN[number + 1 :]))  # noqa: B010 (a name that is not to be assigned)


def forget_the_guard() -> None:
    """Take every message at its word: whoever is named stands before this phase."""

    def lock(connection: Connection, ids: Sequence[Any]) -> list[LockedCheckout]:
        found = lock_checkouts(connection, ids)
        return [replace(each, state=CheckoutState.RUNNING, phase=current[-1] - 1) for each in found]

    current = [1]
    step = runner.Runner._step

    def remember(self: Any, phase: Any, *given: Any) -> Any:
        current.append(phase.number)
        return step(self, phase, *given)

    setattr(runner.Runner, "_step", remember)  # noqa: B010 (as above)
    setattr(runner, "lock_checkouts", lock)  # noqa: B010 (as above)


def refund_twice() -> None:
    """Make each refund of an order once more, with a key that no row has."""

    def make(self: PlannedRefund, gateway: Gateway) -> RefundResult:
        result = once(self, gateway)
        if self.verb is ChargeVerb.REFUND_AMOUNT:
            once(replace(self, call=replace(self.call, key=f"{self.call.key}:again")), gateway)
        return result

    once = PlannedRefund.make
    PlannedRefund.make = make  # type: ignore[method-assign]


BREAKS: Final[Mapping[str, Callable[[], None]]] = {
    "send before commit": send_before_commit,
    "undo that skips release": skip_release,
    "guard removed": forget_the_guard,
}
