"""Cancelling past the pivot: the order is waited for and cancelled, or nothing is promised."""

from uuid import uuid4

import httpx2
import pytest

from pipeline.security import Scope
from tests.integration.workers.web.problems import check, count
from tests.integration.workers.web.stage import BODY, PREFER, Stage, pay, put_cart, read_status, spin_until, start


@pytest.fixture
def shop(stage: Stage, cup: httpx2.Client) -> httpx2.Client:
    """A client that may also change orders."""
    del cup
    return stage.client(Scope.CHECKOUT, Scope.ORDERS)


def capture(stage: Stage, shop: httpx2.Client, token: str = "tok_capture_slow") -> str:
    """Pay until the capture has begun; return the checkout's id."""
    checkout_id = str(pay(shop, {"cart_id": put_cart(shop, ("cup", 1))}, token=token, prefer={}).json()["checkout_id"])
    spin_until(lambda: stage.shelf.rows("SELECT FROM checkouts WHERE pivot_at IS NOT NULL"), "the money is asked for")
    return checkout_id


def cancel(shop: httpx2.Client, checkout_id: str, **headers: str) -> httpx2.Response:
    """Cancel a checkout, or its order."""
    return shop.post("/checkout/cancel", json={"checkout_id": checkout_id, "after_order": True}, headers=headers)


def test_the_order_is_waited_for_and_cancelled(stage: Stage, shop: httpx2.Client) -> None:
    checkout_id = capture(stage, shop)
    answer = cancel(shop, checkout_id, **PREFER)
    body = answer.json()
    assert (answer.status_code, body["kind"], body["state"], body["amount_minor"]) == (200, "cancel", "done", 250)
    assert answer.headers["location"] == f"/orders/{body['order_id']}/changes/{body['id']}"
    assert answer.headers["preference-applied"] == PREFER["Prefer"]
    assert shop.get(f"/orders/{body['order_id']}").json()["state"] == "cancelled"
    assert stage.shelf.stock("cup") == (9, 0)
    assert read_status(shop, checkout_id=checkout_id)["state"] == "completed"
    again = cancel(shop, checkout_id, **PREFER)
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (200, body, "true")


def test_without_a_wait_nothing_is_promised(stage: Stage, shop: httpx2.Client) -> None:
    checkout_id = capture(stage, shop)
    sentence = (
        f"The payment of checkout {checkout_id} is being captured: cancel it again with after_order and Prefer: wait,"
        " or cancel its order once it is placed."
    )
    check(cancel(shop, checkout_id), 409, "past_pivot", sentence, checkout_id=checkout_id)
    spin_until(lambda: read_status(shop, checkout_id=checkout_id)["state"] == "completed", "the order")
    assert stage.shelf.rows("SELECT FROM order_changes") == []
    # Then the order is there, and what is promised is stored
    answer = cancel(shop, checkout_id)
    assert (answer.status_code, answer.json()["kind"]) == (202, "cancel")
    assert stage.shelf.rows("SELECT kind FROM order_changes") == [("cancel",)]
    assert shop.get(answer.headers["location"], headers=PREFER).json()["state"] == "done"


def test_before_the_pivot_the_checkout_is_undone(stage: Stage, shop: httpx2.Client) -> None:
    cart_id = put_cart(shop, ("cup", 1))
    checkout_id = start(shop, cart_id).json()["checkout_id"]
    answer = cancel(shop, checkout_id, **PREFER)
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert answer.headers["location"] == f"/checkout/status?checkout_id={checkout_id}"
    assert stage.shelf.rows("SELECT FROM order_changes") == []


def test_it_needs_the_scope_of_orders(stage: Stage, cup: httpx2.Client) -> None:
    checkout_id = start(cup, put_cart(cup, ("cup", 1))).json()["checkout_id"]
    before = count(stage)
    answer = cancel(cup, checkout_id, **PREFER)
    sentence = "The API key lacks the scope orders (after_order cancels an order): use one with it."
    check(answer, 403, "scope_missing", sentence)
    assert count(stage) == before
    assert read_status(cup, checkout_id=checkout_id)["state"] == "awaiting_payment"


def test_a_cancel_that_has_failed_is_tried_again_with_a_key(stage: Stage, shop: httpx2.Client) -> None:
    paid = pay(shop, {"cart": {"id": str(uuid4()), **BODY}}, token="tok_ok+tok_refund_amount_declined").json()
    for _ in range(2):
        refused = cancel(shop, paid["checkout_id"], **PREFER)
        assert (refused.status_code, refused.json()["code"]) == (409, "refund_declined")
    assert stage.shelf.rows("SELECT count(*) FROM order_changes") == [(1,)]
    cancel(shop, paid["checkout_id"], **PREFER, **{"Idempotency-Key": "again"})
    assert stage.shelf.rows("SELECT count(*) FROM order_changes") == [(2,)]
    assert cancel(shop, paid["checkout_id"], **{"Idempotency-Key": ""}).json()["code"] == "idempotency_key_required"


def test_a_capture_that_needs_a_person_is_not_promised_either(stage: Stage, shop: httpx2.Client) -> None:
    checkout_id = capture(stage, shop, "tok_capture_misconfigured")
    spin_until(
        lambda: stage.hurry() and read_status(shop, checkout_id=checkout_id)["state"] == "needs_review", "a person"
    )
    answer = cancel(shop, checkout_id, **PREFER)
    assert (answer.status_code, answer.json()["code"]) == (409, "needs_review")


def test_another_owners_checkout_is_unknown(stage: Stage, shop: httpx2.Client) -> None:
    checkout_id = capture(stage, shop)
    other = stage.client(Scope.CHECKOUT, Scope.ORDERS, owner="shop-2")
    assert cancel(other, checkout_id, **PREFER).status_code == 404
    spin_until(lambda: read_status(shop, checkout_id=checkout_id)["state"] == "completed", "the order")
