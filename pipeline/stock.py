"""How many there are: set by the thousand, one round trip per statement, and written to the ledger.

Call `set_stock` once per transaction: it locks stock rows in the engine's order, and a second call could take others
in another one.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from models.identifiers import normalize_location
from models.states import MovementKind
from pipeline import locks
from pipeline.errors import Code, Conflict
from pipeline.skus import find_variants, index_rows

# The first condition spares the sequence, the second one is for two callers at once.
CREATE_LOCATIONS: Final = text("""
    INSERT INTO locations (code) SELECT given.code FROM unnest(CAST(:codes AS text[])) AS given (code)
    WHERE NOT EXISTS (SELECT FROM locations l WHERE l.code = given.code)
    ON CONFLICT (code) DO NOTHING
""")

FIND_LOCATIONS: Final = text("""
    SELECT code, id FROM locations WHERE code = ANY(CAST(:codes AS text[]))
""")

CREATE_LEVELS: Final = text("""
    INSERT INTO stock_levels (variant_id, location_id, on_hand)
    SELECT k.variant_id, k.location_id, 0
    FROM unnest(CAST(:variants AS bigint[]), CAST(:locations AS bigint[])) AS k (variant_id, location_id)
    WHERE NOT EXISTS (SELECT FROM stock_levels s
                      WHERE s.variant_id = k.variant_id AND s.location_id = k.location_id)
    ORDER BY k.variant_id, k.location_id
    ON CONFLICT (variant_id, location_id) DO NOTHING
    RETURNING variant_id, location_id
""")

DESCRIBE_LEVELS: Final = text("""
    SELECT k.variant_id, k.location_id, v.sku, l.code AS location, v.backorder_policy = 'continue' AS may_oversell
    FROM unnest(CAST(:variants AS bigint[]), CAST(:locations AS bigint[])) AS k (variant_id, location_id)
    JOIN variants v ON v.id = k.variant_id JOIN locations l ON l.id = k.location_id
""")

WRITE_LEVELS: Final = text("""
    UPDATE stock_levels s SET on_hand = t.on_hand, backorderable = t.backorderable
    FROM unnest(CAST(:variants AS bigint[]), CAST(:locations AS bigint[]), CAST(:quantities AS bigint[]),
                CAST(:backorderables AS boolean[])) AS t (variant_id, location_id, on_hand, backorderable)
    WHERE s.variant_id = t.variant_id AND s.location_id = t.location_id
""")

WRITE_MOVEMENTS: Final = text("""
    INSERT INTO stock_movements (variant_id, location_id, kind, quantity)
    SELECT * FROM unnest(CAST(:variants AS bigint[]), CAST(:locations AS bigint[]), CAST(:kinds AS text[]),
                         CAST(:quantities AS bigint[]))
""")


@dataclass(frozen=True, slots=True)
class StockRow:
    """Units on hand as they shall be, those held by checkouts included. `location` is normalised as it is made."""

    sku: str
    location: str
    quantity: int

    def __post_init__(self) -> None:
        """Normalise the location; ValueError for one that is no name."""
        object.__setattr__(self, "location", normalize_location(self.location))


@dataclass(frozen=True, slots=True)
class StockChange:
    """Units on hand before and after; the same when there was nothing to change."""

    sku: str
    location: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A stock level that would be left with fewer units than checkouts hold."""

    sku: str
    location: str
    reserved: int
    quantity: int


class StockReserved(Conflict):
    """Checkouts hold more than would be left, and nothing was changed. `shortfalls` has every such level."""

    def __init__(self, shortfalls: Sequence[Shortfall]) -> None:
        """Take at least one; the sentence is about the first."""
        first = shortfalls[0]
        super().__init__(
            Code.STOCK_RESERVED,
            sku=first.sku,
            location=first.location,
            reserved=first.reserved,
            quantity=first.quantity,
        )
        self.shortfalls = tuple(shortfalls)


