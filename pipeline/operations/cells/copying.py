"""Copies the rows of an owner into another database, in one transaction there, and compares both sides.

Rows are inserted whole, in their last state, as the owner of the tables: the guards refuse changes and removals, and an
insert is neither. What an id of the other database would be in the way of is drawn there anew.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, text

from pipeline.operations.cells.obstacles import VARIANTS, CannotMoveError
from pipeline.operations.cells.owned_tables import OWNED, OwnedTable

#: A transaction here lasts as long as the copy of its owner.
PATIENT: Final = "SET LOCAL idle_in_transaction_session_timeout = 0"

COPY_VARIANTS: Final = text("""
    INSERT INTO variants (id, sku, title, category, backorder_policy, active) OVERRIDING SYSTEM VALUE
    SELECT * FROM unnest(CAST(:id AS bigint[]), CAST(:sku AS text[]), CAST(:title AS text[]), CAST(:category AS text[]),
                         CAST(:backorder_policy AS text[]), CAST(:active AS boolean[]))
    ON CONFLICT (id) DO NOTHING
""")
#: So that the target draws no id again that came with a variant.
RAISE_VARIANT_IDS: Final = text("""
    SELECT setval(CAST('variants_id_seq' AS regclass), there.highest)
    FROM (SELECT max(id) AS highest FROM variants) AS there, variants_id_seq AS drawn
    WHERE there.highest >= drawn.last_value
""")
READ_VARIANTS: Final = text("""
    SELECT id, sku, title, category, backorder_policy, active FROM variants WHERE id = ANY(CAST(:ids AS bigint[]))
""")
LEVELS: Final = text("""
    SELECT DISTINCT r.variant_id, l.code, s.backorderable FROM reservations r
    JOIN locations l ON l.id = r.location_id
    JOIN stock_levels s ON s.variant_id = r.variant_id AND s.location_id = r.location_id
    WHERE r.checkout_id IN (SELECT id FROM checkouts WHERE owner = :owner)
""")
MAKE_LOCATIONS: Final = text("""
    INSERT INTO locations (code) SELECT DISTINCT code FROM unnest(CAST(:codes AS text[])) AS g (code)
    ON CONFLICT (code) DO NOTHING
""")
#: Without units: nobody but a person knows which of them are the owner's.
MAKE_LEVELS: Final = text("""
    INSERT INTO stock_levels (variant_id, location_id, on_hand, backorderable)
    SELECT g.variant_id, l.id, 0, g.backorderable
    FROM unnest(CAST(:variant_ids AS bigint[]), CAST(:codes AS text[]), CAST(:backorderables AS boolean[]))
         AS g (variant_id, code, backorderable) JOIN locations l USING (code)
    ON CONFLICT (variant_id, location_id) DO NOTHING
""")
#: What was sent from elsewhere names a location only.
SENT_FROM: Final = text("""
    SELECT DISTINCT l.code FROM order_change_lines g JOIN order_changes c ON c.id = g.change_id
    JOIN locations l ON l.id = g.location_id WHERE c.owner = :owner
""")
#: What the owner has sold was on hand in the other cell: here the ledger adds up to what was there before.
BALANCE: Final = text("""
    INSERT INTO stock_movements (variant_id, location_id, kind, quantity)
    SELECT variant_id, location_id, 'balance', -sum(quantity) FROM (
        SELECT variant_id, location_id, quantity FROM stock_movements
        WHERE kind = 'sell' AND checkout_id IN (SELECT id FROM checkouts WHERE owner = :owner)
        UNION ALL SELECT variant_id, location_id, quantity FROM stock_movements
        WHERE checkout_id IS NULL AND kind = 'restock'
          AND change_id IN (SELECT id FROM order_changes WHERE owner = :owner)) AS moved
    GROUP BY variant_id, location_id HAVING sum(quantity) <> 0
""")
#: Uses of a coupon come with their room in its limit: as many are left as before.
USE_COUPONS: Final = text("""
    UPDATE coupons c SET used = c.used + u.uses, usage_limit = c.usage_limit + u.uses
    FROM (SELECT code, count(*) AS uses FROM redemptions
          WHERE returned_at IS NULL AND checkout_id IN (SELECT id FROM checkouts WHERE owner = :owner)
          GROUP BY code) AS u
    WHERE c.code = u.code
