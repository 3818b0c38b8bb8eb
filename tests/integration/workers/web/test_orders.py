"""Placed orders over HTTP: read, listed, refunded, cancelled, restocked and fulfilled, each once for its key."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from pipeline.security import Scope
from tests.integration.workers.web.stage import PREFER, Stage, pay, put_cart


@pytest.fixture
def shop(stage: Stage) -> httpx2.Client:
    """A client that buys and owns orders, in a shop with cups for 5.00."""
    stage.shelf.add_variant("cup", stock=10, price_minor=500)
    return stage.client(Scope.CHECKOUT, Scope.ORDERS, Scope.EVENTS)


def buy(shop: httpx2.Client, quantity: int = 2, **others: Any) -> dict[str, Any]:
    """Buy some cups and return the order."""
    body = {"cart_id": str(put_cart(shop, ("cup", quantity), **others))}
    answer = pay(shop, body)
    assert answer.status_code == 200, answer.text
    order_id = answer.json()["order"]["id"]
    found: dict[str, Any] = shop.get(f"/orders/{order_id}").json()
    return found


def change(
    shop: httpx2.Client, order: dict[str, Any], what: str, body: object, key: str | None = None
) -> httpx2.Response:
    """Ask for a change and wait for its end."""
    headers = {"Idempotency-Key": key or f"k-{uuid4()}", **PREFER}
    return shop.post(f"/orders/{order['id']}/{what}", json=body, headers=headers)


def test_an_order_is_read_with_what_is_left_of_it(shop: httpx2.Client) -> None:
    order = buy(shop)

    assert (order["state"], order["total_minor"], order["refundable_minor"]) == ("placed", 1000, 1000)
    (line,) = order["lines"]
    assert (line["sku"], line["quantity"], line["refundable"], line["fulfillable"]) == ("cup", 2, 2, 2)
    assert [(each["location"], each["sold"], each["restockable"]) for each in line["allocations"]] == [("main", 2, 2)]
    assert (order["payment"]["captured_minor"], order["changes"]) == (1000, [])
    assert "token" not in order["payment"]


def test_one_of_two_cups_comes_back(stage: Stage, shop: httpx2.Client) -> None:
    order = buy(shop)

    refund = change(shop, order, "refunds", {"lines": [{"line": 1, "quantity": 1}], "reason": "it is chipped"})
    restock = change(shop, order, "restocks", {"lines": [{"line": 1, "quantity": 1}]})

    assert (refund.status_code, refund.json()["state"], refund.json()["amount_minor"]) == (200, "done", 500)
    assert refund.headers["Location"] == f"/orders/{order['id']}/changes/{refund.json()['id']}"
    assert (restock.status_code, restock.json()["state"]) == (200, "done")
    after = shop.get(f"/orders/{order['id']}").json()
    assert (after["refundable_minor"], after["payment"]["refunded_minor"]) == (500, 500)
    assert (after["lines"][0]["refunded"], after["lines"][0]["restocked"]) == (1, 1)
    assert [each["kind"] for each in after["changes"]] == ["refund", "restock"]
    assert stage.shelf.rows("SELECT refunded_minor FROM sandbox.payments") == [(500,)]
    assert stage.shelf.rows("SELECT on_hand FROM stock_levels") == [(9,)]


def test_a_cancelled_order_gives_everything_back_and_keeps_its_number(stage: Stage, shop: httpx2.Client) -> None:
    order = buy(shop)

    answer = change(shop, order, "cancel", {"reason": "changed my mind"})

    assert (answer.status_code, answer.json()["state"], answer.json()["amount_minor"]) == (200, "done", 1000)
    after = shop.get(f"/orders/{order['id']}").json()
    assert (after["state"], after["number"], after["refundable_minor"]) == ("cancelled", order["number"], 0)
    assert stage.shelf.rows("SELECT on_hand, reserved FROM stock_levels") == [(10, 0)]
    assert stage.shelf.rows("SELECT status, refunded_minor FROM sandbox.payments") == [("refunded", 1000)]


def test_what_was_fulfilled_is_not_cancelled(stage: Stage, shop: httpx2.Client) -> None:
    order = buy(shop)

    sent = change(
        shop, order, "fulfillments", {"lines": [{"line": 1, "quantity": 1}], "carrier": "DHL", "tracking": "1Z"}
    )
    answer = change(shop, order, "cancel", {})

    assert (sent.status_code, sent.json()["options"]) == (200, {"carrier": "DHL", "tracking": "1Z"})
    assert (answer.status_code, answer.json()["code"]) == (409, "already_fulfilled")
    after = shop.get(f"/orders/{order['id']}").json()
    assert (after["state"], after["lines"][0]["fulfillable"], len(after["changes"])) == ("placed", 1, 1)
    assert stage.shelf.rows("SELECT refunded_minor FROM sandbox.payments") == [(0,)]


def test_a_key_is_one_change(stage: Stage, shop: httpx2.Client) -> None:
    order = buy(shop)
    first = change(shop, order, "refunds", {"amount_minor": 100}, key="once")

    again = change(shop, order, "refunds", {"amount_minor": 100}, key="once")
    other = change(shop, order, "refunds", {"amount_minor": 200}, key="once")

    assert (again.json()["id"], again.headers["Idempotency-Replayed"]) == (first.json()["id"], "true")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")
    assert stage.shelf.rows("SELECT refunded_minor FROM sandbox.payments") == [(100,)]


@pytest.mark.parametrize(
    ("what", "body", "status", "code"),
    [
        ("refunds", {"amount_minor": 1001}, 409, "refund_exceeds_captured"),
        ("refunds", {"lines": [{"line": 1, "quantity": 3}]}, 409, "line_not_refundable"),
        ("refunds", {"lines": [{"line": 2, "quantity": 1}]}, 409, "line_not_refundable"),
        ("refunds", {"delivery_minor": 1}, 409, "delivery_not_refundable"),
        ("restocks", {"lines": [{"line": 1, "quantity": 3}]}, 409, "line_not_restockable"),
        ("fulfillments", {"lines": [{"line": 1, "quantity": 3}]}, 409, "line_not_fulfillable"),
        ("refunds", {}, 422, "request_invalid"),
        ("refunds", {"all": True, "amount_minor": 1}, 422, "request_invalid"),
        ("refunds", {"amount_minor": 0}, 422, "request_invalid"),
        ("refunds", {"amount_minor": 2**63}, 422, "request_invalid"),
        ("refunds", {"amount_minor": 1, "reason": "a\x00b"}, 422, "request_invalid"),
        ("refunds", {"amount_minor": 1, "reason": "x" * 1001}, 422, "request_invalid"),
        ("restocks", {"lines": []}, 422, "request_invalid"),
        ("restocks", {"lines": [{"line": 1, "quantity": 0}]}, 422, "request_invalid"),
        ("restocks", {"lines": [{"line": 1, "quantity": 1, "location": "moon"}]}, 409, "line_not_restockable"),
    ],
)
def test_a_refusal_changes_nothing(
    stage: Stage, shop: httpx2.Client, what: str, body: object, status: int, code: str
) -> None:
    order = buy(shop)

    answer = change(shop, order, what, body)

    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert shop.get(f"/orders/{order['id']}").json() == order
    assert stage.shelf.rows("SELECT refunded_minor FROM sandbox.payments") == [(0,)]


def test_an_order_is_its_owners_own(stage: Stage, shop: httpx2.Client) -> None:
    order = buy(shop)
    other, checkout = stage.client(Scope.ORDERS, owner="other-shop"), stage.client(Scope.CHECKOUT)

    assert other.get(f"/orders/{order['id']}").json()["code"] == "order_unknown"
    assert other.get("/orders").json() == {"orders": [], "next": None}
    assert change(other, order, "refunds", {"all": True}).json()["code"] == "order_unknown"
    assert checkout.get("/orders").json()["code"] == "scope_missing"
    assert shop.get(f"/orders/{uuid4()}").json()["code"] == "order_unknown"
    assert shop.get(f"/orders/{order['id']}/changes/{uuid4()}").json()["code"] == "change_unknown"


def test_the_list_goes_on_page_by_page(shop: httpx2.Client) -> None:
    orders = [buy(shop, 1, customer=name) for name in ("ada", "bob", "ada")]
    numbers = [each["number"] for each in reversed(orders)]

    first = shop.get("/orders", params={"limit": 2}).json()
    rest = shop.get("/orders", params={"limit": 2, "after": first["next"]}).json()

    assert [each["number"] for each in first["orders"]] == numbers[:2]
    assert ([each["number"] for each in rest["orders"]], rest["next"]) == (numbers[2:], None)
    found = shop.get("/orders", params={"customer": "ada"}).json()["orders"]
    assert [each["number"] for each in found] == [numbers[0], numbers[2]]
    (one,) = shop.get("/orders", params={"number": numbers[1]}).json()["orders"]
    assert one["customer"] == "bob"
    for wrong in ({"after": "x"}, {"limit": 0}, {"limit": 201}, {"state": "x"}, {"numbers": 1}, {"since": "yesterday"}):
        assert shop.get("/orders", params=wrong).json()["code"] == "request_invalid"


def test_events_come_in_order_and_once(shop: httpx2.Client) -> None:
    order = buy(shop)
    change(shop, order, "refunds", {"amount_minor": 100})

    seen: list[str] = []
    after = None
    while page := shop.get("/events", params={"limit": 3} | ({"after": after} if after else {})).json():
        after = page["next"]
        if not page["events"]:
            break
        seen += [each["kind"] for each in page["events"]]

    assert seen[0] == "checkout.started"
    assert seen.index("checkout.completed") < seen.index("order.placed") < seen.index("order.refunded")
    assert len(seen) == len(set(seen)) + seen.count("checkout.phase_completed") - 1
    for wrong in ({"after": "x"}, {"after": "1-99999999999999999999"}, {"limit": 501}):
        assert shop.get("/events", params=wrong).json()["code"] == "request_invalid"
