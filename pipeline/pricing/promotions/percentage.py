"""A percentage of what is left of the lines."""

from fractions import Fraction

from pipeline.pricing.promotions.cuts import Cut, Left
from pipeline.pricing.shares import round_half_up, share_out
from pipeline.pricing.terms import Promotion


def cut_percentage(promotion: Promotion, left: Left) -> Cut:
    """Round once over all lines together, a half up, then share it out in proportion to what is left of each."""
    if promotion.percent is None:
        raise ValueError(f"promotion {promotion.id} is a percentage without one")
    whole = sum(left.lines.values())
    amount = min(round_half_up(whole * Fraction(promotion.percent) / 100), whole)
    return Cut(dict(zip(left.lines, share_out(amount, list(left.lines.values())), strict=True)))