""")
#: Of an owner that comes back, only the marks of its keys are here.
FORGET_KEYS: Final = (
    text("DELETE FROM admin_sessions WHERE key_id IN (SELECT id FROM api_keys WHERE owner = :owner)"),
    text("DELETE FROM api_keys WHERE owner = :owner"),
    text("DELETE FROM owner_moves WHERE owner = :owner AND state = 'moved'"),
)

Fingerprints = dict[str, list[Any]]


def take_fingerprints(connection: Connection, owner: str) -> Fingerprints:
    """Return for each table the number of the owner's rows, and the sum of their hashes."""
    cursor = _cursor(connection)
    found: Fingerprints = {}
    for table in OWNED:
        cursor.execute(table.fingerprint, {"owner": owner})
        row = cursor.fetchone()
        found[table.name] = [int(row[0]), row[1]]
    return found


def copy_rows(source: Connection, target: Connection, owner: str) -> Fingerprints:
    """Copy every row of the owner; return the fingerprints, which are those of both sides.

    `source` reads one snapshot. Raises CannotMoveError when a row there is not what it is here.
    """
    values = {"owner": owner}
    for statement in FORGET_KEYS:
        target.execute(statement, values)
    _copy_variants(source, target, values)
    _make_levels(source, target, values)
    locations = _read_names(target, "SELECT code, CAST(id AS text) FROM locations")
    promotions = _read_names(target, "SELECT code, CAST(promotion_id AS text) FROM coupons")
    for table in OWNED:
        _copy(source, target, owner, table, {"location_id": locations, "promotion_id": promotions})
    target.execute(BALANCE, values)
    target.execute(USE_COUPONS, values)
    here, there = take_fingerprints(source, owner), take_fingerprints(target, owner)
    if differing := [name for name in here if here[name] != there[name]]:
        raise CannotMoveError(
            f"The copied rows of {', '.join(differing)} differ from their originals, and are undone: is the other"
            " database of another version?"
        )
    return here


def _copy_variants(source: Connection, target: Connection, values: Mapping[str, Any]) -> None:
    ids = [row.id for row in source.execute(VARIANTS, values)]
    rows = source.execute(READ_VARIANTS, {"ids": ids}).all()
    if rows:
        # Until the sequence is raised, nobody else draws an id.
        target.exec_driver_sql("LOCK TABLE variants IN SHARE ROW EXCLUSIVE MODE")
        target.execute(COPY_VARIANTS, {name: [getattr(row, name) for row in rows] for name in rows[0]._fields})
        target.execute(RAISE_VARIANT_IDS)


def _make_levels(source: Connection, target: Connection, values: Mapping[str, Any]) -> None:
    rows = source.execute(LEVELS, values).all()
    codes = [row.code for row in rows]
    target.execute(MAKE_LOCATIONS, {"codes": [*codes, *source.execute(SENT_FROM, values).scalars()]})
    given = {"variant_ids": [row.variant_id for row in rows], "codes": codes}
    target.execute(MAKE_LEVELS, given | {"backorderables": [row.backorderable for row in rows]})


def _copy(
    source: Connection, target: Connection, owner: str, table: OwnedTable, names: Mapping[str, Mapping[str, str]]
) -> None:
    """Copy the rows of one table as text, which PostgreSQL reads as it has written it."""
    places = [(table.columns.index(name), names[name]) for name in table.named]
    columns = ", ".join(table.columns)
    with (
        _cursor(source).copy(f"COPY ({table.select}) TO STDOUT", {"owner": owner}) as read,
        _cursor(target).copy(f"COPY {table.name} ({columns}) FROM STDIN") as written,
    ):
        for row in read.rows():
            if places:
                changed = list(row)
                for place, ids in places:
                    changed[place] = None if changed[place] is None else ids[changed[place]]
                written.write_row(changed)
            else:
                written.write_row(row)


def _read_names(connection: Connection, query: str) -> dict[str, str]:
    return {row[0]: row[1] for row in connection.exec_driver_sql(query)}


def _cursor(connection: Connection) -> Any:
    """Return a cursor of the driver, in the connection's transaction: SQLAlchemy has no COPY."""
    return connection.connection.cursor()
