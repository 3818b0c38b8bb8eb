"""The pages of orders: found by whatever somebody has, and each form shown once more before it is done, once."""

import re
from typing import Any, Final
from uuid import uuid4

import httpx2
import pytest

from pipeline.security import Scope, create_key
from tests.integration.workers.web.stage import Stage, pay, put_cart
from tests.support.harness import OWNER

ORDERS: Final = "/admin/orders"


@pytest.fixture
def shop(stage: Stage) -> httpx2.Client:
    """A client that buys, in a shop with cups for 5.00."""
    stage.shelf.add_variant("cup", stock=10, price_minor=500)
    return stage.client(Scope.CHECKOUT, Scope.ORDERS)


def buy(shop: httpx2.Client, *, token: str = "tok_ok", **others: Any) -> dict[str, Any]:
    """Buy two cups and return the order."""
    answer = pay(shop, {"cart_id": str(put_cart(shop, ("cup", 2), **others))}, token=token)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = shop.get(f"/orders/{answer.json()['order']['id']}").json()
    return found


def send(browser: httpx2.Client, order: dict[str, Any], action: str, **fields: str) -> httpx2.Response:
    """Send a form from the order's page."""
    return browser.post(f"{ORDERS}/{order['id']}/{action}", data=fields)


def read_hidden(page: str) -> dict[str, str]:
    """Return the fields of the form that confirms."""
    return dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page))


def confirm(browser: httpx2.Client, order: dict[str, Any], action: str, page: httpx2.Response) -> str:
    """Confirm a form; return the page that follows."""
    assert page.status_code == 200, page.text
    answer = browser.post(f"{ORDERS}/{order['id']}/{action}", data=read_hidden(page.text))
    assert answer.status_code == 303, answer.text
    return browser.get(answer.headers["location"]).text


def test_an_order_is_found_by_whatever_somebody_has(stage: Stage, shop: httpx2.Client, browser: httpx2.Client) -> None:
    order = buy(shop, customer="ada@example.com")
    other = buy(shop)
    [(reference,)] = stage.shelf.rows("SELECT reference FROM payments WHERE checkout_id = :id", id=order["checkout_id"])

    def find(words: object) -> set[str]:
        page = browser.get(ORDERS, params={"find": str(words)})
        assert page.status_code == 200, page.text
        return set(re.findall(r'href="/admin/orders/([0-9a-f-]{36})"', page.text))

    for words in (order["number"], order["id"], order["checkout_id"], order["cart_id"], "ada@example.com", reference):
        assert find(words) == {order["id"]}, words
    assert find(uuid4()) == find("nobody") == find("0") == set()
    assert len(set(re.findall(r'href="/admin/orders/([0-9a-f-]{36})"', browser.get(ORDERS).text))) == 2
    assert "There is no such order." in browser.get(ORDERS, params={"state": "cancelled"}).text
    page = browser.get(f"/admin/checkout-locks/{other['checkout_id']}").text
    assert f'href="{ORDERS}/{other["id"]}"' in page
    assert f'href="/admin/checkout-locks/{other["checkout_id"]}"' in browser.get(f"{ORDERS}/{other['id']}").text


def test_one_of_two_cups_comes_back(stage: Stage, shop: httpx2.Client, browser: httpx2.Client) -> None:
    order = buy(shop)

    asked = send(browser, order, "refund", **{"how": "lines", "units.1": "1", "reason": "it is chipped"})
    assert "Refund 5.00 EUR</button>" in asked.text
    assert stage.shelf.rows("SELECT FROM order_changes") == []
    after = confirm(browser, order, "refund", asked)
    # The same form, sent twice
    assert confirm(browser, order, "refund", asked) == after
    assert "5.00 EUR was refunded." in after

    asked = send(browser, order, "restock", **{"units.1.main": "1", "reason": "it is chipped"})
    assert "1 unit restocked." in confirm(browser, order, "restock", asked)

    assert stage.shelf.rows("SELECT refunded_minor FROM sandbox.payments") == [(500,)]
    assert stage.shelf.stock("cup") == (9, 0)
    actors = stage.shelf.rows("SELECT actor, reason FROM order_changes ORDER BY id")
    assert actors == [(f"operator:ada (key {browser.headers['X-Key-Id']})", "it is chipped")] * 2