def set_stock(connection: Connection, rows: Iterable[StockRow]) -> list[StockChange]:
    """Set the units on hand, write the difference to the ledger, and return before and after of each row, as given.

    The first movement of a new level is a `receive`, a later one an `adjust`, and there is none when nothing differs:
    on hand always equals the sum of the ledger. The variant's backorder policy is copied to all its levels. Creates
    missing locations. Raises StockReserved, with nothing changed, when a level that may not be oversold would be left
    with fewer units than are held.
    """
    by_key = index_rows(rows, lambda row: (row.sku, row.location))
    # A savepoint: on a refusal the new locations and empty levels go too, whatever the caller does with the error.
    with connection.begin_nested():
        ids = find_variants(connection, {sku for sku, _ in by_key})
        places = _ensure_locations(connection, {location for _, location in by_key})
        targets = {(ids[row.sku], places[row.location]): row.quantity for row in by_key.values()}
        created = _create_levels(connection, sorted(targets))
        levels = _lock_levels(connection, targets)
        short = [level for level in levels if not level.may_oversell and level.reserved > level.after]
        if short:
            raise StockReserved([Shortfall(item.sku, item.location, item.reserved, item.after) for item in short])
        _write_levels(connection, [level for level in levels if level.is_stale], created)
    before = {(level.sku, level.location): level.before for level in levels}
    return [StockChange(row.sku, row.location, before[key], row.quantity) for key, row in by_key.items()]


@dataclass(frozen=True, slots=True)
class _Level:
    """A locked stock level, as it is and as it shall be."""

    variant_id: int
    location_id: int
    sku: str
    location: str
    before: int
    after: int
    reserved: int
    backorderable: bool
    may_oversell: bool

    @property
    def is_stale(self) -> bool:
        return self.before != self.after or self.backorderable != self.may_oversell


def _ensure_locations(connection: Connection, codes: Iterable[str]) -> dict[str, int]:
    bound = {"codes": sorted(codes)}
    connection.execute(CREATE_LOCATIONS, bound)
    found = connection.execute(FIND_LOCATIONS, bound)
    return {row.code: row.id for row in found}


def _create_levels(connection: Connection, keys: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Create missing levels, empty, and return those. Of two callers at once one creates, the other waits for it."""
    created = connection.execute(
        CREATE_LEVELS,
        {"variants": [variant_id for variant_id, _ in keys], "locations": [location_id for _, location_id in keys]},
    )
    return {(row.variant_id, row.location_id) for row in created}


def _lock_levels(connection: Connection, targets: Mapping[tuple[int, int], int]) -> list[_Level]:
    """Lock every level of the variants, at other places too: a policy is the variant's, and reaches them all."""
    locked = locks.lock_stock(connection, sorted({variant_id for variant_id, _ in targets}))
    # Read only now, under the locks: whoever changed a policy and the stock before us has committed both.
    found = connection.execute(
        DESCRIBE_LEVELS,
        {"variants": [row.variant_id for row in locked], "locations": [row.location_id for row in locked]},
    )
    described = {(row.variant_id, row.location_id): row for row in found}
    levels = []
    for row in locked:
        key = (row.variant_id, row.location_id)
        levels.append(
            _Level(
                variant_id=row.variant_id,
                location_id=row.location_id,
                sku=described[key].sku,
                location=described[key].location,
                before=row.on_hand,
                after=targets.get(key, row.on_hand),
                reserved=row.reserved,
                backorderable=row.backorderable,
                may_oversell=described[key].may_oversell,
            )
        )
    return levels


def _write_levels(connection: Connection, levels: Sequence[_Level], created: Set[tuple[int, int]]) -> None:
    connection.execute(
        WRITE_LEVELS,
        {
            "variants": [level.variant_id for level in levels],
            "locations": [level.location_id for level in levels],
            "quantities": [level.after for level in levels],
            "backorderables": [level.may_oversell for level in levels],
        },
    )
    moved = [level for level in levels if level.before != level.after]
    connection.execute(
        WRITE_MOVEMENTS,
        {
            "variants": [level.variant_id for level in moved],
            "locations": [level.location_id for level in moved],
            "kinds": [_movement_kind(level, created).value for level in moved],
            "quantities": [level.after - level.before for level in moved],
        },
    )


def _movement_kind(level: _Level, created: Set[tuple[int, int]]) -> MovementKind:
    # What comes in is received; a new level that starts below zero (sold on backorder before) is an adjustment.
    return (
        MovementKind.RECEIVE
        if (level.variant_id, level.location_id) in created and level.after > 0
        else MovementKind.ADJUST
    )
