"""What costs nothing is not paid for, what costs something is, and what costs too much is not sold."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import Engine

from models.money import MAX_MINOR
from pipeline.errors import Invalid
from pipeline.settings import Settings
from tests.support.counter import add_free_cart, fill, read_failure
from tests.support.harness import Shelf, Works
from tests.support.workbench import NOTHING, assert_refused, build_audited, read_bank, read_events


def assert_bought_for_nothing(works: Works, shelf: Shelf, checkout_id: UUID) -> None:
    assert works.states([checkout_id]) == ["completed"]
    assert shelf.rows("SELECT state, subtotal_minor, discount_minor, total_minor FROM orders") == [
        ("placed", 950, 950, 0)
    ]
    assert shelf.rows("SELECT count(*) FROM payment_operations") == [(0,)]
    assert shelf.rows("SELECT count(*) FROM sandbox.payments") == [(0,)]
    assert (shelf.stock("cup"), shelf.stock("pot")) == ((7, 0), (8, 0))
    kinds = [kind for kind, _ in read_events(works.engine, checkout_id)]
    assert kinds.count("checkout.phase_completed") == 7


@pytest.mark.parametrize("token", ["tok_ok", "tok_declined"])
def test_what_costs_nothing_goes_straight_through_without_a_card(works: Works, shelf: Shelf, token: str) -> None:
    # When
    checkout_id = works.start(add_free_cart(shelf), token=token, expected_total_minor=0)
    works.pump()
    # Then
    assert_bought_for_nothing(works, shelf, checkout_id)


@pytest.mark.parametrize("token", ["tok_ok", None])
def test_what_costs_nothing_is_confirmed(works: Works, shelf: Shelf, token: str | None) -> None:
    # Given
    checkout_id = works.start(add_free_cart(shelf))
    works.pump()
    assert works.states([checkout_id]) == ["awaiting_payment"]
    assert works.status(checkout_id).total_minor == 0
    # When
    first = works.pay(checkout_id, token, idempotency_key="p1", expected_total_minor=0)
    again = works.pay(checkout_id, token, idempotency_key="p1", expected_total_minor=0)
    works.pump()
    # Then
    assert (first.changed, again.changed) == (True, False)
    assert_bought_for_nothing(works, shelf, checkout_id)
    ended = works.pay(checkout_id, token, idempotency_key="p1", expected_total_minor=0)
    assert ended.changed is False


def test_what_costs_nothing_and_is_not_confirmed_expires(works: Works, shelf: Shelf) -> None:
    # Given
    checkout_id = works.start(add_free_cart(shelf))
    works.pump()
    # When
    shelf.run("UPDATE checkouts SET expires_at = now() - interval '1 second'")
    works.sweep()
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["expired"]
    assert shelf.rows("SELECT used FROM coupons") == [(0,)]
    assert (shelf.stock("cup"), shelf.stock("pot")) == ((9, 0), (9, 0))


@pytest.mark.parametrize("priced", [False, True], ids=["before the quote", "after the quote"])
def test_what_costs_something_is_not_confirmed_without_a_payment(works: Works, shelf: Shelf, *, priced: bool) -> None:
    # Given
    checkout_id = works.start(fill(shelf))
    works.pump(until=None if priced else "price_lock")
    # When, then
    sentence = "There is something to pay, and the request carries no payment: send its token."
    assert_refused(works, lambda: works.pay(checkout_id, None), Invalid, "payment_required", sentence)
    # When
    works.pay(checkout_id)
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["completed"]


@pytest.mark.parametrize(("limit", "state"), [(950, "completed"), (949, "failed")])
def test_a_total_over_the_limit_is_refused(
    engine: Engine, settings: Settings, shelf: Shelf, limit: int, state: str
) -> None:
    # Given
    cart_id = fill(shelf)
    with build_audited(engine, settings.model_copy(update={"max_totals": f"EUR:{limit}"})) as works:
        # When
        checkout_id = works.start(cart_id, token="tok_ok")
        works.pump()
        # Then
        assert works.states([checkout_id]) == [state]
        if state == "failed":
            sentence = "The total is larger than any amount that can be charged: split the cart."
            assert read_failure(works, checkout_id) == ("total_too_large", "price_lock", sentence)
            assert shelf.stock("cup") == (9, 0)
            assert read_bank(engine, checkout_id) == NOTHING


def test_a_sum_that_cannot_be_stored_is_refused_even_if_a_coupon_covers_it(works: Works, shelf: Shelf) -> None:
    # Given a price that only its conversion makes too large
    cart_id = add_free_cart(shelf)
    shelf.run("UPDATE prices SET amount_minor = :most", most=MAX_MINOR // 3)
    shelf.run("UPDATE carts SET currency = 'USD' WHERE id = :id", id=cart_id)
    shelf.add_rate("EUR", "USD", "1.1", observed_at=datetime.now(UTC))
    # When
    checkout_id = works.start(cart_id, token="tok_ok")
    works.pump()
    # Then
    assert read_failure(works, checkout_id)[:2] == ("total_too_large", "price_lock")
    assert shelf.rows("SELECT used FROM coupons") == [(0,)]
    assert shelf.stock("cup") == (9, 0)
