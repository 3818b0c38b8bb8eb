"""Amounts that an upstream has computed: do they agree with each other? Pure; what they say is not second-guessed."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from models.money import minor_digits
from pipeline.pricing.shares import round_half_up
from pipeline.pricing.terms import GivenDiscount, GivenTax, Goods, Order

#: Minor units a given tax may be from its rate times its amount: upstreams round per line or per order, up or down.
TAX_TOLERANCE_MINOR: Final = 1


@dataclass(frozen=True, slots=True)
class Objection:
    """What does not agree, and where: `code` for programs, `reason` for people."""

    code: str
    where: str
    reason: str


def check_external(order: Order) -> Objection | None:
    """Return the first thing in an order that cannot be, or None: signs, discounts above the price, taxes off rate."""
    if minor_digits(order.currency) is None:
        return Objection("currency_unknown", "the cart", f"{order.currency} has no minor unit")
    for goods in sorted(order.goods, key=lambda each: each.line):
        if (objection := _check_goods(goods)) is not None:
            return objection
    if order.shipping is None:
        return None
    if order.shipping.amount_minor < 0:
        return Objection("amount_negative", "shipping", f"{order.shipping.amount_minor} is below zero")
    return _check_taxes(
        "shipping", order.shipping.taxes or (), order.shipping.amount_minor, included=order.shipping.tax_included
    )


def _check_goods(goods: Goods) -> Objection | None:
    where = f"line {goods.line}"
    if goods.quantity < 1:
        return Objection("quantity_invalid", where, f"a quantity of {goods.quantity}")
    if goods.unit_price_minor < 0:
        return Objection("amount_negative", where, f"the unit price {goods.unit_price_minor} is below zero")
    subtotal = goods.quantity * goods.unit_price_minor
    discounts = goods.discounts or ()
    if (objection := _check_discounts(where, discounts, subtotal)) is not None:
        return objection
    net = subtotal - sum(each.amount_minor for each in discounts)
    return _check_taxes(where, goods.taxes or (), net, included=goods.tax_included)


def _check_discounts(where: str, discounts: Sequence[GivenDiscount], subtotal: int) -> Objection | None:
    for each in discounts:
        if each.amount_minor < 0:
            return Objection("amount_negative", where, f"the discount {each.amount_minor} is below zero")
    total = sum(each.amount_minor for each in discounts)
    if total > subtotal:
        return Objection("discount_too_large", where, f"discounts of {total} on a price of {subtotal}")
    return None


def _check_taxes(where: str, taxes: Sequence[GivenTax], amount_minor: int, *, included: bool) -> Objection | None:
    """Hold each tax, and all of them together, against their rates."""
    for each in taxes:
        if each.amount_minor < 0:
            return Objection("amount_negative", where, f"the tax {each.amount_minor} is below zero")
        if not each.rate.is_finite() or each.rate < 0:
            return Objection("rate_invalid", where, f"{each.rate} is not a rate")
    rates = sum((Fraction(each.rate) for each in taxes), Fraction())
    net = Fraction(amount_minor) / (1 + rates) if included else Fraction(amount_minor)
    for each in taxes:
        exact = net * Fraction(each.rate)
        if abs(each.amount_minor - exact) > TAX_TOLERANCE_MINOR:
            expected = round_half_up(exact)
            reason = f"{each.name} at {each.rate} on {amount_minor} is {expected}, not {each.amount_minor}"
            return Objection("tax_inconsistent", where, reason)
    total = sum(each.amount_minor for each in taxes)
    if abs(total - net * rates) > TAX_TOLERANCE_MINOR or (included and total > amount_minor):
        return Objection("tax_inconsistent", where, f"taxes of {total} do not agree with their rates on {amount_minor}")
    return None
