"""A mistake of a request is reported in words, and never in the library's."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.carts import Cart
from pipeline.carts.cart_input import Address
from pipeline.errors.objections import FORMS, explain_first
from pipeline.intake import ProcessRequest, StartRequest
from pipeline.settings import SettingsError, read_settings

CART = {"id": "0190f3c1-5a5e-7cc2-9d1e-6f0b3a0c4d11", "currency": "EUR", "lines": [{"sku": "cup", "quantity": 1}]}
START = {"owner": "shop", "cart": CART}
ADDRESS = {"name": "Ada", "line1": "1 High Street", "city": "London", "country": "GB"}


def explain(model: Any, given: object) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(model).validate_python(given)
    return explain_first(caught.value)


@pytest.mark.parametrize(
    ("model", "given", "phrase"),
    [
        (StartRequest, {"cart": CART}, "owner is missing"),
        (StartRequest, {**START, "owner": ""}, "owner is empty"),
        (StartRequest, {**START, "owner": 5}, "owner must be text"),
        (StartRequest, {**START, "owner": "x" * 256}, "owner has more than 255 characters"),
        (StartRequest, {**START, "owner": "a\x00"}, "owner: it contains a NUL character"),
        (StartRequest, {**START, "ttl_seconds": 0}, "ttl_seconds must be above 0"),
        (StartRequest, {**START, "ttl_seconds": 1.5}, "ttl_seconds must be a whole number"),
        (StartRequest, {**START, "ttl_seconds": "60"}, "ttl_seconds must be a whole number"),
        (StartRequest, {**START, "cart_id": "x"}, "cart_id must be a UUID"),
        (StartRequest, {"owner": "shop"}, "cart_id or cart is needed"),
        (StartRequest, {**START, "cart": []}, "cart must be an object"),
        (StartRequest, {**START, "expected_total_minor": -1}, "expected_total_minor must be at least 0"),
        (ProcessRequest, "x", "must be an object"),
        (Cart, {**CART, "lines": {}}, "lines must be a list"),
        (Cart, {**CART, "currency": "eur"}, "currency must be a currency code of three capital letters such as EUR"),
        (Cart, {**CART, "currency": "XAU"}, "currency: XAU is not an ISO 4217 currency with a minor unit"),
        (Cart, {**CART, "lines": [{"sku": "cup"}]}, "lines.0.quantity is missing"),
        (Address, {**ADDRESS, "city": "x" * 1001}, "city has more than 1000 characters"),
        (bool, 7, "must be true or false"),
        (list[int], "x", "must be a list"),
    ],
)
def test_a_mistake_is_reported_in_words(model: Any, given: object, phrase: str) -> None:
    assert explain(model, given) == phrase


def test_every_pattern_of_the_interface_is_reported_in_words() -> None:
    documents = [json.loads(path.read_text()) for path in Path("docs").glob("*.json")]
    patterns = {pattern for document in documents for pattern in find_patterns(document)}
    assert patterns
    assert patterns <= set(FORMS)


def test_a_wrong_setting_is_reported_with_its_variable() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(
            database_url="postgresql://x", redis_url="redis://x", ttl_minutes=0, sweep_interval_seconds="soon"
        )
    assert str(caught.value) == (
        "Set CHECKOUT_TTL_MINUTES: it must be above 0. Set CHECKOUT_SWEEP_INTERVAL_SECONDS: it must be a number."
    )


def find_patterns(document: object) -> Iterator[str]:
    match document:
        case dict():
            if isinstance(pattern := document.get("pattern"), str):
                yield pattern
            for value in document.values():
                yield from find_patterns(value)
        case list():
            for value in document:
                yield from find_patterns(value)
