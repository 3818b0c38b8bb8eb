"""What makes two requests the same."""

from copy import deepcopy
from typing import Any

import pytest

from pipeline.intake.requests import ProcessRequest, StartRequest, fingerprint

CART_ID = "0190a000-0000-7000-8000-000000000001"
BODY: dict[str, Any] = {
    "owner": "shop-1",
    "idempotency_key": "k1",
    "cart": {
        "id": CART_ID,
        "currency": "EUR",
        "lines": [{"sku": "cup", "quantity": 1}, {"sku": "pot", "quantity": 2}],
        "shipping_address": {"name": "Ada", "city": "London"},
    },
}


def changed(**cart: Any) -> str:
    body = deepcopy(BODY)
    body["cart"].update(cart)
    return fingerprint(StartRequest.model_validate(body))


def test_the_key_the_order_of_fields_and_what_is_unknown_do_not_count() -> None:
    body = deepcopy(BODY) | {"idempotency_key": "k2", "from_the_future": 1, "reference": None}

    assert fingerprint(StartRequest.model_validate(body)) == changed()
    assert changed(shipping_address={"city": "London", "name": "Ada"}) == changed()


@pytest.mark.parametrize(
    "cart",
    [
        {"currency": "USD"},
        {"lines": []},
        {"lines": [{"sku": "pot", "quantity": 2}, {"sku": "cup", "quantity": 1}]},
        {"lines": [{"sku": "cup", "quantity": 1}]},
        {"shipping_address": None},
        {"shipping_address": {}},
        {"shipping_address": {"name": "Ada", "city": "London", "more": []}},
        {"billing_address": {}},
    ],
)
def test_everything_else_counts(cart: dict[str, Any]) -> None:
    assert changed(**cart) != changed()


def test_no_two_shapes_look_the_same() -> None:
    shapes: list[Any] = [
        None,
        {},
        {"a": {}},
        {"a": []},
        {"a.b": 1},
        {"a": {"b": 1}},
        {"a": ["b"]},
        {"a[0]": "b"},
        {"a": "1"},
        {"a": 1},
    ]

    assert len({changed(shipping_address=shape) for shape in shapes}) == len(shapes)


def test_a_start_and_a_payment_are_never_the_same() -> None:
    payment = {"owner": "shop-1", "payment": {"token": "t"}}
    start = StartRequest.model_validate({**payment, "cart_id": CART_ID, "idempotency_key": "k"})
    process = ProcessRequest.model_validate({**payment, "checkout_id": CART_ID, "idempotency_key": "k"})

    assert fingerprint(start) != fingerprint(process)
