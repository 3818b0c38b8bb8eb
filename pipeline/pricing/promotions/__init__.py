"""The kinds of promotions. A new kind is one file with one function, and one line here (CONTRIBUTING.md).

A function does no I/O: it gets the promotion and what is left to pay, and returns the discount. That the promotion is
valid, is for these lines, has its minimum spend and may be combined has been checked before.
"""

from collections.abc import Callable, Mapping
from typing import Final

from models.states import PromotionKind
from pipeline.pricing.promotions.cuts import Cut, Left
from pipeline.pricing.promotions.fixed_amount import cut_amount
from pipeline.pricing.promotions.free_shipping import cut_shipping
from pipeline.pricing.promotions.percentage import cut_percentage
from pipeline.pricing.terms import Promotion

KINDS: Final[Mapping[PromotionKind, Callable[[Promotion, Left], Cut]]] = {
    PromotionKind.PERCENTAGE: cut_percentage,
    PromotionKind.FIXED_AMOUNT: cut_amount,
    PromotionKind.FREE_SHIPPING: cut_shipping,
}
