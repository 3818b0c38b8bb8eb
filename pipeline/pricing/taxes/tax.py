"""Compute the tax on lines and on shipping, in prices or on top of them, exactly until it is rounded. No I/O.

`line`: each tax is rounded on each line, a half up; the tax in a price is rounded as a whole first, then shared over
its rates. `order`: each rate is added up exactly over everything it is charged on, rounded once, then shared out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from pipeline.pricing.shares import by_remainder, round_half_up, share_out
from pipeline.pricing.terms import AppliedDiscount, AppliedTax, TaxRate
from pipeline.settings import TaxRounding


@dataclass(frozen=True, slots=True)
class Taxable:
    """An amount after its discounts, with the rates that apply to it."""

    amount_minor: int
    tax_included: bool
    rates: tuple[TaxRate, ...]


@dataclass(slots=True)
class Taxed:
    """The taxes of an amount; `relief` is tax that a price does not contain because the buyer accounts for it."""

    taxes: list[AppliedTax] = field(default_factory=list)
    relief: list[AppliedDiscount] = field(default_factory=list)


def choose_rates(rates: Iterable[TaxRate], category: str | None) -> tuple[TaxRate, ...]:
    """Return the rates that apply to a category, one of each name, in the order of their names.

    The most specific applies: region and category, region, category, neither. Of two alike the higher.
    """
    best: dict[str, TaxRate] = {}
    for rate in rates:
        if rate.category not in (None, category):
            continue
        key = rate.key or rate.name
        if key not in best or _rank(rate) > _rank(best[key]):
            best[key] = rate
    return tuple(sorted(best.values(), key=lambda rate: rate.name))


def choose_shipping_rates(rates: Iterable[TaxRate]) -> tuple[TaxRate, ...]:
    """Return the rates for delivery: those of no category that include it, chosen as for goods."""
    return tuple(rate for rate in choose_rates(rates, None) if rate.on_shipping)


def compute_taxes(items: Sequence[Taxable], rounding: TaxRounding, *, reverse_charged: bool) -> list[Taxed]:
    """Return the taxes of each item, in their order. Under reverse charge, rates that are marked for it are zero."""
    shares = [_compute_shares(item) for item in items]
    if rounding is TaxRounding.LINE:
        amounts = [_round_line(item, exact) for item, exact in zip(items, shares, strict=True)]
    else:
        amounts = _round_order(items, shares, reverse_charged=reverse_charged)
    return [_apply(item, parts, reverse_charged=reverse_charged) for item, parts in zip(items, amounts, strict=True)]


def write_rate(rate: Decimal) -> str:
    """Return a rate in canonical form: `0.2`, never `0.20` or `2E-1`, so that equal rates have equal hashes."""
    text = format(rate, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _rank(rate: TaxRate) -> tuple[int, bool, Decimal, bool, bool]:
    return (
        rate.closeness or int(rate.region is not None),
        rate.category is not None,
        rate.rate,
        not rate.reverse_charge,
        rate.on_shipping,
    )


def _compute_shares(item: Taxable) -> list[Fraction]:
    """Return the exact tax of each rate: of what is left of the price without tax, or of the price itself."""
    net = Fraction(item.amount_minor)
    if item.tax_included:
        net /= 1 + sum(Fraction(rate.rate) for rate in item.rates)
    return [net * Fraction(rate.rate) for rate in item.rates]


def _round_line(item: Taxable, exact: Sequence[Fraction]) -> list[int]:
    if item.tax_included:
        return share_out(round_half_up(sum(exact, Fraction())), exact)
    return [round_half_up(part) for part in exact]


def _round_order(
    items: Sequence[Taxable], shares: Sequence[Sequence[Fraction]], *, reverse_charged: bool
) -> list[list[int]]:
    """Round each tax once over the order. Taxes in a price never become more than the price."""
    amounts = [[int(part) for part in exact] for exact in shares]
    for cells in _group(items, reverse_charged=reverse_charged):
        exact = [shares[position][number] for position, number in cells]
        extra = round_half_up(sum(exact, Fraction())) - sum(int(part) for part in exact)
        for position, number in (cells[each] for each in by_remainder(exact)):
            # A price of a few minor units with several taxes in it can be too small for another tax rounded up.
            room = not items[position].tax_included or sum(amounts[position]) < items[position].amount_minor
            if extra and room:
                amounts[position][number] += 1
                extra -= 1
    return amounts


def _group(items: Sequence[Taxable], *, reverse_charged: bool) -> list[list[tuple[int, int]]]:
    """Return the positions of taxes as (item, number of the rate): one group for each name, rate, and kind of price."""
    groups: dict[tuple[str, Decimal, bool, bool], list[tuple[int, int]]] = {}
    for position, item in enumerate(items):
        for number, rate in enumerate(item.rates):
            key = (rate.key or rate.name, rate.rate, rate.reverse_charge and reverse_charged, item.tax_included)
            groups.setdefault(key, []).append((position, number))
    return [groups[key] for key in sorted(groups)]


def _apply(item: Taxable, amounts: Sequence[int], *, reverse_charged: bool) -> Taxed:
    taxed = Taxed()
    for rate, amount in zip(item.rates, amounts, strict=True):
        reversed_ = rate.reverse_charge and reverse_charged
        taxed.taxes.append(AppliedTax(rate.name, write_rate(rate.rate), 0 if reversed_ else amount))
        if reversed_ and item.tax_included and amount:
            taxed.relief.append(AppliedDiscount(f"Reverse charge: {rate.name}", amount))
    return taxed
