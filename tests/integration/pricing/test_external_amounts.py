"""An upstream that prices on its own: what it sends is frozen as it is, or refused when it does not add up."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from pipeline.carts import Cart
from pipeline.intake import PaymentInput, StartRequest
from tests.support.counter import read_failure
from tests.support.harness import ADDRESS, OWNER, Shelf, Works
from tests.support.workbench import NOTHING, read_bank

LOYALTY = {"text": "Loyalty", "amount_minor": 100}
VAT = {"name": "VAT", "rate": "0.2", "amount_minor": 180}

#: Two cups at 500 less 100, plus 180; postage of 400, plus 80.
LINE: dict[str, Any] = {"sku": "cup", "quantity": 2, "unit_price_minor": 500, "tax_included": False}
PRICED_LINE: dict[str, Any] = LINE | {"discounts": [LOYALTY], "taxes": [VAT]}
SHIPPING: dict[str, Any] = {
    "amount_minor": 400,
    "title": "Courier",
    "tax_included": False,
    "taxes": [{**VAT, "amount_minor": 80}],
}


def fill(shelf: Shelf) -> None:
    """Put cups on sale, with a tax and a promotion of our own that the upstream's amounts know nothing of."""
    shelf.add_variant("cup", stock=9, price_minor=250)
    shelf.add_tax("0.25")
    shelf.add_promotion(percent=50, automatic=True)


def start(works: Works, line: dict[str, Any], shipping: dict[str, Any] | None = None) -> UUID:
    cart = Cart.model_validate(
        {"id": uuid4(), "currency": "EUR", "lines": [line], "shipping": shipping, "shipping_address": ADDRESS}
    )
    request = StartRequest(owner=OWNER, cart=cart, idempotency_key=str(uuid4()), payment=PaymentInput(token="tok_ok"))
    checkout_id = works.service.start(request).checkout_id
    works.pump()
    return checkout_id


