"""Check that amounts that an upstream has computed agree with each other. They are not computed again. No I/O.

A given tax is compared with its rate, within the usual ways to round. Upstreams round

    per piece   the price of a piece without its tax or discount, and then its tax: half a minor unit each
    per line    once, a half up, or always up or down
    per order   once for each tax, shared out over the lines; or each line alone, and the last one gets the rest

so a line of many pieces, or in an order of many lines, may be off by more. All taxes of an order together may not be
off by more than rounding per piece or per line explains: what one line has too much, the others have too little.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Final

from models.money import minor_digits
from pipeline.pricing.shares import round_half_up
from pipeline.pricing.terms import GivenDiscount, GivenTax, Goods, Order

#: Minor units that a tax rounded once, up or down, may be from its rate times its amount.
ONCE_MINOR: Final = 1


@dataclass(frozen=True, slots=True)
class Objection:
    """A disagreement, and where it is: `code` for programs, `reason` for people."""

    code: str
    where: str
    reason: str


def check_external(order: Order) -> Objection | None:
    """Return the first objection to an order, or None: signs, discounts above the price, taxes that are off."""
    if minor_digits(order.currency) is None:
        return Objection("currency_unknown", "the cart", f"{order.currency} has no minor unit")
    taxed: list[_Taxed] = []
    for goods in sorted(order.goods, key=lambda each: each.line):
        if (objection := _check_goods(goods)) is not None:
            return objection
        if goods.taxes:
            subtotal = goods.quantity * goods.unit_price_minor
            net = subtotal - sum(each.amount_minor for each in goods.discounts or ())
            taxed.append(_Taxed(f"line {goods.line}", goods.taxes, net, goods.tax_included, goods.quantity))
    if order.shipping is not None:
        amount = order.shipping.amount_minor
        if amount < 0:
            return Objection("amount_negative", "shipping", f"{amount} is below zero")
        if order.shipping.taxes:
            taxed.append(_Taxed("shipping", order.shipping.taxes, amount, order.shipping.tax_included, 1))
    return next(filter(None, (_check_taxes(each, len(taxed)) for each in taxed)), None) or _check_sum(taxed)


@dataclass(frozen=True, slots=True)
class _Taxed:
    """An amount after its discounts, with the taxes that were given for it."""

    where: str
    taxes: Sequence[GivenTax]
    amount_minor: int
    included: bool
    quantity: int

    @property
    def net(self) -> Fraction:
        """The amount without tax, to which the rates apply."""
        rates = sum((Fraction(each.rate) for each in self.taxes), Fraction())
        return Fraction(self.amount_minor) / (1 + rates) if self.included else Fraction(self.amount_minor)

    def find_bounds(self, *taxes: GivenTax) -> tuple[Fraction, Fraction]:
        """Return the least and the most that these taxes may be together, whichever of them were rounded."""
        exact = [self.net * Fraction(each.rate) for each in taxes]
        per_piece = sum((1 + Fraction(each.rate) for each in taxes), Fraction()) / 2
        tolerance = max(Fraction(ONCE_MINOR), self.quantity * per_piece)
        least = min(sum(exact) - tolerance, Fraction(sum(map(floor, exact))))
        return least, max(sum(exact) + tolerance, Fraction(sum(map(ceil, exact))))


def _check_goods(goods: Goods) -> Objection | None:
    where = f"line {goods.line}"
    if goods.quantity < 1:
        return Objection("quantity_invalid", where, f"a quantity of {goods.quantity}")
    if goods.unit_price_minor < 0:
        return Objection("amount_negative", where, f"the unit price {goods.unit_price_minor} is below zero")
    subtotal = goods.quantity * goods.unit_price_minor
    return _check_discounts(where, goods.discounts or (), subtotal)


def _check_discounts(where: str, discounts: Sequence[GivenDiscount], subtotal: int) -> Objection | None:
    for each in discounts:
        if each.amount_minor < 0:
            return Objection("amount_negative", where, f"the discount {each.amount_minor} is below zero")
    total = sum(each.amount_minor for each in discounts)
    if total > subtotal:
        return Objection("discount_too_large", where, f"discounts of {total} on a price of {subtotal}")
    return None


def _check_taxes(taxed: _Taxed, parts: int) -> Objection | None:
    """Compare each tax of one of so many taxed parts of an order with its rate, and all of them with the price."""
    for each in taxed.taxes:
        if each.amount_minor < 0:
            return Objection("amount_negative", taxed.where, f"the tax {each.amount_minor} is below zero")
        if not each.rate.is_finite() or each.rate < 0:
            return Objection("rate_invalid", taxed.where, f"{each.rate} is not a rate")
    # The last line may have the differences from rounding all the others and the order itself.
    rest = Fraction(parts + 1, 2) if parts > 1 else Fraction()
    for each in taxed.taxes:
        if _is_off(each.amount_minor, taxed.net * Fraction(each.rate), taxed.find_bounds(each), rest):
            expected = round_half_up(taxed.net * Fraction(each.rate))
            reason = f"{each.name} at {each.rate} on {taxed.amount_minor} is {expected}, not {each.amount_minor}"
            return Objection("tax_inconsistent", taxed.where, reason)
    total, exact = _add_up(taxed)
    is_off = _is_off(total, exact, taxed.find_bounds(*taxed.taxes), rest * len(taxed.taxes))
    if is_off or (taxed.included and total > taxed.amount_minor):
        reason = f"taxes of {total} do not agree with their rates on {taxed.amount_minor}"
        return Objection("tax_inconsistent", taxed.where, reason)
    return None


def _check_sum(taxed: Sequence[_Taxed]) -> Objection | None:
    """Compare the taxes of the whole order with their rates."""
    sums, bounds = [_add_up(each) for each in taxed], [each.find_bounds(*each.taxes) for each in taxed]
    given = sum(total for total, _ in sums)
    if sum(least for least, _ in bounds) <= given <= sum(most for _, most in bounds):
        return None
    expected = round_half_up(sum((exact for _, exact in sums), Fraction()))
    return Objection("tax_inconsistent", "the cart", f"its taxes add up to {given}, and by their rates to {expected}")


def _is_off(amount: int, exact: Fraction, bounds: tuple[Fraction, Fraction], rest: Fraction) -> bool:
    return not bounds[0] <= amount <= bounds[1] and abs(amount - exact) > rest


def _add_up(taxed: _Taxed) -> tuple[int, Fraction]:
    """Return the sum of the taxes as they were given, and by their rates."""
    rates = sum((Fraction(each.rate) for each in taxed.taxes), Fraction())
    return sum(each.amount_minor for each in taxed.taxes), taxed.net * rates
