"""Requests that are refused on input: a code, a sentence, and nothing written."""

from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine

from models.money import MAX_MINOR
from pipeline.errors import Refused
from pipeline.intake.requests import ProcessRequest, StartRequest
from tests.support.harness import OWNER, Shelf, Works
from tests.support.workbench import take_snapshot
from workers.intake import read_request

CART_ID = "0190a000-0000-7000-8000-000000000001"


def body(**changes: Any) -> dict[str, Any]:
    return {"owner": OWNER, "cart_id": CART_ID, "idempotency_key": "k1", **changes}


def inline(**changes: Any) -> dict[str, Any]:
    cart = {"id": CART_ID, "currency": "EUR", "lines": [{"sku": "cup", "quantity": 1}], **changes}
    return {"owner": OWNER, "idempotency_key": "k1", "cart": cart}


def line(**changes: Any) -> dict[str, Any]:
    return inline(lines=[{"sku": "cup", "quantity": 1, **changes}])


LONG = "x" * 2000
AT_MOST_255 = "has more than 255 characters"

BAD_MESSAGES = {
    "nothing in it": ({}, "owner is missing"),
    "no owner": ({"cart_id": CART_ID, "idempotency_key": "k1"}, "owner is missing"),
    "no cart": ({"owner": OWNER, "idempotency_key": "k1"}, "cart_id or cart is needed"),
    "two carts": (inline() | {"cart_id": str(UUID(int=1))}, "cart_id and cart.id differ"),
    "malformed cart id": (
        body(cart_id="nope"),
        "cart_id must be a UUID",
    ),
    "long owner": (body(owner=LONG), f"owner {AT_MOST_255}"),
    "long reference": (body(reference=LONG), f"reference {AT_MOST_255}"),
    "long key": (body(idempotency_key=LONG), f"idempotency_key {AT_MOST_255}"),
    "long token": (body(payment={"token": LONG}), f"payment.token {AT_MOST_255}"),
    "long sku": (line(sku=LONG), f"cart.lines.0.sku {AT_MOST_255}"),
    "empty owner": (body(owner=""), "owner is empty"),
    "NUL in a reference": (body(reference="a\x00b"), "reference: it contains a NUL character"),
    "ttl 0": (body(ttl_seconds=0), "ttl_seconds must be above 0"),
    "ttl as text": (body(ttl_seconds="60"), "ttl_seconds must be a whole number"),
    "expected total as a float": (
        body(expected_total_minor=1.5),
        "expected_total_minor must be a whole number",
    ),
    "negative external price": (
        line(unit_price_minor=-1),
        "cart.lines.0.unit_price_minor must be at least 0",
    ),
    "external price over bigint": (
        line(unit_price_minor=MAX_MINOR + 1),
        f"cart.lines.0.unit_price_minor must be at most {MAX_MINOR}",
    ),
    "quantity as a float": (line(quantity=1.0), "cart.lines.0.quantity must be a whole number"),
    "quantity over an integer": (line(quantity=2**31), "cart.lines.0.quantity must be below 2147483648"),
    "not a number in an address": (
        inline(shipping_address={"name": "Ada", "floors": [{"at": float("nan")}]}),
        "cart.shipping_address: it contains a number that JSON does not have",
    ),
    "unknown currency": (
        inline(currency="ZZZ"),
        "cart.currency: ZZZ is not an ISO 4217 currency with a minor unit",
    ),
}


@pytest.mark.parametrize(("message", "reason"), BAD_MESSAGES.values(), ids=BAD_MESSAGES.keys())
def test_a_request_that_is_not_valid_is_refused_on_input(engine: Engine, message: dict[str, Any], reason: str) -> None:
    # Given
    before = take_snapshot(engine)
    # When
    with pytest.raises(Refused) as refusal:
        read_request(message)
    # Then
    assert refusal.value.code == "request_invalid"
    assert str(refusal.value) == f"The request is not valid: {reason}; correct it and send it again."
    assert take_snapshot(engine) == before


@pytest.mark.parametrize("name", ["owner", "reference", "idempotency_key"])
def test_255_characters_are_fine_and_2000_never_become_a_request(works: Works, shelf: Shelf, name: str) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    with pytest.raises(ValidationError):
        StartRequest.model_validate(body(**{name: LONG}))
    with pytest.raises(ValidationError):
        ProcessRequest.model_validate(
            {"owner": LONG, "checkout_id": CART_ID, "idempotency_key": "k", "payment": {"token": "t"}}
        )
    # When
    longest = "é" * 255
    request = StartRequest.model_validate(body(cart_id=str(shelf.add_cart(("cup", 1))), **{name: longest}))
    checkout_id = works.service.start(request).checkout_id
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["awaiting_payment"]
