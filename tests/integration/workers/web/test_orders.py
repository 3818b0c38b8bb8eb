"""Orders over HTTP: read, cancelled, refunded, restocked, fulfilled, and refused."""

from typing import Any, Final
from uuid import UUID, uuid4

import httpx2
import pytest

from pipeline.security import Scope
from tests.integration.workers.web.problems import check
from tests.integration.workers.web.stage import BODY, PREFER, Stage, pay

WHY: Final = {"reason": "a crack"}
LINE: Final = {"line": 1, "quantity": 1}


@pytest.fixture
def shop(stage: Stage, cup: httpx2.Client) -> httpx2.Client:
    """A client that may also change orders. There are nine cups."""
    del cup
    return stage.client(Scope.CHECKOUT, Scope.ORDERS)


def buy(client: httpx2.Client, quantity: int = 2, **cart: Any) -> str:
    """Buy some cups; return the order's id."""
    content = {**BODY, "lines": [{"sku": "cup", "quantity": quantity}], **cart}
    answer = pay(client, {"cart": {"id": str(uuid4()), **content}})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["order"]["id"])


def change(
    client: httpx2.Client, order_id: object, what: str, body: Any, *, key: str | None = None, **headers: str
) -> httpx2.Response:
    """Ask for a change and wait for it."""
    given = {"Idempotency-Key": key or str(uuid4()), **PREFER, **headers}
    return client.post(f"/orders/{order_id}/{what}", json=body, headers=given)


def test_an_order_is_read_whole(shop: httpx2.Client) -> None:
    order_id = buy(shop, customer="Ada")
    order = shop.get(f"/orders/{order_id}").json()
    assert (order["state"], order["customer"], order["currency"], order["total_minor"]) == ("placed", "Ada", "EUR", 500)
    assert order["totals"]["subtotal_minor"] == 500
    assert (order["refundable_minor"], order["can_cancel"], order["changes"]) == (500, True, [])
    [line] = order["lines"]
    assert {name: line[name] for name in ("sku", "quantity", "refundable", "refundable_minor", "fulfillable")} == {
        "sku": "cup",
        "quantity": 2,
        "refundable": 2,
        "refundable_minor": 500,
        "fulfillable": 2,
    }
    assert line["allocations"] == [{"location": "main", "sold": 2, "restocked": 0, "restockable": 2}]
    assert (order["payment"]["gateway"], order["payment"]["captured_minor"]) == ("sandbox", 500)
    assert "tok_ok" not in str(order)


