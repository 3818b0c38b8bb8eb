"""What goods are called, and all else that describes them, is the catalog's for a key that may not name prices."""

from typing import Any, Final
from uuid import uuid4

import httpx2
import pytest

from pipeline.security import Scope
from tests.integration.workers.web.problems import count
from tests.integration.workers.web.stage import BODY, Stage, pay

ORDERED: Final = (
    "SELECT sku, title, unit_price_minor, tax_included, tax_minor, total_minor FROM order_lines ORDER BY line"
)


def body(line: dict[str, Any], **cart: Any) -> dict[str, Any]:
    """Describe a cart of one cup, with this said of it."""
    return {**BODY, "lines": [{**BODY["lines"][0], **line}], **cart}


def buy(client: httpx2.Client, content: dict[str, Any], *, brought: bool) -> httpx2.Response:
    """Buy a cart: brought along, or written first."""
    cart_id = str(uuid4())
    if brought:
        return pay(client, {"cart": {"id": cart_id, **content}})
    assert client.put(f"/carts/{cart_id}", json=content).status_code == 201
    return pay(client, {"cart_id": cart_id})


BROUGHT: Final = pytest.mark.parametrize("brought", [False, True], ids=["written", "brought along"])


@BROUGHT
@pytest.mark.parametrize(
    "said",
    [
        {"title": "Gold bar"},
        {"title": ""},
        # Of a price that is not there: it changes nothing of the list's.
        {"tax_included": False},
        {"currency": "EUR"},
        {"title": "Gold bar", "tax_included": False, "currency": "EUR"},
    ],
)
def test_a_key_without_prices_describes_nothing(
    stage: Stage, cup: httpx2.Client, said: dict[str, Any], *, brought: bool
) -> None:
    stage.shelf.add_tax("0.25")
    answer = buy(cup, body(said), brought=brought)
    assert (answer.status_code, answer.json()["quote"]["lines"][0]["title"]) == (200, "The cup")
    assert stage.shelf.rows(ORDERED) == [("cup", "The cup", 250, True, 50, 250)]


def test_a_cart_is_shown_without_the_title_that_was_left_out(stage: Stage, cup: httpx2.Client) -> None:
    del stage
    written = cup.put(f"/carts/{uuid4()}", json=body({"title": "Gold bar"}))
    assert (written.status_code, written.json()["lines"][0]["title"]) == (201, None)


@pytest.mark.parametrize(
    ("said", "cart"),
    [
        ({"discounts": [{"text": "Gold bar", "amount_minor": 0}]}, {}),
        ({}, {"shipping": {"amount_minor": 0, "title": "Gold bar"}}),
    ],
    ids=["the text of a discount", "the title of delivery"],
)
def test_what_describes_an_amount_needs_the_scope_of_the_amount(
    stage: Stage, cup: httpx2.Client, said: dict[str, Any], cart: dict[str, Any]
) -> None:
    before, content = count(stage), body(said, **cart)
    for answer in (
        cup.put(f"/carts/{uuid4()}", json=content),
        pay(cup, {"cart": {"id": str(uuid4()), **content}}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert count(stage) == before


@BROUGHT
@pytest.mark.parametrize("title", ["Gold bar", ""])
def test_a_key_with_prices_names_its_goods(stage: Stage, cup: httpx2.Client, title: str, *, brought: bool) -> None:
    del cup
    client = stage.client(Scope.CHECKOUT, Scope.PRICES)
    assert buy(client, body({"title": title}), brought=brought).status_code == 200
    assert stage.shelf.rows("SELECT title FROM order_lines") == [(title or "The cup",)]


def test_a_repeat_with_its_title_is_the_same_request(stage: Stage, cup: httpx2.Client) -> None:
    cart = {"id": str(uuid4()), **body({"title": "Gold bar"})}
    first = pay(cup, {"cart": cart}, key="order-1")
    again = pay(cup, {"cart": cart}, key="order-1")
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (200, first.json(), "true")
    assert stage.shelf.rows("SELECT count(*) FROM orders") == [(1,)]
