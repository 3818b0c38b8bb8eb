"""Two keys over HTTP: neither gets the other's result, now or when it is repeated."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from tests.integration.workers.web.problems import check
from tests.integration.workers.web.stage import (
    BODY,
    PREFER,
    Stage,
    held_stock,
    pay,
    put_cart,
    read_status,
    spin_until,
    start,
)
from tests.support.harness import OWNER
from workers.intake import admit

OTHERWISE = "Checkout {} of cart {} was asked for something else ({}): wait for its outcome, or cancel it.".format


def brought(cart_id: UUID, quantity: int) -> dict[str, Any]:
    """Describe a cart of so many cups, brought along."""
    return {"cart": {**BODY, "id": str(cart_id), "lines": [{"sku": "cup", "quantity": quantity}]}}


def stored_keys(stage: Stage) -> list[str]:
    """Return the keys with a stored response."""
    return [key for (key,) in stage.shelf.rows("SELECT key FROM stored_responses ORDER BY key")]


def test_another_cart_another_card_and_another_total(stage: Stage, cup: httpx2.Client) -> None:
    # Given k1, which buys one cup
    cart_id = uuid4()
    with held_stock(stage):
        first = pay(cup, brought(cart_id, 1), key="k1", prefer={})
        checkout_id = first.json()["checkout_id"]
        # When k2 buys five with a card that will be declined
        body = {**brought(cart_id, 5), "expected_total_minor": 19500}
        answer = pay(cup, body, token="tok_declined", key="k2")
        # Then the refusal says what is in progress
        differs = "the cart and the expected amounts and the payment"
        sentence = OTHERWISE(checkout_id, cart_id, differs)
        check(answer, 409, "checkout_active", sentence, checkout_id=checkout_id)
    spin_until(lambda: read_status(cup, checkout_id=checkout_id)["state"] == "completed", "the order of k1")
    # and afterwards that its cart is bought, not with k1's order
    again = pay(cup, body, token="tok_declined", key="k2")
    assert (again.status_code, again.json()["code"]) == (409, "cart_completed")
    assert stage.shelf.rows("SELECT total_minor FROM orders") == [(250,)]
    assert stage.shelf.stock("cup") == (8, 0)


def test_after_a_declined_card_the_other_key_has_its_own_order(stage: Stage, cup: httpx2.Client) -> None:
    # Given k1's card, which will be declined
    cart_id = put_cart(cup, ("cup", 1))
    body = {"cart_id": cart_id}
    with held_stock(stage):
        checkout_id = pay(cup, body, token="tok_declined", key="k1", prefer={}).json()["checkout_id"]
        # When k2 pays with a good one meanwhile
        busy = f"Checkout {checkout_id} is running and has its payment: wait for its outcome."
        for _ in range(2):
            check(pay(cup, body, key="k2"), 409, "checkout_busy", busy, checkout_id=checkout_id)
        # Then that is not the stored response of k2
        assert stored_keys(stage) == ["k1"]
    spin_until(lambda: read_status(cup, checkout_id=checkout_id)["state"] == "failed", "the refusal of k1")
    bought = pay(cup, body, key="k2")
    assert (bought.status_code, bought.json()["state"]) == (200, "completed")
    assert bought.json()["checkout_id"] != checkout_id
    # and its repeat is
    assert pay(cup, body, key="k2").headers["idempotency-replayed"] == "true"
    assert pay(cup, body, token="tok_declined", key="k1", prefer={}).status_code == 202


def test_the_same_under_two_keys_is_one_order(stage: Stage, cup: httpx2.Client) -> None:
    body = {"cart_id": put_cart(cup, ("cup", 1)), "expected_total_minor": 250, "reference": "4711"}
    with held_stock(stage):
        first = pay(cup, body, key="k1", prefer={})
        second = pay(cup, body, key="k2", prefer={})
    assert (first.status_code, second.status_code) == (202, 202)
    checkout_id = first.json()["checkout_id"]
    assert second.json()["checkout_id"] == checkout_id
    spin_until(lambda: read_status(cup, checkout_id=checkout_id)["state"] == "completed", "the order")
    assert stage.shelf.stock("cup") == (8, 0)


@pytest.mark.parametrize("token", ["tok_action_required", "tok_other"])
def test_a_checkout_that_awaits_3ds_responds_alike_by_cart_and_by_id(
    stage: Stage, cup: httpx2.Client, token: str
) -> None:
    # Given a buyer who must act at the bank
    cart_id = put_cart(cup, ("cup", 1))
    first = pay(cup, {"cart_id": cart_id}, token="tok_action_required", key="k1")
    checkout_id = first.json()["checkout_id"]
    assert (first.status_code, first.json()["state"]) == (202, "action_required")
    # When it is paid again, by the cart and by the checkout
    by_cart = pay(cup, {"cart_id": cart_id}, token=token, key="k2")
    by_checkout = pay(cup, {"checkout_id": checkout_id}, token=token, key="k3")
    # Then
    assert (by_cart.status_code, by_cart.json()) == (by_checkout.status_code, by_checkout.json())
    if token == "tok_action_required":
        assert (by_cart.status_code, by_cart.json()) == (202, first.json())
        assert stored_keys(stage) == ["k1", "k2", "k3"]
    else:
        busy = f"Checkout {checkout_id} awaits 3-D Secure: the buyer must complete it, or cancel the checkout."
        check(by_cart, 409, "checkout_busy", busy, checkout_id=checkout_id)
        assert stored_keys(stage) == ["k1"]
    cup.post("/checkout/cancel", json={"checkout_id": checkout_id}, headers=PREFER)


def test_two_payments_of_one_checkout(stage: Stage, cup: httpx2.Client) -> None:
    # Given a started checkout whose first card hangs at the bank
    checkout_id = start(cup, put_cart(cup, ("cup", 1))).json()["checkout_id"]
    body = {"checkout_id": checkout_id}
    first = pay(cup, body, token="tok_action_required", key="k1")
    assert first.status_code == 202
    # When another comes
    other = pay(cup, body, key="k2")
    assert (other.status_code, other.json()["code"]) == (409, "checkout_busy")
    # Then, once the bank has said no to the first, it pays
    stage.bank.refuse(stage.find_reference())
    assert start(cup, UUID(first.json()["cart_id"])).json()["state"] == "awaiting_payment"
    paid = pay(cup, body, key="k2")
    assert (paid.status_code, paid.json()["state"]) == (200, "completed")


def test_a_frozen_quote_that_is_not_what_was_expected_is_shown_and_not_stored(stage: Stage, cup: httpx2.Client) -> None:
    # Given k1, at the bank with 250
    cart_id = put_cart(cup, ("cup", 1))
    first = pay(cup, {"cart_id": cart_id}, token="tok_action_required", key="k1")
    checkout_id = first.json()["checkout_id"]
    # When k2 expects 240
    body = {"cart_id": cart_id, "expected_total_minor": 240}
    told = pay(cup, body, token="tok_action_required", key="k2")
    # Then the refusal has the price, and k1's checkout continues
    assert (told.status_code, told.json()["code"]) == (409, "price_changed")
    assert told.json()["checkout_id"] == checkout_id
    assert told.json()["facts"]["total_minor"] == 250
    assert read_status(cup, checkout_id=checkout_id)["state"] == "action_required"
    assert stored_keys(stage) == ["k1"]
    # When k1's is cancelled and the price is 240, k2 has a checkout of its own
    cup.post("/checkout/cancel", json={"checkout_id": checkout_id}, headers=PREFER)
    stage.shelf.run("UPDATE prices SET amount_minor = 240")
    own = pay(cup, body, token="tok_action_required", key="k2")
    assert (own.status_code, own.json()["totals"]["total_minor"]) == (202, 240)
    assert own.json()["checkout_id"] != checkout_id
    cup.post("/checkout/cancel", json={"checkout_id": own.json()["checkout_id"]}, headers=PREFER)


def test_a_message_that_says_something_else_is_refused_with_the_checkouts_id(stage: Stage, cup: httpx2.Client) -> None:
    # Given k1 over HTTP
    cart_id = uuid4()
    with held_stock(stage):
        checkout_id = pay(cup, brought(cart_id, 1), key="k1", prefer={}).json()["checkout_id"]
        # When messages come for the same cart
        message = {"owner": OWNER, **brought(cart_id, 1), "payment": {"token": "tok_ok"}}
        other = {**message, **brought(cart_id, 5)}
        admit(stage.workers, [{**message, "idempotency_key": "m1"}, {**other, "idempotency_key": "m2"}])
        # Then the one that says the same is k1's, and the other is kept with its sentence
        assert stage.shelf.rows("SELECT key, checkout_id::text FROM idempotency_keys ORDER BY key") == [
            ("k1", checkout_id),
            ("m1", checkout_id),
        ]
        assert stage.shelf.rows("SELECT code, message FROM rejected_messages") == [
            ("checkout_active", OTHERWISE(checkout_id, cart_id, "the cart"))
        ]
    spin_until(lambda: read_status(cup, checkout_id=checkout_id)["state"] == "completed", "the order")
    assert stage.shelf.stock("cup") == (8, 0)
