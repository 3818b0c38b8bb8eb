"""Cancelling, releasing and expiring, at every phase."""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from pipeline.errors import Conflict, NotFound
from pipeline.gateways.sandbox.invariants import BankTotals
from pipeline.saga import CHAIN
from tests.support.harness import OWNER, Shelf, Works
from tests.support.workbench import NOTHING, read_bank, read_events, settle, take_snapshot


def cancel(works: Works, checkout_id: UUID) -> bool:
    return works.service.cancel(checkout_id, OWNER).changed


def release(works: Works, checkout_id: UUID) -> bool:
    return works.service.release(checkout_id, actor="ops", reason="the buyer called").changed


BOTH = pytest.mark.parametrize("turn_back", [cancel, release])
TurnBack = Callable[[Works, UUID], bool]

SENTENCES = {
    "cancelled": "The checkout was cancelled by the buyer.",
    "released": "The checkout was released by ops: the buyer called.",
}


def bring_to(works: Works, shelf: Shelf, completed: int, *, card: str | None = "tok_ok") -> UUID:
    shelf.add_variant("cup", stock=5, price_minor=250)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token=card)
    works.pump(until=CHAIN[completed].name if completed < len(CHAIN) else None)
    assert works.status(checkout_id).phases_completed == completed
    return checkout_id


@BOTH
@pytest.mark.parametrize("token", ["tok_ok", None])
@pytest.mark.parametrize("completed", range(6))
def test_before_the_pivot_everything_is_undone(
    works: Works, shelf: Shelf, engine: Engine, completed: int, token: str | None, turn_back: TurnBack
) -> None:
    # Given
    if completed > 3 and token is None:
        checkout_id = bring_to(works, shelf, 3, card=None)
        works.pay(checkout_id)
        works.pump(until=CHAIN[completed].name)
    else:
        checkout_id = bring_to(works, shelf, completed, card=token)
    # When
    assert turn_back(works, checkout_id)
    # Then twice is once
    before = take_snapshot(engine)
    assert not turn_back(works, checkout_id)
    assert take_snapshot(engine) == before
    # When
    works.pump()
    # Then
    status = works.status(checkout_id)
    code = "cancelled" if turn_back is cancel else "released"
    assert (status.state, status.phases_completed, status.order_number) == ("cancelled", 0, None)
    assert status.failure is not None
    assert (status.failure.code, status.failure.message) == (code, SENTENCES[code])
    assert shelf.stock("cup") == (5, 0)
    assert read_bank(engine, checkout_id) == NOTHING
    assert shelf.rows("SELECT DISTINCT state FROM reservations") == ([("released",)] if completed >= 2 else [])
    assert shelf.rows("SELECT voided_at IS NULL FROM price_locks") == ([(False,)] if completed >= 3 else [])
    assert shelf.rows("SELECT state, number FROM orders") == ([("cancelled", None)] if completed == 5 else [])
    assert shelf.rows("SELECT status FROM sandbox.payments") == ([("cancelled",)] if completed > 3 else [])
    assert shelf.rows("SELECT state FROM carts") == [("open",)]
    before = take_snapshot(engine)
    assert not turn_back(works, checkout_id)
    works.pump()
    assert take_snapshot(engine) == before


@BOTH
def test_past_the_pivot_it_is_refused(works: Works, shelf: Shelf, engine: Engine, turn_back: TurnBack) -> None:
    # Given
    checkout_id = bring_to(works, shelf, 6)
    before = take_snapshot(engine)
    # When
    with pytest.raises(Conflict) as refusal:
        turn_back(works, checkout_id)
    # Then
    assert refusal.value.code == "past_pivot"
    assert str(refusal.value) == (
        f"The payment of checkout {checkout_id} is being captured: wait for its order, then cancel that."
    )
    assert take_snapshot(engine) == before
    works.pump()
    assert works.states([checkout_id]) == ["completed"]


@BOTH
def test_what_is_completed_stays_so(works: Works, shelf: Shelf, engine: Engine, turn_back: TurnBack) -> None:
    # Given
    checkout_id = bring_to(works, shelf, 7)
    before = take_snapshot(engine)
    # When
    created = turn_back(works, checkout_id)
    works.pump()
    # Then
    assert created is False
    assert take_snapshot(engine) == before
    assert read_bank(engine, checkout_id) == BankTotals(0, 500, 0)


