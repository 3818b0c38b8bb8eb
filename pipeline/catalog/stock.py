"""Units on hand: set by the thousand, one round trip per statement, and written to the ledger.

Call `set_stock` once per transaction: it locks stock rows in the engine's order, and a second call would lock others
out of that order.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final, assert_never
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import MovementKind
from pipeline.catalog.locations import find_locations
from pipeline.catalog.skus import find_variants, index_rows
from pipeline.catalog.stock_rows import (
    Mismatch,
    Objection,
    Recount,
    Shortfall,
    StockChange,
    StockCount,
    StockDelta,
    StockInput,
    StockRefused,
    StockRow,
)
from pipeline.checkouts import locks

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
    INSERT INTO stock_movements (variant_id, location_id, kind, quantity, change_id)
    SELECT t.*, CAST(:change_id AS uuid)
    FROM unnest(CAST(:variants AS bigint[]), CAST(:locations AS bigint[]), CAST(:kinds AS text[]),
                CAST(:quantities AS bigint[])) AS t
""")


# Of what moved on hand since a moment: what was sold, less what was restocked of it, and whether anything was set by
# hand. A balance stands for sales whose times are not here any more: a count from before the last of them is refused,
# as one before a change by hand.
MOVED_SINCE: Final = text("""
    SELECT k.variant_id, k.location_id,
           coalesce(sum(m.quantity) FILTER (WHERE m.kind IN ('sell', 'restock')), 0)::bigint AS sold,
           coalesce(bool_or(m.kind NOT IN ('sell', 'restock')), false) AS by_hand
    FROM unnest(CAST(:variants AS bigint[]), CAST(:locations AS bigint[]), CAST(:moments AS timestamptz[]))
        AS k (variant_id, location_id, counted_at)
    LEFT JOIN stock_movements m ON m.variant_id = k.variant_id AND m.location_id = k.location_id
        AND m.at > k.counted_at AND m.kind IN ('sell', 'restock', 'receive', 'adjust', 'balance')
    GROUP BY k.variant_id, k.location_id
""")

FIND_STOCKED: Final = text("""
    SELECT v.sku FROM variants v WHERE v.sku = ANY(CAST(:skus AS text[]))
      AND EXISTS (SELECT FROM stock_levels s WHERE s.variant_id = v.id)
""")

Key = tuple[int, int]


def find_stocked(connection: Connection, skus: Iterable[str]) -> set[str]:
    """Return those of these skus that have a stock level, at any location."""
    return set(connection.scalars(FIND_STOCKED, {"skus": list(skus)}))


def set_stock(
    connection: Connection,
    rows: Iterable[StockInput],
    *,
    following: Collection[str] = (),
    create_locations: bool = False,
    change_id: UUID | None = None,
) -> list[StockChange]:
    """Set the units on hand, write the difference to the ledger, and return before and after of each row, as given.

    Units on hand are read under the row lock: a sale that commits before is counted, one that comes after finds the new
    number. The first movement of a new level and a positive difference are a `receive`, anything else an `adjust`, and
    there is none when nothing differs: on hand always equals the sum of the ledger. The variant's backorder policy is
    copied to all its levels, and to those of `following`, skus whose units stay as they are. The movements name
    `change_id`, the batch of the catalog that they belong to.

    Raises, with nothing changed, NotFound for an unknown sku or location (see `pipeline/catalog/locations.py`), and
    StockRefused when a level has not the expected units, was set by hand since it was counted, or may not be oversold
    and would have fewer units than are reserved.
    """
    by_key = index_rows(rows, lambda row: (row.sku, row.location))
    # A savepoint: a refusal removes the new locations and empty levels too, whatever the caller does with the error.
    with connection.begin_nested():
        ids = find_variants(connection, {sku for sku, _ in by_key} | set(following))
        codes = {location for _, location in by_key}
        places = find_locations(connection, codes, create=create_locations) if codes else {}
        requested: dict[Key, StockInput] = {(ids[sku], places[code]): row for (sku, code), row in by_key.items()}
        created = _create_levels(connection, sorted(requested))
        levels = _lock_levels(connection, sorted(ids.values()))
        targets, objections = _find_targets(levels, requested, created, _read_moved(connection, requested))
        objections += [
            Shortfall(
                *(level.sku, level.location, level.reserved, targets[level.key]),
                is_requested=level.key in requested,
            )
            for level in levels
            if not level.may_oversell and level.reserved > targets[level.key]
        ]
        if objections:
            raise StockRefused(objections)
        _write_levels(connection, [level for level in levels if level.is_stale(targets[level.key])], targets)
        _write_movements(connection, levels, targets, requested, created, change_id)
    found = {level.key: level for level in levels}
    return [StockChange(found[key].sku, found[key].location, found[key].before, targets[key]) for key in requested]


