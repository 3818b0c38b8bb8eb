"""The input and the result of a promotion."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.pricing.terms import Goods


@dataclass(frozen=True, slots=True)
class Left:
    """The lines of a promotion, by their numbers, and what is left to pay after earlier discounts.

    `goods` has the quantity, the price and the SKU of each line; `lines` what is left of it, and `shipping_minor` what
    is left of shipping. Both mappings have the same keys, in the order of the lines.
    """

    currency: str
    goods: Mapping[int, Goods]
    lines: Mapping[int, int]
    shipping_minor: int


@dataclass(frozen=True, slots=True)
class Cut:
    """The discount of a promotion, never more than was left. `reason` says why it is nothing, if it is nothing."""

    lines: Mapping[int, int] = field(default_factory=dict)
    shipping_minor: int = 0
    reason: str = "it takes nothing off what is left to pay"

    @property
    def empty(self) -> bool:
        """Whether nothing is taken off."""
        return self.shipping_minor == 0 and not any(self.lines.values())
