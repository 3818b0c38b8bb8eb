"""Copies a checkout: every row that belongs to it, with other ids and times."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine, text

#: One finished every thirty seconds: a million are the checkouts of a year.
SPACING_SECONDS: Final = 30

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
#: Ids of the copies: a kind's letter, and the number.
IDS: Final[Mapping[str, str]] = {"checkout": "c", "cart": "a", "order": "0"}

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


def copy_rows(connection: Connection, table: str, own: str, checkout_id: UUID, count: int, **changes: str) -> None:
    """Copy the checkout's rows of this table `count` times; `changes` are columns that differ."""
    columns = {
        column: vary(table, column, kind, f"t.{column}", "copy") for column, kind in read_columns(connection, table)
    }
    columns |= changes
    connection.execute(
        text(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())}"
            f" FROM {table} t, generate_series(1, CAST(:count AS integer)) AS copy WHERE {own}"
        ),
        {"id": checkout_id, "count": count},
    )


def read_columns(connection: Connection, table: str) -> list[tuple[str, str]]:
    """Return the columns that can be written, with their types."""
    schema, _, name = table.rpartition(".")
    found = connection.execute(COLUMNS, {"schema": schema or "public", "table": name})
    return [(row.column_name, row.data_type) for row in found]


def vary(table: str, column: str, kind: str, own: str, copy: str) -> str:
    """Return the SQL value of this column in copy number `copy`; `own` is the original's value."""
    names = {f"{each}_id": each for each in IDS} | {"id": table.removesuffix("s")}
    if kind == "uuid" and names.get(column) in IDS:
        return f"CAST('{IDS[names[column]]}0000000-0000-7000-8000-' || lpad(to_hex({copy}), 12, '0') AS uuid)"
    if column in {"idempotency_key", "key", "reference"} and table != "checkouts":
        return f"{own} || '-' || {copy}"
    if (table, column) == ("orders", "number"):
        return f"{own} + {copy}"
    if kind == "timestamp with time zone":
        return f"{own} - {copy} * interval '{SPACING_SECONDS} s'"
    return own
