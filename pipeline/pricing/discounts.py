"""Which promotions apply to an order, in which order, and what each takes off. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.pricing.cuts import Left
from pipeline.pricing.promotions import KINDS
from pipeline.pricing.terms import AppliedDiscount, Goods, Order, Promotion


@dataclass(slots=True)
class Discounts:
    """The discounts of each line, by its number, and of shipping."""

    lines: dict[int, list[AppliedDiscount]] = field(default_factory=dict)
    shipping: list[AppliedDiscount] = field(default_factory=list)


def find_discounts(order: Order) -> Discounts:
    """Apply the promotions by priority, then id, each to what those before it have left.

    One that does not combine is used only if none was used before it, and is then the last. One that takes nothing off
    has not been used. Amounts that the upstream has computed stay as they are.
    """
    goods = sorted(order.goods, key=lambda each: each.line)
    discounts = Discounts(lines={each.line: _read_given(each) for each in goods})
    subtotal = sum(each.quantity * each.unit_price_minor for each in goods)
    used = False
    for promotion in sorted(order.promotions, key=lambda each: (each.priority, each.id)):
        if (used and not promotion.combines) or not _has_minimum(promotion, subtotal, order.currency):
            continue
        if _apply(promotion, order, goods, discounts):
            used = True
            if not promotion.combines:
                break
    return discounts


def _apply(promotion: Promotion, order: Order, goods: Sequence[Goods], discounts: Discounts) -> bool:
    matching = [each for each in goods if _matches(promotion, each)]
    if (promotion.skus or promotion.categories) and not matching:
        return False
    lines = {
        each.line: each.quantity * each.unit_price_minor - _add_up(discounts.lines[each.line]) for each in matching
    }
    shipping = 0
    if order.shipping is not None and order.shipping.taxes is None:
        shipping = order.shipping.amount_minor - _add_up(discounts.shipping)
    cut = KINDS[promotion.kind](promotion, Left(order.currency, lines, shipping))
    for line, amount in cut.lines.items():
        if amount:
            discounts.lines[line].append(_describe(promotion, amount))
    if cut.shipping_minor:
        discounts.shipping.append(_describe(promotion, cut.shipping_minor))
    return not cut.empty


def _has_minimum(promotion: Promotion, subtotal: int, currency: str) -> bool:
    """Say whether the goods, before any discount, cost enough. A minimum in another currency is never reached."""
    if promotion.minimum_minor <= 0:
        return True
    return promotion.currency in (None, currency) and subtotal >= promotion.minimum_minor


def _matches(promotion: Promotion, goods: Goods) -> bool:
    if _is_given(goods):
        return False
    everything = not promotion.skus and not promotion.categories
    return everything or goods.sku in promotion.skus or goods.category in promotion.categories


def _is_given(goods: Goods) -> bool:
    """Say whether the upstream has priced the line itself: a tax that it computed is that of its own price only."""
    return goods.discounts is not None or goods.taxes is not None


def _read_given(goods: Goods) -> list[AppliedDiscount]:
    return [AppliedDiscount(each.text, each.amount_minor) for each in goods.discounts or ()]


def _describe(promotion: Promotion, amount_minor: int) -> AppliedDiscount:
    return AppliedDiscount(promotion.title, amount_minor, promotion.id, promotion.code)


def _add_up(discounts: Sequence[AppliedDiscount]) -> int:
    return sum(each.amount_minor for each in discounts)
