"""Round a total that the payment provider cannot charge down to one that it can. No I/O.

The difference is a discount like any other, so that everything still adds up. It is less than one step of the provider,
and always in the buyer's favour.
"""

from dataclasses import replace
from typing import Final, TypeVar

from pipeline.pricing.terms import AppliedDiscount, Quote, QuoteLine, QuoteShipping

Part = TypeVar("Part", QuoteLine, QuoteShipping)

#: The text of the discount.
TEXT: Final = "Rounded down to what can be charged"


def round_down(quote: Quote, rest_minor: int) -> Quote | None:
    """Take the rest off the parts with the most left, lines before delivery; None if it is more than they have.

    Taxes stay as they are: a part keeps at least the tax that is in its price.
    """
    left = rest_minor
    cuts: dict[int, int] = {}
    parts: list[QuoteLine | QuoteShipping] = [*quote.lines, *([] if quote.shipping is None else [quote.shipping])]
    for position in sorted(range(len(parts)), key=lambda each: -_find_room(parts[each])):
        cuts[position] = min(left, _find_room(parts[position]))
        left -= cuts[position]
    if left:
        return None
    shipping_cut = cuts.get(len(quote.lines), 0)
    return replace(
        quote,
        lines=tuple(_cut(line, cuts[position]) for position, line in enumerate(quote.lines)),
        shipping=None if quote.shipping is None else _cut(quote.shipping, shipping_cut),
        discount_minor=quote.discount_minor + rest_minor,
        shipping_minor=quote.shipping_minor - shipping_cut,
        total_minor=quote.total_minor - rest_minor,
    )


def _find_room(part: QuoteLine | QuoteShipping) -> int:
    return part.subtotal_minor - part.discount_minor - (part.tax_minor if part.tax_included else 0)


def _cut(part: Part, amount_minor: int) -> Part:
    if amount_minor == 0:
        return part
    return replace(
        part,
        discount_minor=part.discount_minor + amount_minor,
        total_minor=part.total_minor - amount_minor,
        discounts=(*part.discounts, AppliedDiscount(TEXT, amount_minor)),
    )
