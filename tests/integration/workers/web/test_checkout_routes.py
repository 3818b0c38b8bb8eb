"""Paying and cancelling: cards that are declined, buyers at their bank, and what is refunded."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx2
import pytest

from tests.integration.workers.web.problems import check, count
from tests.integration.workers.web.stage import PREFER, Stage, held_stock, pay, put_cart, read_status, spin_until, start


def test_a_second_card_after_a_declined_one(stage: Stage, cup: httpx2.Client) -> None:
    # Given
    checkout_id = start(cup, put_cart(cup, ("cup", 1))).json()["checkout_id"]
    # When
    declined = pay(cup, {"checkout_id": checkout_id}, token="tok_declined")
    # Then
    sentence = "The payment was declined (card_declined): try another payment method."
    named = {"checkout_id": checkout_id, "phase": "payment_authorization"}
    check(declined, 402, "payment_declined", sentence, facts={"reason": "card_declined", "attempt": 1}, **named)
    seen = read_status(cup, checkout_id=checkout_id)
    assert (seen["state"], seen["can_resume"], seen["payment_attempts"]) == ("awaiting_payment", True, 1)
    assert (seen["failure"]["code"], seen["message"]) == ("payment_declined", sentence)
    assert stage.shelf.stock("cup") == (9, 1)
    # A page that is refreshed then shows the quote, not an error
    again = cup.get("/checkout", params={"cart_id": seen["cart_id"]})
    assert (again.status_code, again.json()["failure"]["code"]) == (200, "payment_declined")
    # When
    paid = pay(cup, {"checkout_id": checkout_id})
    # Then
    assert (paid.status_code, paid.json()["payment_attempts"], paid.json()["failure"]) == (200, 2, None)


def test_after_three_cards_it_ends(stage: Stage, cup: httpx2.Client) -> None:
    cart_id = put_cart(cup, ("cup", 1))
    checkout_id = start(cup, cart_id).json()["checkout_id"]
    answers = [pay(cup, {"checkout_id": checkout_id}, token="tok_declined") for _ in range(4)]
    assert [answer.json()["code"] for answer in answers] == ["payment_declined"] * 3 + ["checkout_ended"]
    assert [answer.status_code for answer in answers] == [402, 402, 402, 409]
    assert read_status(cup, cart_id=cart_id)["state"] == "failed"
    assert stage.shelf.stock("cup") == (9, 0)


def test_a_buyer_returns_from_the_bank(stage: Stage, cup: httpx2.Client) -> None:
    # Given
    cart_id = put_cart(cup, ("cup", 1))
    checkout_id = start(cup, cart_id).json()["checkout_id"]
    waiting = pay(cup, {"checkout_id": checkout_id}, token="tok_action_required")
    assert (waiting.status_code, waiting.json()["state"]) == (202, "action_required")
    assert waiting.json()["action"]["type"] == "redirect"
    assert "action" in waiting.json()["message"]
    # When the buyer has not acted, it still waits
    assert start(cup, cart_id).json()["state"] == "action_required"
    # When the buyer has
    stage.bank.approve(stage.find_reference())
    back = start(cup, cart_id)
    # Then
    assert (back.status_code, back.json()["state"]) == (200, "completed")
    assert back.json()["action"] is None


def test_after_a_refused_3ds_the_buyer_uses_another_card(stage: Stage, cup: httpx2.Client) -> None:
    # Given
    cart_id = put_cart(cup, ("cup", 1))
    checkout_id = start(cup, cart_id).json()["checkout_id"]
    pay(cup, {"checkout_id": checkout_id}, token="tok_action_required")
    stage.bank.refuse(stage.find_reference())
    # When
    back = start(cup, cart_id)
    # Then the quote is shown, with what became of the card
    assert (back.status_code, back.json()["state"], back.json()["can_resume"]) == (200, "awaiting_payment", True)
    assert (back.json()["failure"]["code"], back.json()["action"]) == ("payment_declined", None)
    assert pay(cup, {"checkout_id": checkout_id}).json()["state"] == "completed"


def test_what_a_payment_lacks_is_reported_and_nothing_is_charged(stage: Stage, cup: httpx2.Client) -> None:
    # Given
    cart_id = put_cart(cup, ("cup", 1))
    checkout_id = start(cup, cart_id).json()["checkout_id"]
    before = count(stage)
    # When
    unpaid = pay(cup, {"checkout_id": checkout_id}, token=None)
    of_the_cart = pay(cup, {"cart_id": cart_id})
    # Then
    sentence = "There is something to pay, and the request carries no payment: send its token."
    check(unpaid, 422, "payment_required", sentence)
    sentence = f"Checkout {checkout_id} of cart {cart_id} awaits payment: process it, or cancel it."
    check(of_the_cart, 409, "checkout_active", sentence, checkout_id=checkout_id)
    # The first is the response to its key; the second is about the checkout that it names.
    assert count(stage) == {**before, "stored_responses": 1}
    assert read_status(cup, checkout_id=checkout_id)["state"] == "awaiting_payment"


def test_what_costs_nothing_is_confirmed_without_a_card(stage: Stage) -> None:
    stage.shelf.add_variant("gift", stock=1, price_minor=0)
    client = stage.client()
    checkout_id = start(client, put_cart(client, ("gift", 1))).json()["checkout_id"]
    answer = pay(client, {"checkout_id": checkout_id}, token=None)
    assert (answer.status_code, answer.json()["state"]) == (200, "completed")
    assert stage.shelf.stock("gift") == (0, 0)


def test_a_cancelled_one_is_undone_completely(stage: Stage, cup: httpx2.Client) -> None:
    # Given
    cart_id = put_cart(cup, ("cup", 2))
    checkout_id = start(cup, cart_id).json()["checkout_id"]
    assert stage.shelf.stock("cup") == (9, 2)
    # When the stock cannot be released yet
    with held_stock(stage):
        soon = cup.post("/checkout/cancel", json={"cart_id": str(cart_id)})
        assert (soon.status_code, soon.json()["state"]) == (202, "unwinding")
    # When it is requested again
    answers = [cup.post("/checkout/cancel", json={"checkout_id": checkout_id}, headers=PREFER) for _ in range(2)]
    # Then
    assert [(each.status_code, each.json()["state"]) for each in answers] == [(200, "cancelled")] * 2
    assert stage.shelf.stock("cup") == (9, 0)
    seen = read_status(cup, cart_id=cart_id)
    assert (seen["locked"], seen["can_checkout"], seen["can_resume"]) == (False, True, False)
    late = pay(cup, {"checkout_id": checkout_id})
    assert (late.status_code, late.json()["code"]) == (409, "checkout_ended")


def test_what_was_bought_is_not_cancelled(stage: Stage, cup: httpx2.Client) -> None:
    bought = pay(cup, {"cart_id": put_cart(cup, ("cup", 1))}).json()["checkout_id"]
    before = count(stage)
    answer = cup.post("/checkout/cancel", json={"checkout_id": bought}, headers=PREFER)
    sentence = (
        f"Checkout {bought} is completed and its order is placed: nothing is left to pay, and to cancel,"
        " cancel the order."
    )
    check(answer, 409, "checkout_ended", sentence, checkout_id=bought)
    assert count(stage) == before
    assert stage.shelf.stock("cup") == (8, 0)


def test_what_is_being_captured_is_not_cancelled(stage: Stage, cup: httpx2.Client) -> None:
    # Given a bank that will not take the money yet
    answer = pay(cup, {"cart_id": put_cart(cup, ("cup", 1))}, token="tok_capture_slow", prefer={})
    checkout_id = answer.json()["checkout_id"]
    spin_until(lambda: stage.shelf.rows("SELECT FROM checkouts WHERE pivot_at IS NOT NULL"), "the money is asked for")
    # When
    answer = cup.post("/checkout/cancel", json={"checkout_id": checkout_id})
    # Then
    sentence = (
        f"The payment of checkout {checkout_id} is being captured: cancel it again with after_order and Prefer: wait,"
        " or cancel its order once it is placed."
    )
    check(answer, 409, "past_pivot", sentence, checkout_id=checkout_id)
    spin_until(lambda: read_status(cup, checkout_id=checkout_id)["state"] == "completed", "the order")


def test_a_cancelled_one_that_needs_review_is_not_undone(stage: Stage, cup: httpx2.Client) -> None:
    # Given a bank that refuses the engine's API keys when the authorisation is to be voided
    cart_id = put_cart(cup, ("cup", 1))
    pay(cup, {"cart_id": cart_id}, token="tok_action_required+tok_cancel_misconfigured")
    # When
    with ThreadPoolExecutor(1) as threads:
        cancelling = threads.submit(cup.post, "/checkout/cancel", json={"cart_id": str(cart_id)}, headers=PREFER)
        spin_until(lambda: stage.hurry() and read_status(cup, cart_id=cart_id)["state"] == "needs_review", "a person")
        answer = cancelling.result()
    # Then
    assert (answer.status_code, answer.json()["state"], answer.json()["locked"]) == (202, "needs_review", True)
    again = cup.post("/checkout/cancel", json={"cart_id": str(cart_id)})
    checkout_id = answer.json()["checkout_id"]
    sentence = f"Checkout {checkout_id} needs review by an operator: wait for the result, or ask support."
    check(again, 409, "needs_review", sentence, checkout_id=checkout_id)


def test_a_cart_without_a_checkout_has_a_status_too(cup: httpx2.Client) -> None:
    cart_id = put_cart(cup, ("cup", 1))
    seen = read_status(cup, cart_id=cart_id)
    known = {"cart_id": str(cart_id), "locked": False, "can_checkout": True, "can_resume": False}
    assert {name: value for name, value in seen.items() if value is not None} == known | {
        "message": "No checkout has been started."
    }


@pytest.mark.parametrize("named", [{}, {"checkout_id": str(uuid4()), "cart_id": str(uuid4())}])
def test_a_status_is_of_one_thing(stage: Stage, named: dict[str, str]) -> None:
    answer = stage.client().get("/checkout/status", params=named)
    sentence = "The request is not valid: name either checkout_id or cart_id; correct it and send it again."
    check(answer, 422, "request_invalid", sentence)