def test_an_order_is_cancelled(stage: Stage, shop: httpx2.Client, browser: httpx2.Client) -> None:
    order = buy(shop)
    asked = send(browser, order, "cancel", restock="no", reason="by telephone")
    assert "Cancel the order and refund 10.00 EUR</button>" in asked.text
    assert "Its units are not put into stock again." in asked.text
    after = confirm(browser, order, "cancel", asked)
    assert "The order was cancelled: 10.00 EUR refunded, 0 units restocked." in after
    assert '<form method="post" action="/admin/orders' not in after
    assert stage.shelf.stock("cup") == (8, 0)


def test_what_was_sent_is_recorded(shop: httpx2.Client, browser: httpx2.Client) -> None:
    order = buy(shop)
    asked = send(browser, order, "fulfill", **{"units.1": "2", "carrier": "DHL", "tracking": "00340"})
    after = confirm(browser, order, "fulfill", asked)
    assert "2 units fulfilled." in after
    assert "DHL 00340" in after
    assert 'id="cancel"' not in after


@pytest.mark.parametrize(
    ("action", "fields", "status", "words"),
    [
        ("refund", {"how": "amount", "amount": "10.01"}, 409, "refund at most 10.00 EUR"),
        ("refund", {"how": "amount", "amount": "1.001"}, 422, "amount is not an amount of EUR, such as 4.50"),
        ("refund", {"how": "amount", "amount": "-1"}, 422, "amount"),
        ("refund", {"how": "amount"}, 422, "name one of them"),
        ("refund", {"how": "lines"}, 422, "name one of them"),
        ("refund", {"how": "lines", "units.1": "3"}, 409, "name at most 2 units"),
        ("refund", {"how": "lines", "units.1": "one"}, 422, "not a whole number"),
        ("refund", {"how": "lines", "units.x": "1"}, 422, "not a whole number"),
        ("restock", {}, 422, "lines"),
        ("restock", {"units.1.main": "3"}, 409, "name at most 2 units"),
        ("fulfill", {"units.7": "1"}, 409, "Line 7 has no unit left to fulfil"),
        ("settle", {"resolution": "done"}, 422, "choose what you have found out"),
        ("explode", {}, 422, ""),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_sentence(
    stage: Stage,
    shop: httpx2.Client,
    browser: httpx2.Client,
    action: str,
    fields: dict[str, str],
    status: int,
    words: str,
) -> None:
    order = buy(shop)
    for confirmed in ({}, {"confirmed": "yes", "key": "k"}):
        answer = send(browser, order, action, **{"reason": "because", **fields, **confirmed})
        assert (answer.status_code, words in answer.text) == (status, True), answer.text
        assert f'<a href="{ORDERS}/{order["id"]}">Back</a>' in answer.text
    assert stage.shelf.rows("SELECT FROM order_changes") == []


def test_no_change_without_a_reason_a_session_or_from_another_site(
    stage: Stage, shop: httpx2.Client, browser: httpx2.Client, desk: httpx2.Client
) -> None:
    order = buy(shop)
    path = f"{ORDERS}/{order['id']}/cancel"
    assert send(browser, order, "cancel", confirmed="yes").status_code == 422
    foreign = browser.post(path, data={"reason": "x", "confirmed": "yes"}, headers={"Origin": "https://evil.example"})
    assert (foreign.status_code, "another site" in foreign.text) == (403, True)
    assert shop.post(path, json={"reason": "x"}).status_code == 403
    assert shop.get(f"{ORDERS}/{order['id']}").status_code == 403
    stranger = stage.client(token="none")
    stranger.headers.pop("Authorization")
    assert stranger.post(path, json={"reason": "x"}).status_code == 401
    led = stranger.get(f"{ORDERS}/{order['id']}", headers={"Accept": "text/html"})
    assert led.headers["location"] == f"/admin/sign-in?next={ORDERS}/{order['id']}"
    assert desk.get(f"{ORDERS}/{uuid4()}").json()["code"] == "order_unknown"
    assert stage.shelf.rows("SELECT FROM order_changes") == []


def test_a_key_reads_and_changes_orders_as_json(shop: httpx2.Client, desk: httpx2.Client) -> None:
    order = buy(shop)
    listed = desk.get(ORDERS).json()
    assert [(each["id"], each["owner"]) for each in listed["orders"]] == [(order["id"], OWNER)]
    assert (listed["next_after"], listed["standby"]) == (None, None)
    without_key = desk.post(f"{ORDERS}/{order['id']}/refund", json={"how": "all", "reason": "x"})
    assert (without_key.status_code, without_key.json()["code"]) == (400, "idempotency_key_required")
    assert desk.get(f"{ORDERS}/{order['id']}").json()["changes"] == []
    done = desk.post(f"{ORDERS}/{order['id']}/refund", json={"how": "all", "reason": "x", "key": "k"}).json()
    again = desk.post(f"{ORDERS}/{order['id']}/refund", json={"how": "all", "reason": "x", "key": "k"}).json()
    assert (done["state"], done["amount_minor"], again["id"]) == ("done", 1000, done["id"])
    shown = desk.get(f"{ORDERS}/{order['id']}").json()
    assert (shown["refundable_minor"], shown["owner"]) == (0, OWNER)
    assert [each["kind"] for each in shown["events"] if each["kind"].startswith("order.")] == [
        "order.placed",
        "order.refunded",
    ]


def test_a_search_is_about_one_owner_if_it_names_one(shop: httpx2.Client, desk: httpx2.Client) -> None:
    # The newest order's reference is the number of the other.
    order = buy(shop)
    other = buy(shop, reference=str(order["number"]))

    def find(**wanted: Any) -> list[str]:
        return [each["id"] for each in desk.get(ORDERS, params={"find": order["number"], **wanted}).json()["orders"]]

    assert find() == find(owner=OWNER) == [order["id"]]
    assert find(owner="nobody") == []
    assert [each["id"] for each in desk.get(ORDERS, params={"find": other["id"]}).json()["orders"]] == [other["id"]]


def test_a_change_in_progress_is_accepted_and_not_done(
    shop: httpx2.Client, desk: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.web.admin.routes.order_changes.WAIT_SECONDS", 0)
    order = buy(shop, token="tok_ok+tok_refund_amount_timeout_after")
    asked = desk.post(f"{ORDERS}/{order['id']}/refund", json={"how": "all", "reason": "x", "key": "k"})
    assert (asked.status_code, asked.json()["state"] in {"requested", "running"}) == (202, True)


def test_the_actor_of_a_key_with_a_long_name_is_cut(stage: Stage, shop: httpx2.Client) -> None:
    order = buy(shop)
    with stage.engine.begin() as connection:
        record, token = create_key(connection, owner="staff", name="n" * 255, scopes=[Scope.ADMIN])
    client = stage.client(token=token)
    done = client.post(f"{ORDERS}/{order['id']}/refund", json={"how": "all", "reason": "x", "key": "k"})
    assert (done.status_code, done.json()["actor"]) == (200, f"operator:{'n' * 200} (key {record.id})")


def test_a_form_of_many_fields_is_read(shop: httpx2.Client, browser: httpx2.Client) -> None:
    order = buy(shop)
    fields = {f"units.1.far-away-{n}": "0" for n in range(900)}
    asked = send(browser, order, "restock", **{**fields, "units.1.main": "1", "reason": "x"})
    assert (asked.status_code, '<td class="number">1</td><td>main</td>' in asked.text) == (200, True), asked.text
    fields |= {f"units.2.far-away-{n}": "0" for n in range(900)}
    refused = send(browser, order, "restock", **{**fields, "units.1.main": "1", "reason": "x"})
    assert (refused.status_code, "more than 1000 fields" in refused.text) == (422, True)


def test_text_from_outside_is_shown_as_text(shop: httpx2.Client, browser: httpx2.Client) -> None:
    order = buy(shop, reference="<script>alert(1)</script>")
    asked = send(browser, order, "refund", how="all", reason='"><script>alert(2)</script>')
    assert read_hidden(asked.text)["reason"] == "&#34;&gt;&lt;script&gt;alert(2)&lt;/script&gt;"
    for page in (browser.get(ORDERS), browser.get(f"{ORDERS}/{order['id']}"), asked):
        assert "<script" not in page.text


def test_an_admin_key_signs_in_to_the_page_of_the_link(stage: Stage, shop: httpx2.Client) -> None:
    order = buy(shop)
    token = stage.token(Scope.ADMIN, owner="staff")
    client = stage.client(token="none")
    client.headers.pop("Authorization")
    client.headers.update({"Accept": "text/html", "Origin": stage.url})
    answer = client.post("/admin/sign-in", data={"key": token, "next": f"{ORDERS}/{order['id']}"})
    assert answer.headers["location"] == f"{ORDERS}/{order['id']}"
    for evil in ("/admin/ordersx", "//evil.example/admin/orders", "/admin/orders.evil"):
        answer = client.post("/admin/sign-in", data={"key": token, "next": evil})
        assert answer.headers["location"] == "/admin/checkout-locks"
