"""Payments during another payment, by the cart and by its checkout, have the same results."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from pipeline.errors import Conflict, Refused
from tests.support.harness import Shelf, Works
from tests.support.workbench import assert_refused, read_bank


@pytest.mark.parametrize(
    ("expected", "differs"),
    [
        ({"expected_total_minor": 951}, None),
        ({"expected_total_minor": 950, "expected_hash": "0" * 64}, "the quote's hash is another one"),
        ({"expected_lines": {"1": 1, "2": 450}}, "line 1 is 500, not 1"),
    ],
)
@pytest.mark.parametrize("by_cart", [True, False], ids=["by cart", "by checkout"])
def test_a_frozen_quote_is_compared_with_what_is_expected(
    works: Works, shelf: Shelf, expected: dict[str, Any], differs: str | None, *, by_cart: bool
) -> None:
    # Given a payment of the shown total that awaits 3-D Secure
    shelf.add_variant("cup", stock=9, price_minor=250)
    shelf.add_variant("pot", stock=9, price_minor=450)
    cart_id = shelf.add_cart(("cup", 2), ("pot", 1))
    running = works.start(cart_id, token="tok_action_required", expected_total_minor=950)
    works.pump()

    def again(**said: Any) -> UUID:
        if by_cart:
            return works.start(cart_id, token="tok_action_required", **said)
        return works.pay(running, "tok_action_required", **said).checkout_id

    # When another request for it expects something else
    sentence = (
        "The total is 950, not the expected 951: show it and ask again."
        if differs is None
        else f"What is charged is not what was expected ({differs}): show it and ask again."
    )
    assert_refused(works, lambda: again(**expected), Conflict, "price_changed", sentence)
    with pytest.raises(Conflict) as refusal:
        again(**expected)
    # Then the refusal has the quote, and its checkout
    assert (refusal.value.detail["checkout_id"], refusal.value.detail["total_minor"]) == (str(running), 950)
    # And a request that agrees with the quote joins it, however it says so
    for agreed in ({}, {"expected_total_minor": 950}, {"expected_lines": {"1": 500, "2": 450}}):
        assert again(**agreed) == running
    assert works.states([running]) == ["action_required"]


def test_a_second_card_by_the_cart_is_sent_to_the_checkout_that_waits_for_it(works: Works, shelf: Shelf) -> None:
    # Given a started checkout whose first card was declined
    shelf.add_variant("cup", stock=9, price_minor=250)
    cart_id = shelf.add_cart(("cup", 1))
    running = works.start(cart_id)
    works.pump()
    works.pay(running, "tok_declined")
    works.pump()
    assert works.states([running]) == ["awaiting_payment"]
    # When the next comes by the cart, it does not get the first one's refusal
    sentence = f"Checkout {running} of cart {cart_id} awaits payment: process it, or cancel it."
    for token in ("tok_ok", "tok_declined"):
        again = lambda token=token: works.start(cart_id, token=token)  # noqa: E731 (read with its sentence)
        assert_refused(works, again, Conflict, "checkout_active", sentence)
    # Then by the checkout it buys
    works.pay(running)
    works.pump()
    assert works.states([running]) == ["completed"]


def test_a_payment_under_way_is_joined_by_its_checkout_too(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    shelf.add_variant("cup", stock=9, price_minor=250)
    running = works.start(shelf.add_cart(("cup", 1)))
    works.pump()
    works.pay(running, expected_total_minor=250)
    # When the same is said under another key, and another payment under a third
    assert works.pay(running, idempotency_key="again").changed is False
    busy = f"Checkout {running} is running and has its payment: wait for its outcome."
    for other in ("tok_other", None):
        again = lambda token=other: works.pay(running, token)  # noqa: E731 (read with its sentence)
        expect = ("checkout_busy", busy)
        assert_refused(works, again, Conflict, *expect)
    # Then it is paid once
    works.pump()
    assert works.states([running]) == ["completed"]
    assert read_bank(engine, running).captured_minor == 250


@pytest.mark.parametrize("token", ["tok_action_required", "tok_other"])
def test_a_checkout_that_awaits_3ds_responds_alike_by_cart_and_by_id(works: Works, shelf: Shelf, token: str) -> None:
    # Given
    shelf.add_variant("cup", stock=9, price_minor=250)
    cart_id = shelf.add_cart(("cup", 1))
    running = works.start(cart_id, token="tok_action_required")
    works.pump()

    def report(act: Any) -> object:
        try:
            answer = act()
        except Refused as refusal:
            return refusal.code, str(refusal), refusal.detail
        return answer if isinstance(answer, UUID) else answer.checkout_id

    # When
    by_cart, by_checkout = report(lambda: works.start(cart_id, token=token)), report(lambda: works.pay(running, token))
    # Then
    assert by_cart == by_checkout
    sentence = f"Checkout {running} awaits 3-D Secure: the buyer must complete it, or cancel the checkout."
    refusal = ("checkout_busy", sentence, {"checkout_id": str(running), "state": "action_required"})
    assert by_cart == (running if token == "tok_action_required" else refusal)
