"""Every list, text and object of a request has a bound, and ends at its first mistake, over HTTP and on the queue."""

import json
import time
from contextlib import suppress
from typing import Any, Final

import pytest
from pydantic import ValidationError

from models.limits import MAX_CHARGES, MAX_COUPONS, MAX_LINES, MAX_MESSAGE_BYTES, MAX_TTL_SECONDS
from pipeline.errors import Refused
from pipeline.intake.requests import StartRequest
from pipeline.settings import SettingsError, read_settings
from scripts.contracts import DOCS
from workers.intake import read_request

ID: Final = "0190a000-0000-7000-8000-000000000001"
LINE: Final = {"sku": "cup", "quantity": 1}
MANY: Final = 200_000


def make(cart: dict[str, Any] | None = None, **others: Any) -> dict[str, Any]:
    """Return a request with these changes."""
    given = {"id": ID, "currency": "EUR", "lines": [LINE], **(cart or {})}
    return {"owner": "shop", "idempotency_key": "k", "cart": given, **others}


def line(**fields: Any) -> dict[str, Any]:
    """Return a cart of one line with these fields."""
    return {"lines": [{**LINE, **fields}]}


TAX: Final = {"name": "VAT", "rate": "0.2", "amount_minor": 1}

#: What just fits, and what does not by one.
EDGES: Final[dict[str, tuple[Any, ...]]] = {
    "lines": tuple(make({"lines": [LINE] * number}) for number in (MAX_LINES, MAX_LINES + 1)),
    "coupons": tuple(make({"coupon_codes": ["TEN"] * number}) for number in (MAX_COUPONS, MAX_COUPONS + 1)),
    "discounts": tuple(
        make(line(discounts=[{"text": "", "amount_minor": 0}] * number)) for number in (MAX_CHARGES, MAX_CHARGES + 1)
    ),
    "taxes": tuple(make(line(taxes=[TAX] * number)) for number in (MAX_CHARGES, MAX_CHARGES + 1)),
    "taxes of the delivery": tuple(
        make({"shipping": {"amount_minor": 1, "taxes": [TAX] * number}}) for number in (MAX_CHARGES, MAX_CHARGES + 1)
    ),
    "expected lines": tuple(
        make(expected_lines={str(each): 1 for each in range(number)}) for number in (MAX_LINES, MAX_LINES + 1)
    ),
    "seconds": tuple(make(ttl_seconds=number) for number in (MAX_TTL_SECONDS, MAX_TTL_SECONDS + 1)),
    "text of an address": tuple(make({"shipping_address": {"note": "a" * number}}) for number in (19_996, 19_997)),
    "fields of an address": tuple(
        make({"billing_address": {str(each): 1 for each in range(number)}}) for number in (200, 201)
    ),
    "levels of an address": (
        make({"shipping_address": {"a": {"b": {"c": {"d": 1}}}}}),
        make({"shipping_address": {"a": {"b": {"c": {"d": [1]}}}}}),
    ),
    "number of an address": tuple(make({"shipping_address": {"floor": number}}) for number in (2**63 - 1, 2**63)),
    "text of a payment": tuple(make(payment={"token": "t", "more": "a" * number}) for number in (8182, 8183)),
    "fields of a payment": tuple(
        make(payment={"token": "t", "more": dict.fromkeys(map(str, range(number)))}) for number in (98, 99)
    ),
}


@pytest.mark.parametrize(("fits", "too_large"), EDGES.values(), ids=EDGES.keys())
def test_a_bound_is_where_it_is(fits: dict[str, Any], too_large: dict[str, Any]) -> None:
    assert StartRequest.model_validate(fits).owner == "shop"
    with pytest.raises(ValidationError) as refused:
        StartRequest.model_validate(too_large)
    assert refused.value.error_count() == 1
    with pytest.raises(Refused, match=r"^The request is not valid: .* correct it and send it again\.$"):
        read_request(too_large)


