"""Orders of every kind, and an oracle that prices them by another way."""

from decimal import Decimal
from fractions import Fraction
from typing import Final

from hypothesis import strategies as st

from models.states import PromotionKind
from pipeline.pricing.quote import price_order
from pipeline.pricing.terms import Goods, Order, Promotion, QuoteLine, QuoteShipping, Shipping, TaxRate
from pipeline.settings import TaxRounding
from tests.unit.pricing.oracle_kinds import EXPECTED, FIGURES, Seen, prices

CURRENCIES: Final = ("EUR", "USD", "JPY", "BHD")
CATEGORIES: Final = (None, "books", "food")
SKUS: Final = ("cup", "pot", "kettle")
NAMES: Final = ("City", "State", "VAT")

#: At most three names and 30 % each: taxes in a price are then less than half of it.
rates = st.decimals(0, Decimal("0.3"), places=4)


@st.composite
def orders(draw: st.DrawFn) -> Order:
    """Draw an order that our own rules price."""
    numbers = draw(st.lists(st.integers(1, 40), unique=True, max_size=7))
    lines = [
        Goods(
            line=number,
            variant_id=number,
            sku=(sku := draw(st.sampled_from(SKUS))),
            title=sku,
            category=draw(st.sampled_from(CATEGORIES)),
            quantity=draw(st.integers(1, 9)),
            unit_price_minor=draw(prices),
            tax_included=draw(st.booleans()),
            price_source="list",
        )
        for number in numbers
    ]
    delivery = draw(st.none() | st.builds(Shipping, st.just("Parcel"), prices, st.booleans()))
    promotions = draw(
        st.lists(
            st.builds(
                Promotion,
                id=st.integers(1, 10**6),
                title=st.just("Offer"),
                kind=st.sampled_from(PromotionKind),
                **FIGURES,
                currency=st.sampled_from(CURRENCIES[:2]),
                minimum_minor=st.just(0) | prices,
                skus=st.frozensets(st.sampled_from(SKUS), max_size=1),
                categories=st.frozensets(st.sampled_from(CATEGORIES[1:]), max_size=1),
                priority=st.integers(1, 3),
                combines=st.sampled_from((True, True, True, False)),
            ),
            max_size=4,
            unique_by=lambda each: each.id,
        )
    )
    tax_rates = draw(
        st.lists(
            st.builds(
                TaxRate,
                name=st.sampled_from(NAMES),
                rate=rates,
                region=st.sampled_from((None, "X")),
                category=st.sampled_from(CATEGORIES),
                on_shipping=st.booleans(),
                reverse_charge=st.sampled_from((False, False, True)),
            ),
            max_size=6,
            unique_by=lambda each: (each.name, each.region, each.category),
        )
    )
    return Order(
        currency=draw(st.sampled_from(CURRENCIES)),
        goods=tuple(lines),
        shipping=delivery,
        promotions=tuple(promotions),
        tax_rates=tuple(tax_rates),
        tax_id=draw(st.sampled_from((None, "DE136695976"))),
        reverse_charged=draw(st.booleans()),
        tax_rounding=draw(st.sampled_from(TaxRounding)),
    )


def expect_discounts(order: Order) -> tuple[dict[int, int], int]:
    """Return what promotions leave of each line and of shipping."""
    left = {
        each.line: each.quantity * each.unit_price_minor for each in sorted(order.goods, key=lambda each: each.line)
    }
    by_number = {each.line: each for each in order.goods}
    subtotal, shipping = sum(left.values()), 0 if order.shipping is None else order.shipping.amount_minor
    used: list[Promotion] = []
    for promotion in sorted(order.promotions, key=lambda each: (each.priority, each.id)):
        if any(not each.combines for each in used) or (used and not promotion.combines):
            continue
        if promotion.minimum_minor and (promotion.currency != order.currency or subtotal < promotion.minimum_minor):
            continue
        matching = [
            number
            for number in left
            if not (promotion.skus or promotion.categories)
            or by_number[number].sku in promotion.skus
            or by_number[number].category in promotion.categories
        ]
        if (promotion.skus or promotion.categories) and not matching:
            continue
        seen = Seen(order.currency, [by_number[each] for each in matching], [left[each] for each in matching], shipping)
        off_lines, off_shipping = EXPECTED[promotion.kind](promotion, seen)
        for number, part in zip(matching, off_lines, strict=True):
            left[number] -= part
        shipping -= off_shipping
        if off_shipping or any(off_lines):
            used.append(promotion)
    return left, shipping


def expect_rates(order: Order, category: str | None, *, for_shipping: bool) -> dict[str, TaxRate]:
    """Return the rates of a category by name: the places a rate can stand, the least specific first."""
    found: dict[str, TaxRate] = {}
    for region, own in ((None, None), (None, category), ("X", None), ("X", category)):
        found |= {rate.name: rate for rate in order.tax_rates if (rate.region, rate.category) == (region, own)}
    return {name: found[name] for name in sorted(found) if found[name].on_shipping or not for_shipping}


Part = tuple[QuoteLine | QuoteShipping, int, dict[str, TaxRate]]


def find_parts(order: Order) -> list[Part]:
    """Return each quoted line, and shipping, with what the oracle says is left of it and its rates."""
    quote = price_order(order)
    left, shipping = expect_discounts(order)
    categories = {each.line: each.category for each in order.goods}
    parts: list[Part] = [
        (line, left[line.line], expect_rates(order, categories[line.line], for_shipping=False)) for line in quote.lines
    ]
    if quote.shipping is not None:
        parts.append((quote.shipping, shipping, expect_rates(order, None, for_shipping=True)))
    return parts


def expect_exact(part: Part) -> dict[str, Fraction]:
    quoted, left, named = part
    whole = 1 + sum(Fraction(rate.rate) for rate in named.values()) if quoted.tax_included else Fraction(1)
    return {name: left * Fraction(rate.rate) / whole for name, rate in named.items()}


def read_amounts(order: Order, part: Part) -> dict[str, int]:
    """Return the tax of each name before reverse charge; what is not added to a price is not known, and left out."""
    quoted, _, named = part
    amounts = {}
    for tax, rate in zip(quoted.taxes, named.values(), strict=True):
        amounts[tax.name] = tax.amount_minor
        if rate.reverse_charge and order.reverse_charged:
            assert tax.amount_minor == 0
            relief = [each.amount_minor for each in quoted.discounts if each.text == f"Reverse charge: {tax.name}"]
            amounts[tax.name] = sum(relief)
            if not quoted.tax_included:
                assert relief == []
                del amounts[tax.name]
    return amounts
