"""Allocate units of stock to lines, without I/O: first come, first served; all lines of a checkout, or none."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID


@dataclass(slots=True)
class Level:
    """Free units of a variant at a location. `unlimited`: more may be sold than are on hand."""

    variant_id: int
    location_id: int
    free: int
    unlimited: bool


@dataclass(frozen=True, slots=True)
class Want:
    """A line that needs units."""

    line: int
    variant_id: int
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """Units for a line at a location."""

    checkout_id: UUID
    line: int
    variant_id: int
    location_id: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Short:
    """A line that cannot be served. `requested` counts all lines of its variant up to it, `available` what is left."""

    line: int
    sku: str
    requested: int
    available: int


class Shelf:
    """The free units of a batch's variants, counted down as checkouts are served."""

    def __init__(self, levels: Iterable[Level]) -> None:
        """Take the levels as they were locked, in the order of their location."""
        self._levels: dict[int, list[Level]] = {}
        for level in levels:
            self._levels.setdefault(level.variant_id, []).append(level)

    def serve(self, checkout_id: UUID, wants: Sequence[Want]) -> list[Allocation] | Short:
        """Return the units of all lines of a checkout; or the first line that falls short, with nothing allocated."""
        allocations: list[Allocation] = []
        for want in wants:
            parts = self._allocate(want)
            if parts is None:
                short = self._explain(want, allocations)
                self._restore(allocations)
                return short
            allocations.extend(
                Allocation(checkout_id, want.line, want.variant_id, location_id, quantity)
                for location_id, quantity in parts
            )
        return allocations

    def _allocate(self, want: Want) -> list[tuple[int, int]] | None:
        """Take one location for the whole line, else several, fullest first, else one that may be oversold."""
        levels = self._levels.get(want.variant_id, [])
        whole = next((level for level in levels if level.free >= want.quantity), None)
        if whole is not None:
            parts = [(whole, want.quantity)]
        elif sum(max(level.free, 0) for level in levels) >= want.quantity:
            parts, left = [], want.quantity
            for level in sorted(levels, key=lambda each: -each.free):
                quantity = min(level.free, left)
                if quantity > 0:
                    parts.append((level, quantity))
                    left -= quantity
        else:
            unlimited = next((level for level in levels if level.unlimited), None)
            if unlimited is None:
                return None
            parts = [(unlimited, want.quantity)]
        for level, quantity in parts:
            level.free -= quantity
        return [(level.location_id, quantity) for level, quantity in parts]

    def _restore(self, allocations: Iterable[Allocation]) -> None:
        for allocation in allocations:
            for level in self._levels[allocation.variant_id]:
                if level.location_id == allocation.location_id:
                    level.free += allocation.quantity

    def _explain(self, want: Want, allocations: Iterable[Allocation]) -> Short:
        own = sum(allocation.quantity for allocation in allocations if allocation.variant_id == want.variant_id)
        left = sum(max(level.free, 0) for level in self._levels.get(want.variant_id, []))
        return Short(want.line, want.sku, own + want.quantity, own + left)