def test_the_amounts_of_an_upstream_are_frozen_as_given(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    fill(shelf)
    # When
    checkout_id = start(works, PRICED_LINE, SHIPPING)
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert read_bank(engine, checkout_id).captured_minor == 1560
    columns = "subtotal_minor, discount_minor, tax_minor, total_minor"
    assert shelf.rows(f"SELECT {columns}, shipping_minor FROM orders") == [(1000, 100, 260, 1560, 480)]
    assert shelf.rows(f"SELECT {columns}, price_source FROM price_lock_lines") == [(1000, 100, 180, 1080, "external")]
    lines = shelf.row("SELECT discounts, taxes FROM order_lines")
    assert lines.discounts == [{**LOYALTY, "promotion_id": None, "code": None}]
    assert lines.taxes == [VAT]
    assert shelf.row("SELECT shipping FROM orders").shipping == {
        "title": "Courier",
        "tax_included": False,
        "subtotal_minor": 400,
        "discount_minor": 0,
        "tax_minor": 80,
        "total_minor": 480,
        "discounts": [],
        "taxes": [{**VAT, "amount_minor": 80}],
    }


def test_no_discounts_and_no_taxes_are_amounts_too(works: Works, shelf: Shelf) -> None:
    # Given
    fill(shelf)
    # When the upstream says that there are none
    checkout_id = start(works, LINE | {"discounts": [], "taxes": []}, SHIPPING | {"taxes": []})
    # Then the engine's do not apply
    assert works.status(checkout_id).total_minor == 1400
    # When it says nothing
    checkout_id = start(works, LINE, {"amount_minor": 400, "tax_included": False})
    # Then the engine's do
    assert works.status(checkout_id).total_minor == 625 + 500


@pytest.mark.parametrize(
    ("line", "shipping", "where", "reason"),
    [
        (
            {"taxes": [{**VAT, "amount_minor": 182}]},
            {},
            "line 1",
            "VAT at 0.2 on 900 is 180, not 182",
        ),
        (
            {"discounts": [LOYALTY, {**LOYALTY, "amount_minor": 901}], "taxes": None},
            {},
            "line 1",
            "discounts of 1001 on a price of 1000",
        ),
        (
            {"tax_included": True},
            {},
            "line 1",
            "VAT at 0.2 on 900 is 150, not 180",
        ),
        (
            {},
            {"taxes": [{**VAT, "amount_minor": 78}]},
            "shipping",
            "VAT at 0.2 on 400 is 80, not 78",
        ),
    ],
    ids=["tax", "discounts", "included tax", "shipping tax"],
)
def test_amounts_that_do_not_agree_are_refused(
    works: Works,
    shelf: Shelf,
    engine: Engine,
    line: dict[str, Any],
    shipping: dict[str, Any],
    where: str,
    reason: str,
) -> None:
    # Given
    fill(shelf)
    # When
    checkout_id = start(works, PRICED_LINE | line, SHIPPING | shipping)
    # Then
    sentence = f"The amounts of {where} do not agree ({reason}): send amounts that add up."
    assert_refused_in_phase_3(works, shelf, engine, checkout_id, sentence)


@pytest.mark.parametrize("amount", [179, 180, 181])
def test_upstreams_round_as_they_like(works: Works, shelf: Shelf, amount: int) -> None:
    # Given
    fill(shelf)
    # When
    checkout_id = start(works, PRICED_LINE | {"taxes": [{**VAT, "amount_minor": amount}]})
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert works.status(checkout_id).total_minor == 900 + amount


NO_RATE = '0.rate must be a fraction as text, such as "0.2" for 20 %'
NO_INTEGER = "0.amount_minor must be a whole number"
NO_OBJECT = "0 must be an object"

#: What SQL of an upstream's own can write past the checks of input, and the sentence about it.
WRITTEN = {
    "negative discount": (
        "discounts",
        [{**LOYALTY, "amount_minor": -1}],
        "0.amount_minor must be at least 0",
    ),
    "negative tax": (
        "taxes",
        [VAT, {**VAT, "amount_minor": -1}],
        "1.amount_minor must be at least 0",
    ),
    "negative rate": ("taxes", [{**VAT, "rate": "-0.2"}], NO_RATE),
    "no rate": ("taxes", [{**VAT, "rate": "NaN"}], NO_RATE),
    "an amount as text": ("taxes", [{**VAT, "amount_minor": "180"}], NO_INTEGER),
    "a fraction of a cent": ("discounts", [{**LOYALTY, "amount_minor": 1.5}], NO_INTEGER),
    "a truth for an amount": ("discounts", [{**LOYALTY, "amount_minor": True}], NO_INTEGER),
    "no amount": ("discounts", [{"text": "Loyalty"}], "0.amount_minor is missing"),
    "no text": ("discounts", [{**LOYALTY, "text": None}], "0.text must be text"),
    "no list": ("discounts", {"text": "Loyalty"}, "must be a list"),
    "no object": ("taxes", [180], NO_OBJECT),
}


@pytest.mark.parametrize(("column", "value", "reason"), WRITTEN.values(), ids=WRITTEN.keys())
def test_what_sql_has_written_is_refused_as_well(
    works: Works, shelf: Shelf, engine: Engine, column: str, value: object, reason: str
) -> None:
    # Given
    fill(shelf)
    columns = {"tax_included": False, column: value}
    # When
    checkout_id = works.start(shelf.add_cart(("cup", 2, 500), line_columns=columns), token="tok_ok")
    works.pump()
    # Then
    sentence = f"The amounts of line 1 do not agree ({reason}): send amounts that add up."
    assert_refused_in_phase_3(works, shelf, engine, checkout_id, sentence)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"shipping_minor": -1}, "-1 is below zero"),
        ({"shipping_minor": 400, "shipping_taxes": [180]}, NO_OBJECT),
    ],
)
def test_postage_that_sql_has_written_is_refused_as_well(
    works: Works, shelf: Shelf, engine: Engine, columns: dict[str, Any], reason: str
) -> None:
    # Given
    fill(shelf)
    # When
    checkout_id = works.start(shelf.add_cart(("cup", 2), **columns), token="tok_ok")
    works.pump()
    # Then
    sentence = f"The amounts of shipping do not agree ({reason}): send amounts that add up."
    assert_refused_in_phase_3(works, shelf, engine, checkout_id, sentence)


def assert_refused_in_phase_3(works: Works, shelf: Shelf, engine: Engine, checkout_id: UUID, sentence: str) -> None:
    """Assert that it was refused with this sentence, and that nothing is held, frozen or paid."""
    assert works.states([checkout_id]) == ["failed"]
    assert read_failure(works, checkout_id) == ("external_amounts_inconsistent", "price_lock", sentence)
    assert shelf.stock("cup") == (9, 0)
    assert shelf.rows("SELECT count(*) FROM price_locks") == [(0,)]
    assert read_bank(engine, checkout_id) == NOTHING
