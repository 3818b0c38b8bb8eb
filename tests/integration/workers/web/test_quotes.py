"""`GET /checkout`: starts, returns what there is, and shows all that is frozen."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4

import httpx2
import pytest

from pipeline.security import Scope
from tests.integration.workers.web.stage import PREFER, Stage, pay, put_cart, start
from tests.support.harness import ADDRESS


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
    # But not to another owner
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