#: Ways to send hundreds of thousands of things.
FLOODS: Final[dict[str, Any]] = {
    "empty lines": make({"lines": [{}] * MANY}),
    "lines": make({"lines": [LINE] * MANY}),
    "no lines": make({"lines": [None] * MANY}),
    "coupons": make({"coupon_codes": ["TEN"] * MANY}),
    "empty coupons": make({"coupon_codes": [""] * MANY}),
    "discounts": make(line(discounts=[{}] * MANY)),
    "taxes": make(line(taxes=[TAX] * MANY)),
    "taxes of the delivery": make({"shipping": {"amount_minor": 1, "taxes": [7] * MANY}}),
    "address": make({"shipping_address": {str(number): "a" for number in range(MANY)}}),
    "list in an address": make({"billing_address": {"a": [[1]] * MANY}}),
    "text in an address": make({"billing_address": {"a": "a" * 10 * MANY}}),
    "payment": make(payment={"token": "t", "more": ["1 1 1 1 1 "] * MANY}),
    "text in a payment": make(payment={"token": "1 " * MANY}),
    "name in a payment": make(payment={"token": "t", "1 " * MANY: 1}),
    "payment that is a list": make(payment=["1 "] * MANY),
    "sku": make(line(sku="a" * 10 * MANY)),
    "title": make(line(title="a" * 10 * MANY)),
    "currency": make({"currency": "A" * 10 * MANY}),
    "rate": make(line(taxes=[{**TAX, "rate": "1" * 10 * MANY}])),
    "owner": make(owner="o" * 10 * MANY),
    "id": make(cart_id="0" * 10 * MANY),
    "quantity": make(line(quantity=10**4000)),
}


@pytest.mark.parametrize("body", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_is_refused_for_less_than_an_honest_cart_costs(body: dict[str, Any]) -> None:
    def cost(given: dict[str, Any]) -> float:
        costs = []
        for _ in range(3):
            began = time.process_time()
            with suppress(Refused):
                read_request(given)
            costs.append(time.process_time() - began)
        return min(costs)

    with pytest.raises(Refused) as refused:
        read_request(body)
    assert len(str(refused.value)) < 1000
    # What is read of the largest cart that is accepted.
    assert cost(body) < 2 * cost(make({"lines": [LINE] * MAX_LINES})) + 0.005


def test_the_documents_show_a_bound_for_every_list_and_every_map() -> None:
    for name in ("openapi.json", "asyncapi.json"):
        schemas = json.loads((DOCS / name).read_text())["components"]["schemas"]
        inputs = {"CartForm", "CheckoutForm", "CartLine", "ShippingInput", "StartRequest", "Cart"} & set(schemas)
        assert len(inputs) >= 4
        for schema in (schemas[each] for each in inputs):
            for field, described in schema["properties"].items():
                kinds = described.get("anyOf", [described])
                for kind in kinds:
                    if kind.get("type") == "array":
                        assert kind["maxItems"] <= MAX_LINES, field
                    if kind.get("type") == "object" and field == "expected_lines":
                        assert kind["maxProperties"] == MAX_LINES


def test_a_shop_sells_no_more_lines_at_once_than_are_read() -> None:
    urls = {"database_url": "x", "redis_url": "x", "_env_file": None}
    assert read_settings(max_lines=MAX_LINES, **urls).max_lines == MAX_LINES
    with pytest.raises(SettingsError, match=r"^Set CHECKOUT_MAX_LINES: it must be at most 5000\.$"):
        read_settings(max_lines=MAX_LINES + 1, **urls)


def test_a_full_cart_with_amounts_fits_into_one_message() -> None:
    full = {**LINE, "unit_price_minor": 99, "title": "A cup", "taxes": [TAX]}
    cart = make({"lines": [full] * MAX_LINES})
    assert len(json.dumps(cart)) < MAX_MESSAGE_BYTES
    assert read_request(cart).cart is not None
