"""Paying a started checkout: in time, early, again, and when it cannot be paid."""

from uuid import UUID

import pytest
from sqlalchemy import Engine

from pipeline.errors import Conflict, NotFound
from pipeline.saga import CHAIN
from tests.support.harness import OWNER, Shelf, Works
from tests.support.workbench import NOTHING, assert_refused, read_bank, read_events, take_snapshot


def test_a_repeated_payment_is_the_same_payment(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    checkout_id = works.start(shelf.add_cart(("cup", 1)))
    works.pump()
    first = works.pay(checkout_id, idempotency_key="p1")
    before = take_snapshot(engine)
    # When
    second = works.pay(checkout_id, idempotency_key="p1")
    # Then
    assert (first.changed, second.changed) == (True, False)
    assert take_snapshot(engine) == before
    # When it is over
    works.pump()
    third = works.pay(checkout_id, idempotency_key="p1")
    # Then
    assert (third.changed, third.checkout_id) == (False, checkout_id)
    conflict = 'Idempotency key "p1" was used for another request: use a new key for a new request.'
    other = lambda: works.pay(checkout_id, "tok_declined", idempotency_key="p1")  # noqa: E731 (read with its sentence)
    assert_refused(works, other, Conflict, "idempotency_conflict", conflict)


def test_what_cannot_be_paid_says_why(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=9, price_minor=250)
    checkout_id = works.start(shelf.add_cart(("cup", 1)))
    works.pump()
    unknown_id = UUID("0190a000-0000-7000-8000-000000000000")
    unknown = "There is no checkout {}".format
    rest = " of this owner: check the id."
    # When, then: unknown, and of another owner
    assert_refused(works, lambda: works.pay(unknown_id), NotFound, "checkout_unknown", unknown(unknown_id) + rest)
    assert_refused(
        works,
        lambda: works.pay(checkout_id, owner="shop-2"),
        NotFound,
        "checkout_unknown",
        unknown(checkout_id) + rest,
    )
    # its payment is under way
    works.pay(checkout_id, expected_total_minor=250)
    busy = f"Checkout {checkout_id} is running and has its payment: wait for its outcome."
    assert_refused(works, lambda: works.pay(checkout_id, "tok_other"), Conflict, "checkout_busy", busy)
    # it has ended
    works.pump()
    ended = (
        f"Checkout {checkout_id} is completed and its order is placed: nothing is left to pay, and to cancel,"
        " cancel the order."
    )
    assert_refused(works, lambda: works.pay(checkout_id), Conflict, "checkout_ended", ended)


def test_a_payment_of_another_total_charges_nothing_and_keeps_nothing(
    works: Works, shelf: Shelf, engine: Engine
) -> None:
    # Given
    shelf.add_variant("cup", stock=9, price_minor=250)
    checkout_id = works.start(shelf.add_cart(("cup", 1)))
    works.pump()
    # When
    with pytest.raises(Conflict) as refused:
        works.pay(checkout_id, expected_total_minor=249)
    # Then the difference is reported line by line, no money has moved, and the stock is free again
    assert str(refused.value) == "The total is 250, not the expected 249: show it and ask again."
    assert refused.value.committed
    assert [line["total_minor"] for line in refused.value.detail["lines"]] == [250]
    works.pump()
    failure = works.status(checkout_id).failure
    assert failure is not None
    assert (works.states([checkout_id]), failure.code) == (["failed"], "price_changed")
    assert shelf.stock("cup") == (9, 0)
    assert shelf.rows("SELECT count(*) FROM payments") == [(0,)]
    assert read_bank(engine, checkout_id) == NOTHING


def test_a_checkout_that_awaits_3ds_cannot_be_paid_again(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=9)
    checkout_id = works.start(shelf.add_cart(("cup", 1)), token="tok_action_required")
    works.pump()
    # When, then
    busy = f"Checkout {checkout_id} awaits 3-D Secure: the buyer must complete it, or cancel the checkout."
    assert_refused(works, lambda: works.pay(checkout_id), Conflict, "checkout_busy", busy)


def test_what_has_run_out_of_time_cannot_be_paid_even_before_the_sweep(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=9)
    checkout_id = works.start(shelf.add_cart(("cup", 1)))
    works.pump()
    shelf.run("UPDATE checkouts SET expires_at = now()")
    # When, then
    ended = f"Checkout {checkout_id} is expired: start a new one."
    assert_refused(works, lambda: works.pay(checkout_id), Conflict, "checkout_ended", ended)
    assert works.sweep().expired == 1
    works.pump()


def test_an_unwinding_checkout_cannot_be_paid(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    shelf.add_variant("cup", stock=9)
    checkout_id = works.start(shelf.add_cart(("cup", 1)))
    works.pump()
    works.service.cancel(checkout_id, OWNER)
    # When, then
    ended = f"Checkout {checkout_id} is being undone: wait until its cart is open again, then start a new one."
    assert_refused(works, lambda: works.pay(checkout_id), Conflict, "checkout_ended", ended)
    works.pump()
    assert read_bank(engine, checkout_id) == NOTHING


@pytest.mark.parametrize("completed", range(3))
def test_a_payment_may_come_while_the_first_phases_run(
    works: Works, shelf: Shelf, engine: Engine, completed: int
) -> None:
    # Given
    shelf.add_variant("cup", stock=9, price_minor=250)
    checkout_id = works.start(shelf.add_cart(("cup", 1)))
    works.pump(until=CHAIN[completed].name)
    sent = len(works.line.sent)
    # When
    works.pay(checkout_id, expected_total_minor=250)
    # Then its message is not doubled
    assert len(works.line.sent) == sent
    works.pump()
    assert works.states([checkout_id]) == ["completed"]
    assert ("checkout.awaiting_payment", None) not in read_events(engine, checkout_id)


def test_an_early_payment_that_expects_another_total_unwinds_at_the_price_lock(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=9, price_minor=250)
    checkout_id = works.start(shelf.add_cart(("cup", 1)))
    # When
    works.pay(checkout_id, expected_total_minor=249)
    works.pump()
    # Then
    failure = works.status(checkout_id).failure
    assert failure is not None
    assert (failure.code, failure.phase) == ("price_changed", "price_lock")
    assert shelf.stock("cup") == (9, 0)
