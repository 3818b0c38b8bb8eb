"""Names over HTTP: normalised on input, refused with a sentence, and no tax removed by a text."""

from typing import Any
from uuid import uuid4

import pytest

from pipeline.security import Scope
from tests.integration.workers.web.stage import BODY, Stage, pay
from tests.support.harness import ADDRESS

VALIDATED = {"source": "VIES", "at": "2026-11-28T15:00:00Z"}


def read_code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_names_are_stored_as_they_are_compared(stage: Stage) -> None:
    client, cart_id = stage.client(), uuid4()
    written = {
        **BODY,
        "lines": [{"sku": " cup\u200b", "quantity": 1}],
        "customer": " Ada@Shop.example\u200b",
        "coupon_codes": ["straße 10", "ten"],
        "tax_id": "de 136.695.976",
        "shipping_address": {**ADDRESS, "country": "us", "state": "california"},
        "billing_address": {"country": "gb", "region": "Scotland"},
    }
    seen = client.put(f"/carts/{cart_id}", json=written).json()
    assert seen["lines"][0]["sku"] == "cup"
    assert seen["customer"] == "Ada@Shop.example"
    assert seen["coupon_codes"] == ["STRASSE10", "TEN"]
    assert (seen["tax_id"], seen["tax_id_validated"]) == ("DE136695976", None)
    assert seen["shipping_address"] == {**ADDRESS, "country": "US", "region": "CA", "state": "california"}
    assert seen["billing_address"] == {"country": "GB", "region": "SCT"}


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("tax_id", "x", "no tax id: begin with the two letters of its country"),
        ("tax_id", "\u200b", "it is blank"),
        ("tax_id", "-", "no tax id"),
        ("tax_id", "DE136695977", "no tax id of DE: compare it"),
        ("customer", "\u200b", "it is blank"),
        ("coupon_codes", ["\u00a0"], "it is blank"),
        ("coupon_codes", ["A\ue000"], "no character"),
        ("shipping_address", {**ADDRESS, "country": "UK"}, "country: 'UK' is no country of ISO 3166: use GB"),
        ("billing_address", {"country": "EL"}, "country: 'EL' is no country of ISO 3166: use GR"),
        ("shipping_address", {**ADDRESS, "country": "ZZ"}, "is no country of ISO 3166"),
        ("shipping_address", {**ADDRESS, "country": "US", "region": 5}, "region must be text"),
        ("shipping_address", {**ADDRESS, "country": "US", "region": "CA", "state": "NY"}, "two regions"),
        ("shipping_address", {**ADDRESS, "region": "x" * 300}, "300 characters"),
        ("tax_id_validated", VALIDATED, "tax_id_validated is there without tax_id"),
    ],
)
def test_what_is_no_name_is_refused_on_input(stage: Stage, field: str, value: Any, sentence: str) -> None:
    client = stage.client(*Scope)
    answer = client.put(f"/carts/{uuid4()}", json={**BODY, field: value})
    assert read_code(answer) == (422, "request_invalid")
    assert sentence in answer.json()["detail"]
    assert stage.shelf.rows("SELECT count(*) FROM carts") == [(0,)]


def test_a_key_without_prices_may_not_say_that_an_id_is_valid(stage: Stage) -> None:
    client, cart_id = stage.client(Scope.CHECKOUT), uuid4()
    form = {**BODY, "tax_id": "DE136695976", "tax_id_validated": VALIDATED}
    assert read_code(client.put(f"/carts/{cart_id}", json=form)) == (403, "scope_missing")
    assert read_code(pay(client, {"cart": {"id": str(cart_id), **form}})) == (403, "scope_missing")
    assert stage.shelf.rows("SELECT count(*) FROM carts") == [(0,)]
    assert stage.client(*Scope).put(f"/carts/{cart_id}", json=form).json()["tax_id_validated"] == VALIDATED


def test_a_cart_that_sql_wrote_is_shown_as_it_is(stage: Stage) -> None:
    address = {**ADDRESS, "country": "UK"}
    cart_id = stage.shelf.add_cart(("cup\u200b", 1), address=address, tax_id="x", customer=" ", coupon_codes=[""])
    answer = stage.client().get(f"/carts/{cart_id}")
    assert answer.status_code == 200
    seen = answer.json()
    assert (
        seen["lines"][0]["sku"],
        seen["tax_id"],
        seen["customer"],
        seen["coupon_codes"],
        seen["shipping_address"],
    ) == (
        "cup\u200b",
        "x",
        " ",
        [""],
        address,
    )