def test_a_list_has_pages_and_filters(shop: httpx2.Client) -> None:
    ids = [buy(shop, 1, customer="Ada" if n else "Bob") for n in range(3)]
    first = shop.get("/orders", params={"limit": 2}).json()
    second = shop.get("/orders", params={"limit": 2, "after": first["next_after"]}).json()
    assert [each["id"] for page in (first, second) for each in page["orders"]] == ids[::-1]
    assert second["next_after"] is None
    for query, expected in (
        ({"customer": " Bob"}, ids[:1]),
        ({"number": first["orders"][0]["number"]}, ids[2:]),
        ({"state": "cancelled"}, []),
        ({"since": "2026-01-01"}, ids[::-1]),
        ({"until": "2026-01-01"}, []),
        ({"reference": "x"}, []),
    ):
        assert [each["id"] for each in shop.get("/orders", params=query).json()["orders"]] == expected, query


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"after": "x"}, "after is no cursor of this list"),
        ({"after": "\x00"}, "after is no cursor of this list"),
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"number": str(2**63)}, "number"),
        ({"state": "pending"}, "state"),
        ({"since": "1764000000"}, "since"),
        ({"reference": "a\x00b"}, "NUL"),
        ({"customer": "\u200b"}, "customer"),
        ({"owner": "shop-2"}, "owner"),
    ],
)
def test_a_wrong_filter_is_refused(shop: httpx2.Client, query: dict[str, str], detail: str) -> None:
    answer = shop.get("/orders", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
    assert detail in answer.json()["detail"]


def test_a_refund_waits_until_it_is_done(stage: Stage, shop: httpx2.Client) -> None:
    order_id = buy(shop)
    answer = change(shop, order_id, "refunds", {"lines": [LINE], **WHY})
    body = answer.json()
    assert (answer.status_code, body["kind"], body["state"], body["amount_minor"]) == (200, "refund", "done", 250)
    assert answer.headers["location"] == f"/orders/{order_id}/changes/{body['id']}"
    assert "retry-after" not in answer.headers
    assert (body["actor"], body["reason"], body["failure"]) == (
        f"key:{stage.token(Scope.CHECKOUT, Scope.ORDERS)[3:15]}",
        "a crack",
        None,
    )
    assert [(each["status"], each["amount_minor"]) for each in body["refunds"]] == [("succeeded", 250)]
    assert shop.get(answer.headers["location"]).json() == body
    assert shop.get(f"/orders/{order_id}").json()["changes"] == [body]


def test_without_a_wait_a_change_is_recorded(shop: httpx2.Client) -> None:
    order_id = buy(shop)
    answer = shop.post(f"/orders/{order_id}/refunds", json={"all": True}, headers={"Idempotency-Key": "r-1"})
    assert answer.status_code == 202
    assert answer.json()["state"] in {"requested", "running"}
    assert answer.headers["retry-after"] == "1"
    ended = shop.get(answer.headers["location"], headers=PREFER).json()
    assert (ended["state"], ended["amount_minor"]) == ("done", 500)


def test_a_repeat_of_a_key_is_the_same_change(stage: Stage, shop: httpx2.Client) -> None:
    order_id = buy(shop)
    first = change(shop, order_id, "refunds", {"amount_minor": 100}, key="r-1")
    again = change(shop, order_id, "refunds", {"amount_minor": 100}, key="r-1")
    assert (first.status_code, again.status_code, again.json()) == (200, 200, first.json())
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    other = change(shop, order_id, "refunds", {"amount_minor": 101}, key="r-1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")
    elsewhere = change(shop, buy(shop), "refunds", {"amount_minor": 100}, key="r-1")
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (422, "idempotency_conflict")
    assert stage.shelf.rows("SELECT count(*) FROM order_changes") == [(1,)]


def test_an_order_is_cancelled_once(stage: Stage, shop: httpx2.Client) -> None:
    order_id = buy(shop)
    answer = change(shop, order_id, "cancel", {"reason": "the buyer has changed their mind"})
    assert (answer.status_code, answer.json()["state"], answer.json()["restock"]) == (200, "done", True)
    order = shop.get(f"/orders/{order_id}").json()
    assert (order["state"], order["refundable_minor"], order["can_cancel"]) == ("cancelled", 0, False)
    assert [each["id"] for each in shop.get("/orders", params={"state": "cancelled"}).json()["orders"]] == [order_id]
    assert stage.shelf.stock("cup") == (9, 0)
    for what, body in (
        ("cancel", {}),
        ("refunds", {"amount_minor": 1}),
        ("restocks", {"lines": [LINE]}),
        ("fulfillments", {"lines": [LINE]}),
    ):
        refused = change(shop, order_id, what, body)
        assert (refused.status_code, refused.json()["code"]) == (409, "order_cancelled"), what


def test_units_are_sent_and_come_back(stage: Stage, shop: httpx2.Client) -> None:
    order_id = buy(shop)
    sent = change(shop, order_id, "fulfillments", {"lines": [LINE], "carrier": "post", "tracking": "RM1"})
    assert (sent.status_code, sent.json()["carrier"], sent.json()["tracking"]) == (200, "post", "RM1")
    refused = change(shop, order_id, "cancel", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "already_fulfilled")
    back = change(shop, order_id, "restocks", {"lines": [{**LINE, "location": "main"}]})
    assert (back.status_code, back.json()["lines"][0]["location"]) == (200, "main")
    assert stage.shelf.stock("cup") == (8, 0)
    [line] = shop.get(f"/orders/{order_id}").json()["lines"]
    assert (line["fulfilled"], line["fulfillable"], line["restocked"], line["restockable"]) == (1, 1, 1, 1)


def test_more_than_is_left_is_refused_with_what_is_left(stage: Stage, shop: httpx2.Client) -> None:
    order_id = buy(shop)
    number = shop.get(f"/orders/{order_id}").json()["number"]
    change(shop, order_id, "refunds", {"amount_minor": 450})
    answer = change(shop, order_id, "refunds", {"amount_minor": 51})
    detail = f"0.51 EUR of order {number} cannot be refunded: refund at most 0.50 EUR."
    check(answer, 409, "refund_exceeds_captured", detail)
    assert answer.json()["facts"]["left_minor"] == 50
    for what, lines, code in (
        ("refunds", [{"line": 2, "quantity": 1}], "line_not_refundable"),
        ("restocks", [{"line": 1, "quantity": 3}], "line_not_restockable"),
        ("fulfillments", [{"line": 1, "quantity": 3}], "line_not_fulfillable"),
    ):
        refused = change(shop, order_id, what, {"lines": lines})
        assert (refused.status_code, refused.json()["code"]) == (409, code)
    assert stage.shelf.rows("SELECT count(*) FROM order_changes") == [(1,)]


def test_a_refund_that_the_provider_declines_is_a_problem(stage: Stage, shop: httpx2.Client) -> None:
    content = {**BODY, "lines": [{"sku": "cup", "quantity": 1}]}
    paid = pay(shop, {"cart": {"id": str(uuid4()), **content}}, token="tok_ok+tok_refund_amount_declined")
    order_id = paid.json()["order"]["id"]
    answer = change(shop, order_id, "refunds", {"all": True})
    assert (answer.status_code, answer.json()["code"]) == (409, "refund_declined")
    assert answer.json()["facts"]["change_id"] == answer.headers["location"].rpartition("/")[2]
    body = shop.get(answer.headers["location"]).json()
    assert (body["state"], body["failure"]["code"]) == ("failed", "refund_declined")
    assert shop.get(f"/orders/{order_id}").json()["refundable_minor"] == 250
    assert stage.shelf.rows("SELECT kind FROM events WHERE kind LIKE 'order.refund%'") == [("order.refund_failed",)]


@pytest.mark.parametrize(
    ("what", "body", "detail"),
    [
        ("refunds", {}, "name one of them: all, amount_minor, or lines and delivery_minor"),
        ("refunds", {"amount_minor": 1, "all": True}, "name one of them"),
        ("refunds", {"amount_minor": 2**63}, "amount_minor"),
        ("refunds", {"amount_minor": 0}, "amount_minor"),
        ("refunds", {"amount_minor": "1"}, "amount_minor"),
        ("refunds", {"amount_minor": 1, "reason": "a\x00b"}, "NUL"),
        ("refunds", {"amount_minor": 1, "reason": "x" * 1001}, "reason"),
        ("refunds", {"lines": [LINE, LINE]}, "a line is named twice"),
        ("refunds", {"lines": [{"line": 2**31, "quantity": 1}]}, "line"),
        ("restocks", {"lines": []}, "lines"),
        ("restocks", {"lines": [{**LINE, "location": "\x00"}]}, "location"),
        ("fulfillments", {"lines": [LINE], "carrier": "a\x00b"}, "NUL"),
        ("fulfillments", {"lines": [{"line": n, "quantity": 1} for n in range(1, 5002)]}, "lines"),
        ("cancel", [], "body"),
    ],
)
def test_what_no_order_can_have_is_refused(
    stage: Stage, shop: httpx2.Client, what: str, body: Any, detail: str
) -> None:
    answer = change(shop, uuid4(), what, body)
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
    assert detail in answer.json()["detail"]
    assert stage.shelf.rows("SELECT FROM order_changes") == []


def test_a_thousand_and_one_lines_are_changed_at_once(stage: Stage, shop: httpx2.Client) -> None:
    stage.shelf.force(
        """
        INSERT INTO order_lines (order_id, line, variant_id, sku, title, quantity, unit_price_minor, total_minor,
                                 tax_included, subtotal_minor, discount_minor, tax_minor, discounts, taxes)
        SELECT CAST(:id AS uuid), n, v.id, v.sku, v.title, 1, 0, 0, true, 0, 0, 0, '[]', '[]'
        FROM variants v, generate_series(2, 1001) n
    """,
        id=(order_id := buy(shop, 1)),
    )
    lines = [{"line": n, "quantity": 1} for n in range(1, 1002)]
    answer = change(shop, order_id, "fulfillments", {"lines": lines})
    assert (answer.status_code, len(answer.json()["lines"])) == (200, 1001)
    assert len(shop.get(f"/orders/{order_id}").json()["lines"]) == 1001
    # The audit of the stage knows no order with lines that were not sold.
    stage.shelf.force("DELETE FROM order_change_lines WHERE line > 1")
    stage.shelf.force("DELETE FROM order_lines WHERE line > 1")


def test_a_change_needs_its_key(shop: httpx2.Client) -> None:
    for headers in ({}, {"Idempotency-Key": ""}, {"Idempotency-Key": "x" * 256}):
        answer = shop.post(f"/orders/{uuid4()}/cancel", json={}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_required")


def test_an_order_of_another_owner_is_as_unknown_as_none(stage: Stage, shop: httpx2.Client) -> None:
    order_id = buy(shop)
    own = change(shop, order_id, "refunds", {"amount_minor": 1}).json()
    other = stage.client(Scope.ORDERS, owner="shop-2")
    for id_ in (order_id, str(uuid4())):
        answers = [other.get(f"/orders/{id_}"), change(other, id_, "cancel", {})]
        answers += [change(other, id_, what, {"lines": [LINE]}) for what in ("refunds", "restocks", "fulfillments")]
        for answer in answers:
            check(answer, 404, "order_unknown", f"There is no order {id_} of this owner: check the id.")
        assert other.get(f"/orders/{id_}/changes/{own['id']}").json()["code"] == "change_unknown"
    # Nor is a change another order's
    assert shop.get(f"/orders/{uuid4()}/changes/{own['id']}").status_code == 404
    assert other.get("/orders").json() == {"orders": [], "next_after": None}


def test_the_order_of_a_running_checkout_is_unknown(stage: Stage, shop: httpx2.Client) -> None:
    order_id = UUID(buy(shop))
    stage.shelf.force("UPDATE orders SET state = 'pending', number = NULL, placed_at = NULL")
    assert shop.get(f"/orders/{order_id}").status_code == 404
    assert change(shop, order_id, "refunds", {"amount_minor": 1}).json()["code"] == "order_not_placed"
    stage.shelf.force("UPDATE orders SET state = 'placed', number = 1, placed_at = now()")
