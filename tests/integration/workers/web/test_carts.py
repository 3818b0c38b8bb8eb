"""Carts over HTTP: written whole, read back as they were written, locked while a checkout holds them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from uuid import UUID, uuid4

import httpx2
import pytest

from pipeline.security import Scope
from tests.integration.workers.web.stage import BODY, PREFER, Stage, pay, put_cart, spin_until, start
from tests.support.harness import ADDRESS, OWNER

WHOLE: Final[dict[str, Any]] = {
    "currency": "EUR",
    "lines": [
        {
            "sku": "cup",
            "quantity": 2,
            "unit_price_minor": 300,
            "currency": "EUR",
            "title": "A cup",
            "tax_included": True,
            "discounts": [{"text": "Friend", "amount_minor": 50}],
            "taxes": [{"name": "VAT", "rate": "0.2", "amount_minor": 92}],
        },
        {"sku": "tea", "quantity": 1},
    ],
    "customer": "c-1",
    "coupon_codes": ["TEN"],
    "tax_id": "GB980780684",
    "tax_id_validated": {"source": "VIES", "at": "2026-11-28T15:00:00Z"},
    "shipping": {"amount_minor": 400, "title": "Post", "tax_included": False, "taxes": []},
    "shipping_address": ADDRESS,
    "billing_address": {"vat": "GB1"},
}
NOTHING: Final = dict.fromkeys(("unit_price_minor", "currency", "title", "tax_included", "discounts", "taxes"), None)


def test_a_cart_is_read_as_it_was_written(stage: Stage) -> None:
    client, cart_id = stage.client(*Scope), uuid4()
    written = client.put(f"/carts/{cart_id}", json=WHOLE)
    read = client.get(f"/carts/{cart_id}")
    assert (written.status_code, read.status_code, written.json()) == (201, 200, read.json())
    body = read.json()
    assert body.pop("created_at") <= body.pop("updated_at")
    free = {"state": "open", "locked": False, "locked_by": None, "checkout_id": None, "expires_at": None}
    lines = [WHOLE["lines"][0], {"sku": "tea", "quantity": 1, **NOTHING}]
    assert body == {**WHOLE, "lines": lines, "id": str(cart_id), **free}
    # When it is written again, with less
    assert client.put(f"/carts/{cart_id}", json=BODY).status_code == 200
    again = client.get(f"/carts/{cart_id}").json()
    assert (again["lines"], again["shipping"], again["customer"], again["coupon_codes"]) == (
        [{"sku": "cup", "quantity": 1, **NOTHING}],
        None,
        None,
        [],
    )


@pytest.mark.parametrize("ending", ["cancelled", "expired", "failed"])
def test_a_cart_is_open_again_when_its_checkout_ends(stage: Stage, cup: httpx2.Client, ending: str) -> None:
    # Given a locked cart
    client = cup
    cart_id = put_cart(client, ("cup", 1))
    checkout = start(client, cart_id).json()
    seen = client.get(f"/carts/{cart_id}").json()
    assert (seen["locked"], seen["locked_by"]) == (True, OWNER)
    assert (seen["checkout_id"], seen["expires_at"]) == (checkout["checkout_id"], checkout["expires_at"])
    assert client.put(f"/carts/{cart_id}", json=BODY).status_code == 423
    # When it ends
    checkout_id = UUID(checkout["checkout_id"])
    if ending == "cancelled":
        client.post("/checkout/cancel", json={"cart_id": str(cart_id)}, headers=PREFER)
    elif ending == "expired":
        stage.shelf.run("UPDATE checkouts SET expires_at = now()")
        stage.sweep()
    else:
        pay(client, {"checkout_id": checkout_id, "expected_total_minor": 1})
    status = {"checkout_id": str(checkout_id)}
    spin_until(lambda: client.get("/checkout/status", params=status).json()["state"] == ending, ending)
    # Then
    assert client.put(f"/carts/{cart_id}", json=BODY).status_code == 200
    assert client.get(f"/carts/{cart_id}").json()["locked"] is False


def test_a_cart_that_was_bought_is_done(cup: httpx2.Client) -> None:
    cart_id = put_cart(cup, ("cup", 1))
    assert pay(cup, {"cart_id": cart_id}).status_code == 200
    answer = cup.put(f"/carts/{cart_id}", json={**BODY, "lines": []})
    assert (answer.status_code, answer.json()["code"]) == (409, "cart_completed")
    seen = cup.get(f"/carts/{cart_id}").json()
    assert (seen["state"], seen["locked"], seen["lines"][0]["quantity"]) == ("completed", False, 1)


def test_a_cart_has_so_many_lines_at_the_most(stage: Stage) -> None:
    client, cart_id = stage.client(), uuid4()
    lines = [{"sku": "cup", "quantity": 1}] * (stage.settings.max_lines + 1)
    answer = client.put(f"/carts/{cart_id}", json={**BODY, "lines": lines})
    assert (answer.status_code, answer.json()["code"]) == (422, "cart_too_large")
    assert stage.shelf.rows("SELECT count(*) FROM carts") == [(0,)]
    assert client.put(f"/carts/{cart_id}", json={**BODY, "lines": lines[1:]}).status_code == 201


def test_of_two_concurrent_writers_of_one_cart_one_creates_it(stage: Stage, cup: httpx2.Client) -> None:
    cart_id = uuid4()
    with ThreadPoolExecutor(4) as threads:
        written = list(threads.map(lambda _: cup.put(f"/carts/{cart_id}", json=BODY).status_code, range(4)))
    assert sorted(written) == [200, 200, 200, 201]
    assert stage.shelf.rows("SELECT sku, quantity FROM cart_lines") == [("cup", 1)]


@pytest.mark.parametrize("cart_id", ["nothing", "1", "0190f3c1-5a5e-7cc2-9d1e-6f0b3a0c4d1z"])
def test_an_id_that_is_none_is_refused(stage: Stage, cart_id: str) -> None:
    answer = stage.client().get(f"/carts/{cart_id}")
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
    assert answer.json()["detail"].startswith("The request is not valid: path.cart_id must be a UUID; ")
