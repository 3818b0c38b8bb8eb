"""Rows that set stock: units as they shall be, a difference, or units as they were counted at a moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from models.identifiers import normalize_location
from pipeline.errors import Code, Conflict

__all__ = [
    "Mismatch",
    "Objection",
    "Recount",
    "Shortfall",
    "StockChange",
    "StockCount",
    "StockDelta",
    "StockInput",
    "StockRefused",
    "StockRow",
]


@dataclass(frozen=True, slots=True)
class _Placed:
    """A variant at a location, whose name is normalised; ValueError for one that is no name."""

    sku: str
    location: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "location", normalize_location(self.location))


@dataclass(frozen=True, slots=True)
class StockRow(_Placed):
    """Units on hand as they shall be, reserved ones included.

    `expected` is what the writer has seen on hand: a sale in between is not overwritten. Without it the level must be
    new, or have the quantity already.
    """

    quantity: int
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class StockDelta(_Placed):
    """So many units more (what came in), or fewer when below zero (what broke, or was lost)."""

    delta: int


@dataclass(frozen=True, slots=True)
class StockCount(_Placed):
    """Units that were on hand at a moment of the database's clock. Units sold since are subtracted."""

    quantity: int
    counted_at: datetime


StockInput = StockRow | StockDelta | StockCount


@dataclass(frozen=True, slots=True)
class StockChange:
    """Units on hand before and after; the same when there was nothing to change."""

    sku: str
    location: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A stock level that would have fewer units than are reserved.

    `is_requested`: the level was to be set; otherwise it is at another location, and the variant's policy changes it.
    """

    sku: str
    location: str
    reserved: int
    quantity: int
    is_requested: bool = True


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A stock level that has another number of units than was expected; None: it was expected to be new."""

    sku: str
    location: str
    on_hand: int
    expected: int | None


@dataclass(frozen=True, slots=True)
class Recount:
    """A stock level that was set by hand since it was counted, so that it is unknown which of the two is right."""

    sku: str
    location: str
    on_hand: int
    counted_at: datetime


Objection = Shortfall | Mismatch | Recount


class StockRefused(Conflict):
    """The refusal to set stock; nothing was changed. `objections` has every such level."""

    def __init__(self, objections: Sequence[Objection]) -> None:
        """Take at least one; the code and the sentence are about the first."""
        code, detail = explain(objections[0])
        super().__init__(code, **detail)
        self.objections = tuple(objections)


def explain(objection: Objection) -> tuple[Code, dict[str, Any]]:
    """Return the code of an objection, and the facts of its sentence."""
    where = {"sku": objection.sku, "location": objection.location}
    match objection:
        case Shortfall(is_requested=True):
            return Code.STOCK_RESERVED, {**where, "reserved": objection.reserved, "quantity": objection.quantity}
        case Shortfall():
            return Code.STOCK_OVERSOLD, {**where, "reserved": objection.reserved, "quantity": objection.quantity}
        case Mismatch(expected=None):
            return Code.STOCK_EXPECTATION_REQUIRED, {**where, "on_hand": objection.on_hand}
        case Mismatch():
            return Code.STOCK_CHANGED, {**where, "on_hand": objection.on_hand, "expected": objection.expected}
        case Recount():
            counted = objection.counted_at.isoformat(timespec="seconds")
            return Code.STOCK_COUNT_OUTDATED, {**where, "on_hand": objection.on_hand, "counted_at": counted}
        case _:
            assert_never(objection)
