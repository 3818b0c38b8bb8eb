"""An amount of money off the lines."""

from pipeline.pricing.promotions.cuts import Cut, Left
from pipeline.pricing.shares import share_out
from pipeline.pricing.terms import Promotion


def cut_amount(promotion: Promotion, left: Left) -> Cut:
    """Take off the amount, or what is left if that is less; nothing if the amount is in another currency."""
    if promotion.amount_minor is None:
        raise ValueError(f"promotion {promotion.id} is an amount without one")
    if promotion.currency != left.currency:
        return Cut(reason=f"it is an amount in {promotion.currency}, and the cart is in {left.currency}")
    amount = min(promotion.amount_minor, sum(left.lines.values()))
    return Cut(dict(zip(left.lines, share_out(amount, list(left.lines.values())), strict=True)))
