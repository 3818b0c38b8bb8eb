"""Which promotions apply to an order, in which sequence, and what each takes off. No I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from models.money import Money
from pipeline.pricing.exchange import convert_exactly
from pipeline.pricing.promotions import KINDS
from pipeline.pricing.promotions.cuts import Left
from pipeline.pricing.terms import AppliedDiscount, Goods, Order, Promotion


@dataclass(slots=True)
class Discounts:
    """The discounts of each line, by its number, and of shipping; and why promotions were not used, by their ids."""

    lines: dict[int, list[AppliedDiscount]] = field(default_factory=dict)
    shipping: list[AppliedDiscount] = field(default_factory=list)
    unused: dict[int, str] = field(default_factory=dict)


def find_discounts(order: Order) -> Discounts:
    """Apply the promotions by priority, then id, each once, and to what is left after those before it.

    One that does not combine is used only if none was used before it, and is then the last. One that takes nothing off
    does not count as used. Amounts that the upstream has computed stay as they are.
    """
    goods = sorted(order.goods, key=lambda each: each.line)
    discounts = Discounts(lines={each.line: _read_given(each) for each in goods})
    subtotal = sum(each.quantity * each.unit_price_minor for each in goods)
    used = alone = False
    for promotion in _deduplicate(order.promotions):
        if alone or (used and not promotion.combines):
            objection: str | None = "it does not combine with another discount of this cart"
        else:
            objection = _object_to_minimum(promotion, subtotal, order) or _apply(promotion, order, goods, discounts)
        if objection is None:
            used, alone = True, not promotion.combines
        else:
            discounts.unused[promotion.id] = objection
    return discounts


def explain_unused(order: Order, code: str) -> str:
    """Return why the promotion of this coupon takes nothing off an order."""
    promotion_id = next(each.id for each in order.promotions if each.code == code)
    return find_discounts(order).unused[promotion_id]


def _deduplicate(promotions: Iterable[Promotion]) -> list[Promotion]:
    """Return each promotion once, in their order. An automatic one with a coupon here counts as the coupon's."""
    ordered = sorted(promotions, key=lambda each: (each.priority, each.id, each.code is None, each.code or ""))
    once: dict[int, Promotion] = {}
    for each in ordered:
        once.setdefault(each.id, each)
    return list(once.values())


def _apply(promotion: Promotion, order: Order, goods: Sequence[Goods], discounts: Discounts) -> str | None:
    """Apply the promotion, or return why it takes nothing off."""
    matching = [each for each in goods if _matches(promotion, each)]
    if (promotion.skus or promotion.categories) and not matching:
        return "it is for other goods"
    lines = {
        each.line: each.quantity * each.unit_price_minor - _add_up(discounts.lines[each.line]) for each in matching
    }
    shipping = 0
    if order.shipping is not None and order.shipping.taxes is None:
        shipping = order.shipping.amount_minor - _add_up(discounts.shipping)
    left = Left(order.currency, {each.line: each for each in matching}, lines, shipping)
    cut = KINDS[promotion.kind](promotion, left)
    for line, amount in cut.lines.items():
        if amount:
            discounts.lines[line].append(_describe(promotion, amount))
    if cut.shipping_minor:
        discounts.shipping.append(_describe(promotion, cut.shipping_minor))
    return cut.reason if cut.empty else None


def _object_to_minimum(promotion: Promotion, subtotal: int, order: Order) -> str | None:
    """Return why the goods, before any discount, do not cost enough, or None. The conversion is not rounded."""
    if promotion.minimum_minor <= 0:
        return None
    minimum = Money(promotion.minimum_minor, promotion.currency or order.currency)
    needed = convert_exactly(minimum, order.currency, order.rates)
    if needed is None:
        return f"it needs goods for {minimum}, and there is no current rate from {minimum.currency} to {order.currency}"
    return None if subtotal >= needed else f"it needs goods for {minimum}"


def _matches(promotion: Promotion, goods: Goods) -> bool:
    if _is_given(goods):
        return False
    everything = not promotion.skus and not promotion.categories
    return everything or goods.sku in promotion.skus or goods.category in promotion.categories


def _is_given(goods: Goods) -> bool:
    """Return whether the upstream has priced the line itself: a tax that it computed is of its own price only."""
    return goods.discounts is not None or goods.taxes is not None


def _read_given(goods: Goods) -> list[AppliedDiscount]:
    return [AppliedDiscount(each.text, each.amount_minor) for each in goods.discounts or ()]


def _describe(promotion: Promotion, amount_minor: int) -> AppliedDiscount:
    return AppliedDiscount(promotion.title, amount_minor, promotion.id, promotion.code)


def _add_up(discounts: Sequence[AppliedDiscount]) -> int:
    return sum(each.amount_minor for each in discounts)
