"""Allocates units of stock to lines. Pure: first come, first served; all lines of a checkout, or none."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID


@dataclass(slots=True)
class Level:
    """What is free of a variant at a location. `unlimited`: it may be sold beyond what is there."""

    variant_id: int
    location_id: int
    free: int
    unlimited: bool


@dataclass(frozen=True, slots=True)
class Want:
    """A line that asks for units."""

    line: int
    variant_id: int
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """Units held for a line at a location."""

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
        """Serve all lines of a checkout, or say which one fell short and leave the shelf as it was."""
        allocations: list[Allocation] = []
        for want in wants:
            taken = self._take(want)
            if taken is None:
                short = self._explain(want, allocations)
                self._put_back(allocations)
                return short
            allocations.extend(
                Allocation(checkout_id, want.line, want.variant_id, location_id, quantity)
                for location_id, quantity in taken
            )
        return allocations

    def _take(self, want: Want) -> list[tuple[int, int]] | None:
        """Prefer one location for the whole line, then several, fullest first, then one that may be oversold."""
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

    def _put_back(self, allocations: Iterable[Allocation]) -> None:
        for allocation in allocations:
            for level in self._levels[allocation.variant_id]:
                if level.location_id == allocation.location_id:
                    level.free += allocation.quantity

    def _explain(self, want: Want, allocations: Iterable[Allocation]) -> Short:
        mine = sum(allocation.quantity for allocation in allocations if allocation.variant_id == want.variant_id)
        left = sum(max(level.free, 0) for level in self._levels.get(want.variant_id, []))
        return Short(want.line, want.sku, mine + want.quantity, mine + left)
