"""Amounts that an upstream has computed are compared with each other."""

from decimal import Decimal
from typing import Any

import pytest

from pipeline.pricing.external import check_external
from pipeline.pricing.quote import price_order
from pipeline.pricing.terms import AppliedDiscount, GivenDiscount, GivenTax, Order
from tests.factories.orders import goods, order, shipping


def tax(rate: str, amount: int) -> GivenTax:
    return GivenTax("VAT", Decimal(rate), amount)


@pytest.mark.parametrize(
    ("given", "code", "reason"),
    [
        (order(goods(1, 10), currency="XAU"), "currency_unknown", "XAU has no minor unit"),
        (order(goods(1, -1)), "amount_negative", "the unit price -1 is below zero"),
        (order(goods(1, 1, 0)), "quantity_invalid", "a quantity of 0"),
        (order(goods(1, 10, discounts=(GivenDiscount("a", -1),))), "amount_negative", "the discount -1 is below zero"),
        (
            order(goods(1, 10, 2, discounts=(GivenDiscount("a", 11), GivenDiscount("b", 10)))),
            "discount_too_large",
            "discounts of 21 on a price of 20",
        ),
        (order(goods(1, 10, taxes=(tax("0.2", -1),))), "amount_negative", "the tax -1 is below zero"),
        (order(goods(1, 10, taxes=(tax("-0.2", 0),))), "rate_invalid", "-0.2 is not a rate"),
        (order(goods(1, 10, taxes=(tax("NaN", 0),))), "rate_invalid", "NaN is not a rate"),
        (order(goods(1, 1200, taxes=(tax("0.2", 202),))), "tax_inconsistent", "VAT at 0.2 on 1200 is 200, not 202"),
        (
            order(goods(1, 1000, tax_included=False, taxes=(tax("0.1", 101), tax("0.2", 201)))),
            "tax_inconsistent",
            "taxes of 302 do not agree with their rates on 1000",
        ),
        (
            order(goods(1, 1, discounts=(GivenDiscount("a", 1),), taxes=(tax("0.2", 1),))),
            "tax_inconsistent",
            "taxes of 1 do not agree with their rates on 0",
        ),
        (order(shipping=shipping(-1)), "amount_negative", "-1 is below zero"),
        (
            order(shipping=shipping(1200, taxes=(tax("0.2", 240),))),
            "tax_inconsistent",
            "VAT at 0.2 on 1200 is 200, not 240",
        ),
    ],
)
def test_what_does_not_agree_is_named(given: Order, code: str, reason: str) -> None:
    objection = check_external(given)

    assert objection is not None
    where = "the cart" if code == "currency_unknown" else "line 1" if given.goods else "shipping"
    assert (objection.code, objection.where, objection.reason) == (code, where, reason)
    with pytest.raises(ValueError, match=f"{where} was not checked"):
        price_order(given)


@pytest.mark.parametrize("amount", [199, 200, 201])
@pytest.mark.parametrize("fields", [{"tax_included": True}, {"tax_included": False}])
def test_a_tax_may_be_one_unit_from_its_rate(amount: int, fields: dict[str, Any]) -> None:
    price = 1200 if fields["tax_included"] else 1000
    given = tax("0.2", amount)

    assert check_external(order(goods(1, price, taxes=(given,), **fields), shipping=shipping(500))) is None
    assert check_external(order(shipping=shipping(price, taxes=(given,), **fields))) is None


def test_shipping_may_be_free() -> None:
    assert check_external(order(shipping=shipping(0))) is None


def test_a_price_and_a_discount_may_be_nothing() -> None:
    free = order(goods(1, 0, discounts=(GivenDiscount("Nothing", 0),), taxes=(tax("0", 0),)))

    assert check_external(free) is None
    assert price_order(free).lines[0].discounts == (AppliedDiscount("Nothing", 0),)


def test_a_line_may_be_given_away() -> None:
    given = order(goods(1, 10, 2, discounts=(GivenDiscount("Gift", 20),), taxes=(tax("0.2", 0),)))

    assert check_external(given) is None
    assert price_order(given).total_minor == 0
