"""Copies a checkout: every row that belongs to it, with other ids and times."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine, text

#: One finished every thirty seconds: a million are the checkouts of a year. More of them are spread over three years.
SPACING_SECONDS: Final = 30
LONGEST_SECONDS: Final = 3 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class Spread:
    """When copies began, for ids in the order of time: this many milliseconds apart, before the original."""

    began_millis: int
    spacing_millis: int = SPACING_SECONDS * 1000

    @property
    def spacing(self) -> str:
        """The interval between two copies."""
        return f"interval '{self.spacing_millis} ms'"


#: The tables of a checkout in the order of their foreign keys, each with the condition for its rows.
TABLES: Final[Mapping[str, str]] = {
    "carts": "id = (SELECT cart_id FROM checkouts WHERE id = :id)",
    "cart_lines": "cart_id = (SELECT cart_id FROM checkouts WHERE id = :id)",
    "checkouts": "id = :id",
    "checkout_lines": "checkout_id = :id",
    "idempotency_keys": "checkout_id = :id",
    "events": "checkout_id = :id",
    "reservations": "checkout_id = :id",
    "stock_movements": "checkout_id = :id",
    "price_locks": "checkout_id = :id",
    "price_lock_lines": "checkout_id = :id",
    "redemptions": "checkout_id = :id",
    "payments": "checkout_id = :id",
    "payment_operations": "checkout_id = :id",
    "orders": "checkout_id = :id",
    "order_lines": "order_id = (SELECT id FROM orders WHERE checkout_id = :id)",
    "sandbox.payments": "checkout_id = :id",
    "sandbox.entries": "reference = (SELECT reference FROM payments WHERE checkout_id = :id)",
}
#: The tables of what happened to its order, likewise. No restock: stock that came back would have to be received less.
CHANGE_TABLES: Final[Mapping[str, str]] = {
    "order_changes": "checkout_id = :id",
    "order_change_lines": "change_id IN (SELECT id FROM order_changes WHERE checkout_id = :id)",
    "refunds": "checkout_id = :id",
    "sandbox.refunds": "payment = (SELECT reference FROM payments WHERE checkout_id = :id)",
}
#: Ids of the copies: a kind's letter, and the number.
IDS: Final[Mapping[str, str]] = {"checkout": "c", "cart": "a", "order": "0"}
#: Columns with the id of a change. A checkout has several, so the original's last digits go along.
CHANGE_IDS: Final = frozenset({("order_changes", "id"), ("order_change_lines", "change_id"), ("refunds", "change_id")})

COLUMNS: Final = text("""
    SELECT column_name, data_type FROM information_schema.columns
    WHERE table_schema = :schema AND table_name = :table AND is_identity = 'NO' AND is_generated = 'NEVER'
    ORDER BY ordinal_position
""")


def vacuum_and_checkpoint(database: Engine) -> None:
    """Update PostgreSQL's statistics and write a checkpoint, before anything is measured."""
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))


def copy_rows(
    connection: Connection,
    table: str,
    own: str,
    checkout_id: UUID,
    numbers: range,
    *,
    spread: Spread | None = None,
    changes: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Copy the checkout's rows of this table once for each number; `changes` are columns that differ.

    The oldest first: ids that rise fill an index page by page.
    """
    columns = {
        column: vary(table, column, kind, f"t.{column}", "copy", spread)
        for column, kind in read_columns(connection, table)
    }
    columns.update(changes)
    connection.execute(
        text(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())}"
            f" FROM generate_series(CAST(:last AS integer), :first, -1) AS copy CROSS JOIN {table} t WHERE {own}"
        ),
        {"id": checkout_id, "first": numbers.start, "last": numbers.stop - 1},
    )


def read_columns(connection: Connection, table: str) -> list[tuple[str, str]]:
    """Return the columns that can be written, with their types."""
    schema, _, name = table.rpartition(".")
    found = connection.execute(COLUMNS, {"schema": schema or "public", "table": name})
    return [(row.column_name, row.data_type) for row in found]


def vary(table: str, column: str, kind: str, own: str, copy: str, spread: Spread | None = None) -> str:
    """Return the SQL value of this column in copy number `copy`; `own` is the original's value.

    With `spread` an id is the UUIDv7 of its copy's time.
    """
    names = {f"{each}_id": each for each in IDS} | {"id": table.removesuffix("s")}
    if kind == "uuid" and names.get(column) in IDS and spread is not None:
        millis = f"lpad(to_hex({spread.began_millis} - CAST({copy} AS bigint) * {spread.spacing_millis}), 12, '0')"
        return f"CAST({millis} || '7{IDS[names[column]]}008000' || lpad(to_hex({copy}), 12, '0') AS uuid)"
    if kind == "uuid" and names.get(column) in IDS:
        return f"CAST('{IDS[names[column]]}0000000-0000-7000-8000-' || lpad(to_hex({copy}), 12, '0') AS uuid)"
    if (table, column) in CHANGE_IDS:
        spread = spread or Spread(0)
        millis = f"lpad(to_hex({spread.began_millis} - CAST({copy} AS bigint) * {spread.spacing_millis}), 12, '0')"
        return (
            f"CAST({millis} || '7' || right(CAST({own} AS text), 3) || '8000' || lpad(to_hex({copy}), 12, '0') AS uuid)"
        )
    if column in {"idempotency_key", "operation_id"}:
        # It begins with the id of its checkout, whose text has 36 characters.
        return f"{vary(table, 'checkout_id', 'uuid', own, copy, spread)} || substr({own}, 37)"
    if column in {"key", "reference", "payment"} and table != "checkouts":
        return f"{own} || '-' || {copy}"
    if (table, column) == ("orders", "number"):
        return f"{own} + {copy}"
    if kind == "timestamp with time zone":
        return f"{own} - {copy} * {(spread or Spread(0)).spacing}"
    return own
