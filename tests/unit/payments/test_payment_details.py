"""The details of a purchase for a provider: read from frozen addresses, bounded, and put into Stripe's own fields."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from models.money import Money
from pipeline.gateways.gateway import Call, Details, Recipient
from pipeline.gateways.stripe.particulars import describe_purchase, write_metadata, write_shipping
from pipeline.payments.details import read_details

ADDRESS: dict[str, Any] = {"name": "Ada Lovelace", "line1": "12 St James's Square", "city": "London", "country": "GB"}
RECIPIENT = Recipient("Ada Lovelace", "12 St James's Square", "GB", city="London")
ORDER_ID, CHECKOUT_ID = UUID(int=7), UUID(int=8)


def test_the_whole_of_an_address() -> None:
    more = {"line2": "Flat 2", "region": "LND", "postal_code": "SW1Y 4LE", "phone": "+44 20 7946 0958", "door": "blue"}

    found = read_details("R-1", ADDRESS | more, None, ORDER_ID)

    full = replace(RECIPIENT, line2="Flat 2", region="LND", postal_code="SW1Y 4LE", phone="+44 20 7946 0958")
    assert found == Details("R-1", ORDER_ID, full, None)
    assert write_shipping(full) == {
        "name": "Ada Lovelace",
        "phone": "+44 20 7946 0958",
        "address": {
            "line1": "12 St James's Square",
            "line2": "Flat 2",
            "city": "London",
            "state": "LND",
            "postal_code": "SW1Y 4LE",
            "country": "GB",
        },
    }


def test_what_an_address_has_not_is_left_out() -> None:
    assert read_details(None, ADDRESS, None, None) == Details(None, None, RECIPIENT, None)
    assert write_shipping(RECIPIENT)["address"] == {"line1": "12 St James's Square", "city": "London", "country": "GB"}
    assert read_details(None, None, None, None) == Details()


@pytest.mark.parametrize("value", [None, 5, True, ["x"], {"x": "y"}, "", "  "], ids=repr)
def test_what_is_no_text_is_left_out(value: object) -> None:
    more = dict.fromkeys(("line2", "region", "postal_code", "phone", "email"), value)

    assert read_details(None, ADDRESS | more, ADDRESS | more, None) == Details(None, None, RECIPIENT, None)


def test_long_texts_are_cut() -> None:
    found = read_details(None, ADDRESS | {"name": "x" * 1000, "line2": "y" * 1_000_000}, None, None)

    assert found.shipping == replace(RECIPIENT, name="x" * 500, line2="y" * 500)


@pytest.mark.parametrize(
    "change", [{"country": "gb"}, {"country": "GBR"}, {"country": None}, {"name": " "}, {"line1": 5}]
)
def test_an_address_that_a_provider_would_refuse_is_no_recipient(change: dict[str, object]) -> None:
    assert read_details(None, ADDRESS | change, None, None).shipping is None


@pytest.mark.parametrize(
    ("shipping", "billing", "email"),
    [
        ("ada@example.com", None, "ada@example.com"),
        ("ada@example.com", "book.keeping+1@shop.example.co.uk", "book.keeping+1@shop.example.co.uk"),
        ("ada@example.com", "no address", "ada@example.com"),
        (" ada@example.com ", None, "ada@example.com"),
        ("ada@example", None, None),
        ("ada.@example.com", None, None),
        ("ada@@example.com", None, None),
        ("ada@example.com\nBcc: x@example.com", None, None),
        ("\u00e4da@example.com", None, None),
        ("a" * 250 + "@example.com", None, None),
    ],
)
def test_the_receipt_goes_to_an_address_of_ordinary_form(shipping: str, billing: str | None, email: str | None) -> None:
    found = read_details(None, ADDRESS | {"email": shipping}, None if billing is None else {"email": billing}, None)

    assert found.email == email


def test_texts_and_metadata_name_no_person() -> None:
    details = read_details("R-1", ADDRESS | {"email": "ada@example.com", "phone": "123"}, None, ORDER_ID)
    call = Call(CHECKOUT_ID, f"{CHECKOUT_ID}:open:1", Money(1, "EUR"), "pm_1", None, details)

    assert write_metadata(call) == {
        "checkout_id": str(CHECKOUT_ID),
        "operation_id": f"{CHECKOUT_ID}:open:1",
        "reference": "R-1",
        "order_id": str(ORDER_ID),
    }
    assert describe_purchase(call) == "Order R-1"
    assert describe_purchase(replace(call, details=Details())) == f"Checkout {CHECKOUT_ID}"
    assert not any(secret in repr(call) for secret in ("Ada", "ada@", "Square", "123"))