def test_a_checkout_of_another_owner_is_not_there(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    checkout_id = bring_to(works, shelf, 3, card=None)
    unknown_id = uuid4()
    before = take_snapshot(engine)
    # When, then
    for each, owner in ((checkout_id, "shop-2"), (unknown_id, OWNER)):
        for act in (works.service.cancel, works.service.resume):
            with pytest.raises(NotFound) as refusal:
                act(each, owner)
            assert str(refusal.value) == f"There is no checkout {each} of this owner: check the id."
    with pytest.raises(NotFound):
        works.service.release(unknown_id, actor="ops", reason="?")
    with pytest.raises(NotFound):
        works.service.status(checkout_id=checkout_id, owner="shop-2")
    assert take_snapshot(engine) == before


def test_a_cancelled_checkout_that_awaits_3ds_is_voided(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    checkout_id = bring_to(works, shelf, 3, card="tok_action_required")
    works.pump()
    assert works.states([checkout_id]) == ["action_required"]
    # When
    cancel(works, checkout_id)
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["cancelled"]
    assert shelf.rows("SELECT status FROM sandbox.payments") == [("cancelled",)]
    assert read_bank(engine, checkout_id) == NOTHING


def expire(shelf: Shelf) -> None:
    shelf.run("UPDATE checkouts SET expires_at = now() - interval '1 second'")


@pytest.mark.parametrize("completed", range(6))
def test_a_running_checkout_expires(works: Works, shelf: Shelf, engine: Engine, completed: int) -> None:
    # Given
    checkout_id = bring_to(works, shelf, completed)
    expire(shelf)
    # When
    assert works.sweep().expired == 1
    works.pump()
    # Then
    status = works.status(checkout_id)
    assert status.state == "expired"
    assert status.failure is not None
    assert status.failure.message == "The checkout expired before it was paid: start a new one."
    assert shelf.stock("cup") == (5, 0)
    assert read_bank(engine, checkout_id) == NOTHING
    assert works.sweep().expired == 0


@pytest.mark.parametrize("token", [None, "tok_action_required"])
def test_a_waiting_checkout_expires(works: Works, shelf: Shelf, engine: Engine, token: str | None) -> None:
    # Given
    checkout_id = bring_to(works, shelf, 3, card=token)
    works.pump()
    expire(shelf)
    # When
    assert works.sweep().expired == 1
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["expired"]
    assert read_events(engine, checkout_id)[-1] == ("checkout.expired", None)
    assert shelf.stock("cup") == (5, 0)
    assert read_bank(engine, checkout_id) == NOTHING


@pytest.mark.parametrize("completed", [6, 7])
def test_past_the_pivot_nothing_expires(works: Works, shelf: Shelf, engine: Engine, completed: int) -> None:
    # Given
    checkout_id = bring_to(works, shelf, completed)
    expire(shelf)
    # When
    assert works.sweep().expired == 0
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert read_bank(engine, checkout_id) == BankTotals(0, 500, 0)


@pytest.mark.parametrize("verb", ["open", "authorize"])
def test_nothing_expires_while_an_outcome_is_unknown(works: Works, shelf: Shelf, engine: Engine, verb: str) -> None:
    # Given
    checkout_id = bring_to(works, shelf, 3, card=f"tok_{verb}_error")
    works.pump()
    expire(shelf)
    # When
    assert works.sweep().expired == 0
    # Then it is settled first
    assert settle(works, [checkout_id]) == ["completed"]


@pytest.mark.parametrize("early", [False, True], ids=["waiting", "running"])
def test_a_payment_extends_the_reservation(works: Works, shelf: Shelf, *, early: bool) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    checkout_id = works.start(shelf.add_cart(("cup", 1)), ttl_seconds=60)
    if not early:
        works.pump()
    # When
    works.pay(checkout_id)
    # Then
    left = shelf.row("SELECT extract(epoch FROM expires_at - updated_at) AS seconds FROM checkouts").seconds
    assert left == works.settings.payment_window_seconds
    works.pump()


def test_a_payment_never_shortens_the_reservation(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    checkout_id = works.start(shelf.add_cart(("cup", 1)), ttl_seconds=3600)
    works.pump()
    until = works.status(checkout_id).expires_at
    # When
    works.pay(checkout_id)
    works.pump()
    # Then
    assert works.status(checkout_id).expires_at == until
