"""Compute the quote of an order: what the buyer will be charged, in integer minor units. No I/O.

Discounts first, then taxes on what is left. The sequence in which lines, promotions or rates are given does not matter:
lines count in the order of their numbers.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC
from decimal import Decimal
from typing import Any, Final

from pipeline.pricing.external import check_external
from pipeline.pricing.promotions.discounts import find_discounts
from pipeline.pricing.taxes.tax import Taxable, Taxed, choose_rates, choose_shipping_rates, compute_taxes, write_rate
from pipeline.pricing.terms import (
    AppliedDiscount,
    AppliedTax,
    ExchangeRate,
    GivenTax,
    Goods,
    Order,
    Quote,
    QuoteLine,
    QuoteShipping,
    Shipping,
    to_fields,
)
from pipeline.settings import TaxRounding

#: How a quote was rounded, in words that are frozen with it.
ROUNDING: Final = {
    TaxRounding.LINE: "half-up, tax per line",
    TaxRounding.ORDER: "half-up, tax per order",
}

#: Fields with whatever JSON their sender gave.
FREE_FIELDS: Final = ("shipping_address", "billing_address", "tax_id_validated")


def price_order(order: Order) -> Quote:
    """Return the quote of an order that `check_external` has accepted; any other is a programming error."""
    objection = check_external(order)
    if objection is not None:
        raise ValueError(f"{objection.where} was not checked: {objection.reason}")
    goods = sorted(order.goods, key=lambda each: each.line)
    if len({each.line for each in goods}) < len(goods):
        raise ValueError("two lines have one number")
    discounts = find_discounts(order)
    cut = [discounts.lines[each.line] for each in goods]
    taxed = _tax(order, goods, cut, discounts.shipping)
    lines = tuple(_write_line(*each) for each in zip(goods, cut, taxed, strict=False))
    shipping = _write_shipping(order.shipping, discounts.shipping, taxed[-1]) if order.shipping is not None else None
    return _add_up(order, lines, shipping)


def hash_quote(quote: Quote) -> str:
    """Return the SHA-256 over the canonical JSON of the whole quote: equal quotes and only those have equal hashes.

    Keys are sorted, lines are in the order of their numbers. Amounts are integers and rates are text; only the free
    fields can have a fraction, which is written in its shortest form, and as an integer when it is whole.
    `tax_id_validated` is left out when it is None.
    """
    fields = to_fields(quote)
    if quote.tax_id_validated is None:
        del fields["tax_id_validated"]
    free: dict[str, Any] = {name: _write_whole(fields[name]) for name in FREE_FIELDS if name in fields}
    plain = {**fields, **free, "lines": sorted(quote.lines, key=lambda line: line.line)}
    canonical = json.dumps(
        plain, default=to_fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def _tax(
    order: Order,
    goods: Sequence[Goods],
    cut: Sequence[Sequence[AppliedDiscount]],
    shipping_cut: Sequence[AppliedDiscount],
) -> list[Taxed]:
    """Return the taxes of the lines and then of shipping. Parts that the upstream has taxed keep its taxes."""
    items = [
        Taxable(
            each.quantity * each.unit_price_minor - sum(discount.amount_minor for discount in discounts),
            each.tax_included,
            () if each.taxes is not None else choose_rates(order.tax_rates, each.category),
        )
        for each, discounts in zip(goods, cut, strict=True)
    ]
    given = [each.taxes for each in goods]
    if (shipping := order.shipping) is not None:
        amount = shipping.amount_minor - sum(discount.amount_minor for discount in shipping_cut)
        rates = () if shipping.taxes is not None else choose_shipping_rates(order.tax_rates)
        items.append(Taxable(amount, shipping.tax_included, rates))
        given.append(shipping.taxes)
    computed = compute_taxes(items, order.tax_rounding, reverse_charged=order.reverse_charged)
    return [own if taxes is None else _read_given(taxes) for own, taxes in zip(computed, given, strict=True)]


def _read_given(taxes: Sequence[GivenTax]) -> Taxed:
    return Taxed([AppliedTax(each.name, write_rate(each.rate), each.amount_minor) for each in taxes])


def _compute_amounts(
    subtotal: int, discounts: Sequence[AppliedDiscount], taxed: Taxed, *, tax_included: bool
) -> dict[str, Any]:
    """Return the amounts of a line or of shipping, by the one equation."""
    applied = (*discounts, *taxed.relief)
    discount = sum(each.amount_minor for each in applied)
    tax = sum(each.amount_minor for each in taxed.taxes)
    return {
        "tax_included": tax_included,
        "subtotal_minor": subtotal,
        "discount_minor": discount,
        "tax_minor": tax,
        "total_minor": subtotal - discount + (0 if tax_included else tax),
        "discounts": applied,
        "taxes": tuple(taxed.taxes),
    }


def _write_line(goods: Goods, discounts: Sequence[AppliedDiscount], taxed: Taxed) -> QuoteLine:
    subtotal = goods.quantity * goods.unit_price_minor
    return QuoteLine(
        line=goods.line,
        variant_id=goods.variant_id,
        sku=goods.sku,
        title=goods.title,
        quantity=goods.quantity,
        unit_price_minor=goods.unit_price_minor,
        price_source=goods.price_source,
        **_compute_amounts(subtotal, discounts, taxed, tax_included=goods.tax_included),
    )


def _write_shipping(shipping: Shipping, discounts: Sequence[AppliedDiscount], taxed: Taxed) -> QuoteShipping:
    amounts = _compute_amounts(shipping.amount_minor, discounts, taxed, tax_included=shipping.tax_included)
    return QuoteShipping(title=shipping.title, **amounts)


def _add_up(order: Order, lines: tuple[QuoteLine, ...], shipping: QuoteShipping | None) -> Quote:
    """Return the quote with its sums. `subtotal_minor` is of the goods; discounts and taxes of goods and shipping."""
    parts = (*lines, *(() if shipping is None else (shipping,)))
    return Quote(
        currency=order.currency,
        lines=lines,
        shipping=shipping,
        subtotal_minor=sum(line.subtotal_minor for line in lines),
        discount_minor=sum(part.discount_minor for part in parts),
        shipping_minor=0 if shipping is None else shipping.total_minor,
        tax_minor=sum(part.tax_minor for part in parts),
        total_minor=sum(part.total_minor for part in parts),
        tax_id=order.tax_id,
        tax_id_validated=order.tax_id_validated,
        rounding=ROUNDING[order.tax_rounding],
        shipping_address=order.shipping_address,
        billing_address=order.billing_address,
        **_write_exchange(order.exchange),
    )


def _write_exchange(rate: ExchangeRate | None) -> dict[str, str | None]:
    return {
        "base_currency": None if rate is None else rate.base,
        "exchange_rate": None if rate is None else write_rate(rate.rate),
        "exchange_source": None if rate is None else rate.source,
        "exchange_at": None if rate is None else rate.observed_at.astimezone(UTC).isoformat(),
    }


def _write_whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _write_whole(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_write_whole(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        # The number that JSON shows, and `jsonb` keeps: 1e23 is not 99999999999999991611392, which the float is.
        return int(Decimal(repr(value)))
    return value
