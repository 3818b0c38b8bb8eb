"""What may be sold: objections are found from the whole to the parts."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from pydantic import SecretStr

from models.money import MAX_MINOR
from pipeline.carts import Basket
from pipeline.checkouts import Done, Rejected
from pipeline.errors import Code
from pipeline.phases.cart_validation import validate
from pipeline.settings import Settings
from tests.factories.baskets import ADDRESS, BASKET, CUP

SETTINGS = Settings(_env_file=None, database_url=SecretStr("postgresql://"), redis_url=SecretStr("redis://"))
ENOUGH: Mapping[int, int | None] = {10: 2}


def with_line(**changes: object) -> Basket:
    return replace(BASKET, lines=[replace(CUP, **changes)])  # type: ignore[arg-type]


def test_a_sound_basket_is_done() -> None:
    assert validate(BASKET, ENOUGH, SETTINGS) == Done()


@pytest.mark.parametrize("available", [{10: 2}, {10: None}, {10: 3, 20: 0}])
def test_enough_is_enough(available: Mapping[int, int | None]) -> None:
    assert validate(BASKET, available, SETTINGS) == Done()


@pytest.mark.parametrize(
    ("basket", "code"),
    [
        (replace(BASKET, currency="ZZZ", lines=[]), Code.CURRENCY_UNKNOWN),
        (replace(BASKET, lines=[], shipping_address=None), Code.CART_EMPTY),
        (replace(BASKET, lines=[replace(CUP, quantity=0)] * 1001), Code.CART_TOO_LARGE),
        (with_line(quantity=0, variant_id=None), Code.QUANTITY_INVALID),
        (with_line(variant_id=None, active=None, list_price_minor=None), Code.VARIANT_UNKNOWN),
        (with_line(active=False, line_currency="USD"), Code.VARIANT_INACTIVE),
        (with_line(line_currency="USD", list_price_minor=None), Code.CURRENCY_MIXED),
        (with_line(list_price_minor=None), Code.PRICE_MISSING),
        (with_line(unit_price_minor=-1), Code.PRICE_INVALID),
        (with_line(unit_price_minor=MAX_MINOR), Code.TOTAL_TOO_LARGE),
        (replace(with_line(quantity=3), shipping_address=None), Code.ADDRESS_MISSING),
        (with_line(quantity=3), Code.OUT_OF_STOCK),
    ],
)
def test_the_first_objection_is_the_answer(basket: Basket, code: Code) -> None:
    answer = validate(basket, ENOUGH, SETTINGS)

    assert isinstance(answer, Rejected)
    assert answer.code is code


def test_stock_is_counted_over_the_lines_of_a_variant() -> None:
    lines = [CUP, replace(CUP, line=2, quantity=1)]

    assert validate(replace(BASKET, lines=lines), ENOUGH, SETTINGS) == Rejected(
        Code.OUT_OF_STOCK, {"line": 2, "sku": "cup", "requested": 3, "available": 2}
    )


def test_what_is_oversold_shows_as_none_left() -> None:
    assert validate(BASKET, {10: -4}, SETTINGS) == Rejected(
        Code.OUT_OF_STOCK, {"line": 1, "sku": "cup", "requested": 2, "available": 0}
    )


def test_an_address_may_have_more_than_is_asked_for() -> None:
    basket = replace(BASKET, shipping_address={**ADDRESS, "vat": {"id": 1}})

    assert validate(basket, ENOUGH, SETTINGS) == Done()


@pytest.mark.parametrize("name", sorted(ADDRESS))
@pytest.mark.parametrize("value", [None, "", 5])
def test_each_part_of_an_address_is_needed(name: str, value: object) -> None:
    answer = validate(replace(BASKET, shipping_address={**ADDRESS, name: value}), ENOUGH, SETTINGS)

    assert isinstance(answer, Rejected)
    assert answer.code is Code.ADDRESS_MISSING
    assert answer.detail["reason"].startswith(f"{name} ")
