"""What the caller of a checkout expects to be charged."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Expected:
    """What the buyer was shown, as far as it is known: the total, the quote's hash, each line's total by its number.

    A request that names lines must name all of them: a line that was not shown is not charged. Delivery is not a line.
    """

    total_minor: int | None = None
    hash: str | None = None
    lines: Mapping[str, int] = field(default_factory=dict)
