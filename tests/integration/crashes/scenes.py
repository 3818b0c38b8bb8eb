"""What is going on when the process dies: stories that between them do and undo everything there is to undo.

Then those of orders that were placed: each kind of change, asked for and done by the process that dies.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import text

from models.states import CheckoutState
from pipeline.orders.requests import ChangeRequest
from tests.integration.orders.counter import cancel as cancel_order
from tests.integration.orders.counter import fulfill, refund, restock
from tests.support.harness import OWNER, Shelf, Works


@dataclass(frozen=True, slots=True)
class Scene:
    """`prepare` is done by who lives, `act` by who dies, `repeat` by a client that heard nothing."""

    token: str | None
    ending: CheckoutState
    prepare: Callable[[Works, Shelf, Sequence[UUID]], None]
    act: Callable[[Works, Shelf, Sequence[UUID]], None]
    repeat: Callable[[Works, UUID], None]
    effects: "Effects | None" = None


@dataclass(frozen=True, slots=True)
class Effects:
    """What a change of a placed order comes to: paid back, units in stock again, its one event, and its order."""

    refunded_minor: int
    restocked: int
    event: str
    order: str = "placed"


def do_nothing(*_given: object) -> None:
    """Leave all as it is."""


def quote(works: Works, _shelf: Shelf, _ids: Sequence[UUID]) -> None:
    """Bring them to where they wait for their buyers."""
    works.pump()


def authorise(works: Works, _shelf: Shelf, _ids: Sequence[UUID]) -> None:
    """Bring them to where their money is authorised, and no order written."""
    works.pump(until="order_creation")


def take_at_the_desk(works: Works, shelf: Shelf, ids: Sequence[UUID]) -> None:
    """Have the money taken by hand, at the bank's own desk, before our capture."""
    works.pump(until="payment_capture")
    named = {"ids": list(ids)}
    shelf.run(
        "INSERT INTO sandbox.entries (reference, kind, amount_minor)"
        " SELECT reference, 'capture', authorized_minor FROM sandbox.payments"
        " WHERE checkout_id = ANY(CAST(:ids AS uuid[]))",
        **named,
    )
    shelf.run(
        "UPDATE sandbox.payments SET status = 'captured', captured_minor = authorized_minor"
        " WHERE checkout_id = ANY(CAST(:ids AS uuid[]))",
        **named,
    )


def go_on(works: Works, _shelf: Shelf, _ids: Sequence[UUID]) -> None:
    """Work on whatever waits."""
    works.pump()


def repeat_messages(works: Works, _shelf: Shelf, _ids: Sequence[UUID]) -> None:
    """Work on whatever waits, then on every message once more, as if Redis had kept them all."""
    works.pump()
    works.line.send(list(works.line.sent))
    works.pump()


def cancel(works: Works, _shelf: Shelf, ids: Sequence[UUID]) -> None:
    """Cancel each, then work on it."""
    for checkout_id in ids:
        works.service.cancel(checkout_id, OWNER)
    works.pump()


def expire(works: Works, shelf: Shelf, ids: Sequence[UUID]) -> None:
    """Let their time run out, then work on it."""
    with shelf.engine.begin() as connection:
        connection.execute(text("UPDATE checkouts SET expires_at = now() WHERE id = ANY(:ids)"), {"ids": list(ids)})
    works.sweep()
    works.pump()


def cancel_again(works: Works, checkout_id: UUID) -> None:
    """Cancel once more: the buyer has had no answer."""
    if works.status(checkout_id).state not in {CheckoutState.UNWINDING, CheckoutState.CANCELLED}:
        works.service.cancel(checkout_id, OWNER)


SCENES: Final[Mapping[str, Scene]] = {
    "bought": Scene("tok_ok", CheckoutState.COMPLETED, do_nothing, go_on, do_nothing),
    "capture declined": Scene("tok_capture_declined", CheckoutState.FAILED, do_nothing, go_on, do_nothing),
    "cancelled": Scene(None, CheckoutState.CANCELLED, quote, cancel, cancel_again),
    "repeated": Scene("tok_ok", CheckoutState.COMPLETED, do_nothing, repeat_messages, do_nothing),
    "expired": Scene(None, CheckoutState.EXPIRED, quote, expire, do_nothing),
    "voided": Scene("tok_ok", CheckoutState.CANCELLED, authorise, cancel, cancel_again),
    "refunded": Scene("tok_ok", CheckoutState.CANCELLED, take_at_the_desk, cancel, cancel_again),
}


def place(works: Works, _shelf: Shelf, _ids: Sequence[UUID]) -> None:
    """Have the orders placed."""
    works.pump()


def ask(request: ChangeRequest, works: Works, checkout_id: UUID) -> None:
    """Ask for a change of the order of a checkout, with the same key each time."""
    order = works.status(checkout_id).order
    assert order is not None
    works.orders.request(order.id, OWNER, request, actor="key:shop", idempotency_key=str(checkout_id))


def change(request: ChangeRequest, effects: Effects) -> Scene:
    """Return the story of a change: it is asked for and done by who dies; the shop has no answer, and asks again."""

    def act(works: Works, _shelf: Shelf, ids: Sequence[UUID]) -> None:
        for checkout_id in ids:
            ask(request, works, checkout_id)
        works.pump()

    return Scene(
        *("tok_ok", CheckoutState.COMPLETED, place, act),
        lambda works, checkout_id: ask(request, works, checkout_id),
        effects,
    )


#: Orders of one cup for 2.50 each.
CHANGES: Final[Mapping[str, Scene]] = {
    "a part is refunded": change(refund(amount_minor=100), Effects(100, 0, "order.refunded")),
    "a line is refunded": change(refund((1, 1)), Effects(250, 0, "order.refunded")),
    "the order is cancelled": change(cancel_order(), Effects(250, 1, "order.cancelled", "cancelled")),
    "a unit is restocked": change(restock((1, 1)), Effects(0, 1, "order.restocked")),
    "a unit is sent": change(fulfill((1, 1)), Effects(0, 0, "order.fulfilled")),
}
ALL: Final[Mapping[str, Scene]] = {**SCENES, **CHANGES}
