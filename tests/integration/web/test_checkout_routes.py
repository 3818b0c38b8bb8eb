"""The routes of a checkout, from its quote to whatever it comes to."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.keys import Scope
from tests.harness import ADDRESS
from tests.integration.web.stage import PREFER, Stage, pay, put_cart, spin_until, start


@pytest.fixture
def cup(stage: Stage) -> httpx2.Client:
    """A client of a shop that has cups."""
    stage.shelf.add_variant("cup", stock=9, price_minor=250)
    return stage.client()


def status(client: httpx2.Client, **named: object) -> dict[str, Any]:
    """Ask where something stands."""
    answer = client.get("/checkout/status", params={name: str(value) for name, value in named.items()})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_the_quote_has_everything_that_is_frozen(stage: Stage) -> None:
    # Given taxes, a coupon, delivery, and a price in another currency
    stage.shelf.add_variant("cup", stock=9, price_minor=1000)
    stage.shelf.add_tax("0.2")
    stage.shelf.add_coupon("TEN")
    stage.shelf.add_rate("EUR", "USD", "1.25", observed_at=datetime.now(UTC))
    client = stage.client(*Scope)
    cart_id = uuid4()
    cart = {
        "currency": "USD",
        "lines": [{"sku": "cup", "quantity": 2}],
        "coupon_codes": ["TEN"],
        "shipping": {"amount_minor": 600, "title": "Post"},
        "shipping_address": ADDRESS,
    }
    assert client.put(f"/carts/{cart_id}", json=cart).status_code == 201
    # When
    body = start(client, cart_id).json()
    # Then
    quote = body["quote"]
    assert body["totals"] == {
        "subtotal_minor": 2500,
        "discount_minor": 250,
        "shipping_minor": 600,
        "tax_minor": 475,
        "total_minor": 2850,
    }
    assert quote["lines"] == [
        {
            "line": 1,
            "sku": "cup",
            "title": "The cup",
            "quantity": 2,
            "unit_price_minor": 1250,
            "tax_included": True,
            "subtotal_minor": 2500,
            "discount_minor": 250,
            "tax_minor": 375,
            "total_minor": 2250,
            "discounts": [{"name": "Ten off", "amount_minor": 250, "rate": None}],
            "taxes": [{"name": "VAT", "amount_minor": 375, "rate": "0.2"}],
        }
    ]
    assert (quote["shipping"]["title"], quote["shipping"]["total_minor"], quote["shipping"]["tax_minor"]) == (
        "Post",
        600,
        100,
    )
    assert (quote["exchange"]["base_currency"], quote["exchange"]["rate"], quote["exchange"]["source"]) == (
        "EUR",
        "1.25",
        "ECB",
    )
    assert quote["hash"] == body["quote_hash"]


def test_a_start_is_safe_to_repeat(stage: Stage, cup: httpx2.Client) -> None:
    # Given two that start at once
    cart_id = put_cart(cup, ("cup", 1))
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: start(cup, cart_id), range(2)))
    # Then it is one checkout, also when the page is refreshed
    ids = {answer.json()["checkout_id"] for answer in [*answers, start(cup, cart_id)]}
    assert len(ids) == 1
    # When it is paid
    [checkout_id] = ids
    paid = pay(cup, {"checkout_id": checkout_id})
    # Then a refresh shows the order
    again = cup.get("/checkout", params={"cart_id": str(cart_id)})
    assert (again.status_code, again.json()) == (200, paid.json())
    # But not to somebody else
    stage.shelf.run("UPDATE carts SET owner = NULL")
    strange = stage.client(owner="shop-2").get("/checkout", params={"cart_id": str(cart_id)})
    assert (strange.status_code, strange.json()["code"]) == (409, "cart_completed")


def test_one_that_failed_starts_anew(stage: Stage, cup: httpx2.Client) -> None:
    cart_id = put_cart(cup, ("cup", 10))
    first = start(cup, cart_id)
    assert (first.status_code, first.json()["code"]) == (409, "out_of_stock")
    stage.shelf.run("UPDATE stock_levels SET on_hand = on_hand + 1")
    stage.shelf.run(
        "INSERT INTO stock_movements (variant_id, location_id, kind, quantity)"
        " SELECT variant_id, location_id, 'receive', 1 FROM stock_levels"
    )
    again = start(cup, cart_id)
    assert (again.status_code, again.json()["state"]) == (200, "awaiting_payment")
    assert again.json()["checkout_id"] != first.json()["checkout_id"]


@pytest.mark.parametrize("seconds", [60, 3601])
def test_a_start_may_say_how_long(stage: Stage, cup: httpx2.Client, seconds: int) -> None:
    cart_id = put_cart(cup, ("cup", 1))
    answer = cup.get("/checkout", params={"cart_id": str(cart_id), "ttl_seconds": seconds}, headers=PREFER)
    if seconds == 60:
        [(left,)] = stage.shelf.rows("SELECT extract(epoch FROM expires_at - created_at) FROM checkouts")
        assert (answer.status_code, left) == (200, 60)
    else:
        assert (answer.status_code, answer.json()["code"]) == (422, "ttl_too_long")
        assert stage.shelf.rows("SELECT count(*) FROM checkouts") == [(0,)]


def test_a_second_card_after_a_declined_one(stage: Stage, cup: httpx2.Client) -> None:
    # Given
    checkout_id = start(cup, put_cart(cup, ("cup", 1))).json()["checkout_id"]
    # When
    declined = pay(cup, {"checkout_id": checkout_id}, token="tok_declined")
    # Then
    assert (declined.status_code, declined.json()["facts"]) == (402, {"reason": "card_declined", "try": 1})
    seen = status(cup, checkout_id=checkout_id)
    assert (seen["state"], seen["can_resume"], seen["tries"]) == ("awaiting_payment", True, 1)
    assert (seen["failure"]["code"], seen["message"]) == ("payment_declined", declined.json()["detail"])
    # A page that is refreshed then shows the quote, not an error
    again = cup.get("/checkout", params={"cart_id": seen["cart_id"]})
    assert (again.status_code, again.json()["failure"]["code"]) == (200, "payment_declined")
    # When
    paid = pay(cup, {"checkout_id": checkout_id})
    # Then
    assert (paid.status_code, paid.json()["tries"], paid.json()["failure"]) == (200, 2, None)


def approve(stage: Stage) -> None:
    """Have the buyer say yes at the bank."""
    [(reference,)] = stage.shelf.rows("SELECT reference FROM payments")
    gateway = stage.workers.driver.gateway
    assert isinstance(gateway, SandboxGateway)
    gateway.approve(reference)


def test_a_buyer_who_has_been_at_the_bank_comes_back(stage: Stage, cup: httpx2.Client) -> None:
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
    approve(stage)
    back = start(cup, cart_id)
    # Then
    assert (back.status_code, back.json()["state"]) == (200, "completed")
    assert back.json()["action"] is None


def test_a_cancelled_one_gives_everything_back(stage: Stage, cup: httpx2.Client) -> None:
    # Given
    cart_id = put_cart(cup, ("cup", 2))
    checkout_id = start(cup, cart_id).json()["checkout_id"]
    assert stage.shelf.stock("cup") == (9, 2)
    # When
    answers = [cup.post("/checkout/cancel", json={"checkout_id": checkout_id}, headers=PREFER) for _ in range(2)]
    # Then
    assert [(each.status_code, each.json()["state"]) for each in answers] == [(200, "cancelled")] * 2
    assert stage.shelf.stock("cup") == (9, 0)
    seen = status(cup, cart_id=cart_id)
    assert (seen["locked"], seen["can_checkout"], seen["can_resume"]) == (False, True, False)
    late = pay(cup, {"checkout_id": checkout_id})
    assert (late.status_code, late.json()["code"]) == (409, "checkout_ended")


def test_what_is_being_taken_or_was_bought_is_not_cancelled(stage: Stage, cup: httpx2.Client) -> None:
    bought = pay(cup, {"cart_id": put_cart(cup, ("cup", 1))}).json()["checkout_id"]
    answer = cup.post("/checkout/cancel", json={"checkout_id": bought})
    assert (answer.status_code, answer.json()["code"]) == (409, "checkout_ended")
    waiting = start(cup, put_cart(cup, ("cup", 1))).json()["checkout_id"]
    stage.shelf.run("UPDATE checkouts SET pivot_at = now() WHERE id = :id", id=waiting)
    answer = cup.post("/checkout/cancel", json={"checkout_id": waiting})
    assert (answer.status_code, answer.json()["code"]) == (409, "past_pivot")
    assert status(cup, checkout_id=waiting)["state"] == "awaiting_payment"


def test_a_cart_without_a_checkout_has_a_status_too(stage: Stage, cup: httpx2.Client) -> None:
    cart_id = put_cart(cup, ("cup", 1))
    seen = status(cup, cart_id=cart_id)
    known = {"cart_id": str(cart_id), "locked": False, "can_checkout": True, "can_resume": False}
    assert {name: value for name, value in seen.items() if value is not None} == known | {
        "message": "No checkout has been started."
    }


@pytest.mark.parametrize("named", [{}, {"checkout_id": str(uuid4()), "cart_id": str(uuid4())}])
def test_a_status_is_of_one_thing(stage: Stage, named: dict[str, str]) -> None:
    answer = stage.client().get("/checkout/status", params=named)
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")


def test_a_person_who_looks_is_waited_for(stage: Stage, cup: httpx2.Client) -> None:
    # Given a bank that refuses our access once the money is authorised
    body = {"cart_id": put_cart(cup, ("cup", 1))}
    answer = pay(cup, body, token="tok_ok+tok_capture_misconfigured", prefer={})
    checkout_id = answer.json()["checkout_id"]

    def is_looked_at() -> bool:
        stage.shelf.run("UPDATE checkouts SET due_at = now() WHERE due_reason = 'scheduled'")
        stage.sweep()
        return bool(status(cup, checkout_id=checkout_id)["state"] == "needs_review")

    spin_until(is_looked_at, "a person is asked")
    # Then
    seen = status(cup, checkout_id=checkout_id)
    assert (seen["state_name"], seen["locked"], seen["can_resume"]) == ("Being looked at", True, False)
    refused = cup.post("/checkout/cancel", json={"checkout_id": checkout_id})
    assert (refused.status_code, refused.json()["code"]) == (409, "needs_review")


def test_the_banks_word_is_taken_with_its_signature_alone(stage: Stage, cup: httpx2.Client) -> None:
    # Given a buyer at the bank, and the bank's webhook
    checkout_id = start(cup, put_cart(cup, ("cup", 1))).json()["checkout_id"]
    pay(cup, {"checkout_id": checkout_id}, token="tok_action_required")
    approve(stage)
    gateway = stage.workers.driver.gateway
    assert isinstance(gateway, SandboxGateway)
    event = gateway.events()[-1]
    nobody = httpx2.Client(base_url=stage.url)
    json = {"Content-Type": "application/json"}
    # When it is forged, sent elsewhere, or too large
    forged = nobody.post("/webhooks/sandbox", content=event.body + b" ", headers=event.headers | json)
    elsewhere = nobody.post("/webhooks/stripe", content=event.body, headers=event.headers | json)
    large = nobody.post("/webhooks/sandbox", content=b"x" * 300_000, headers=event.headers | json)
    # Then
    assert [each.json()["code"] for each in (forged, elsewhere, large)] == [
        "webhook_invalid",
        "gateway_unknown",
        "body_too_large",
    ]
    assert [each.status_code for each in (forged, elsewhere, large)] == [400, 404, 413]
    assert stage.shelf.rows("SELECT count(*) FROM webhook_inbox") == [(0,)]
    # When it is right, and comes twice
    answers = [nobody.post("/webhooks/sandbox", content=event.body, headers=event.headers | json) for _ in range(2)]
    nobody.close()
    # Then
    assert [(each.status_code, each.json()) for each in answers] == [(200, {"received": True})] * 2
    assert stage.shelf.rows("SELECT count(*) FROM webhook_inbox") == [(1,)]
    spin_until(lambda: status(cup, checkout_id=checkout_id)["state"] == "completed", "the order")