@dataclass(frozen=True, slots=True)
class _Level:
    """A locked stock level as it is."""

    key: Key
    sku: str
    location: str
    before: int
    reserved: int
    backorderable: bool
    may_oversell: bool

    def is_stale(self, target: int) -> bool:
        return self.before != target or self.backorderable != self.may_oversell


@dataclass(frozen=True, slots=True)
class _Moved:
    """Movements of a level since it was counted: units restocked less those sold, and whether it was set by hand."""

    sold: int
    by_hand: bool


def _create_levels(connection: Connection, keys: Sequence[Key]) -> set[Key]:
    """Create missing levels, empty, and return those. Of two concurrent callers one creates, the other waits for it."""
    created = connection.execute(
        CREATE_LEVELS,
        {"variants": [variant_id for variant_id, _ in keys], "locations": [location_id for _, location_id in keys]},
    )
    return {(row.variant_id, row.location_id) for row in created}


def _lock_levels(connection: Connection, variant_ids: Sequence[int]) -> list[_Level]:
    """Lock every level of the variants, at other locations too: a policy is the variant's, and applies to all."""
    locked = locks.lock_stock(connection, variant_ids)
    # Read only now, under the row locks: an earlier change of a policy and the stock has been committed.
    found = connection.execute(
        DESCRIBE_LEVELS,
        {"variants": [row.variant_id for row in locked], "locations": [row.location_id for row in locked]},
    )
    described = {(row.variant_id, row.location_id): row for row in found}
    return [
        _Level(
            key=(key := (row.variant_id, row.location_id)),
            sku=described[key].sku,
            location=described[key].location,
            before=row.on_hand,
            reserved=row.reserved,
            backorderable=row.backorderable,
            may_oversell=described[key].may_oversell,
        )
        for row in locked
    ]


def _read_moved(connection: Connection, requested: Mapping[Key, StockInput]) -> dict[Key, _Moved]:
    """Return the movements since the count, of the levels that were counted; read under their row locks."""
    counted = {key: row.counted_at for key, row in requested.items() if isinstance(row, StockCount)}
    if not counted:
        return {}
    found = connection.execute(
        MOVED_SINCE,
        {
            "variants": [variant_id for variant_id, _ in counted],
            "locations": [location_id for _, location_id in counted],
            "moments": list(counted.values()),
        },
    )
    return {(row.variant_id, row.location_id): _Moved(row.sold, row.by_hand) for row in found}


def _find_targets(
    levels: Sequence[_Level], requested: Mapping[Key, StockInput], created: Set[Key], moved: Mapping[Key, _Moved]
) -> tuple[dict[Key, int], list[Objection]]:
    """Return the units that each level shall have, and the objections."""
    targets: dict[Key, int] = {}
    objections: list[Objection] = []
    for level in levels:
        target = level.before
        match requested.get(level.key):
            case None:
                pass
            case StockDelta(delta=delta):
                target += delta
            case StockRow(quantity=target, expected=expected):
                is_expected = level.before == expected if expected is not None else level.key in created
                if not is_expected and (expected is not None or level.before != target):
                    objections.append(Mismatch(level.sku, level.location, level.before, expected))
            case StockCount(quantity=quantity, counted_at=counted_at):
                target = quantity + moved[level.key].sold
                if target != level.before and moved[level.key].by_hand:
                    objections.append(Recount(level.sku, level.location, level.before, counted_at))
            case other:
                assert_never(other)
        targets[level.key] = target
    return targets, objections


def _write_levels(connection: Connection, levels: Sequence[_Level], targets: Mapping[Key, int]) -> None:
    connection.execute(
        WRITE_LEVELS,
        {
            "variants": [level.key[0] for level in levels],
            "locations": [level.key[1] for level in levels],
            "quantities": [targets[level.key] for level in levels],
            "backorderables": [level.may_oversell for level in levels],
        },
    )


def _write_movements(
    connection: Connection,
    levels: Sequence[_Level],
    targets: Mapping[Key, int],
    requested: Mapping[Key, StockInput],
    created: Set[Key],
    change_id: UUID | None,
) -> None:
    moved = {level.key: targets[level.key] - level.before for level in levels if targets[level.key] != level.before}
    connection.execute(
        WRITE_MOVEMENTS,
        {
            "variants": [variant_id for variant_id, _ in moved],
            "locations": [location_id for _, location_id in moved],
            "kinds": [
                # What comes in is received; a new level that starts below zero (sold on backorder before) is adjusted.
                MovementKind.RECEIVE.value
                if units > 0 and (key in created or isinstance(requested[key], StockDelta))
                else MovementKind.ADJUST.value
                for key, units in moved.items()
            ],
            "quantities": list(moved.values()),
            "change_id": change_id,
        },
    )
