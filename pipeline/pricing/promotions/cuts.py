"""The input and the result of a promotion."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Left:
    """What is left to pay after earlier discounts: of each line of the promotion, by its number, and of shipping."""

    currency: str
    lines: Mapping[int, int]
    shipping_minor: int


@dataclass(frozen=True, slots=True)
class Cut:
    """The discount of a promotion, never more than was left."""

    lines: Mapping[int, int] = field(default_factory=dict)
    shipping_minor: int = 0

    @property
    def empty(self) -> bool:
        """Whether nothing is taken off."""
        return self.shipping_minor == 0 and not any(self.lines.values())
