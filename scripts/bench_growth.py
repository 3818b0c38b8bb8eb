"""A million finished checkouts, and what they cost those who look and sweep.

The million are copies of one that the engine has completed itself: every row that belongs to it, under other ids and at
other times, so that the books still add up and the audit has them all to check.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Final
from uuid import UUID

from redis import Redis
from sqlalchemy import Connection, Engine, text

from pipeline.register import Filter, read_page
from pipeline.settings import Settings
from pipeline.sweep import sweep
from scripts.monitor import read
from workers.engine import CheckoutEngine

#: One finished every thirty seconds: a million are the books of a year.
SPACING_SECONDS: Final = 30
#: Looks of each kind; their median counts.
LOOKS: Final = 15

#: What belongs to one checkout, in the order of the keys between them, and the column that says to which.
TABLES: Final[Mapping[str, str]] = {
    "carts": "id = (SELECT cart_id FROM checkouts WHERE id = :id)",
    "cart_lines": "cart_id = (SELECT cart_id FROM checkouts WHERE id = :id)",
    "checkouts": "id = :id",
    "request_keys": "checkout_id = :id",
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
# What was sold besides was received before, and the coupon was used as often.
BALANCE: Final = (
    text("""
        INSERT INTO stock_movements (variant_id, location_id, kind, quantity)
        SELECT variant_id, location_id, 'receive', quantity * CAST(:count AS integer) FROM reservations
        WHERE checkout_id = :id
    """),
    text("""
        UPDATE coupons c SET used = used + CAST(:count AS integer)
        FROM redemptions r WHERE r.checkout_id = :id AND r.code = c.code
    """),
    text("SELECT setval('order_numbers', nextval('order_numbers') + CAST(:count AS integer))"),
)


def copy_finished(database: Engine, checkout_id: UUID, count: int) -> None:
    """Copy a completed checkout so many times, and have PostgreSQL take stock of what it has then."""
    with database.begin() as connection:
        # No triggers, no checks of keys: each row has been through them once.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        for table, own in TABLES.items():
            _copy(connection, table, own, checkout_id, count)
        for statement in BALANCE:
            connection.execute(statement, {"id": checkout_id, "count": count})
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))


def _copy(connection: Connection, table: str, own: str, checkout_id: UUID, count: int) -> None:
    schema, _, name = table.rpartition(".")
    found = connection.execute(COLUMNS, {"schema": schema or "public", "table": name})
    columns = {row.column_name: _vary(table, row.column_name, row.data_type) for row in found}
    connection.execute(
        text(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())}"
            f" FROM {table} t, generate_series(1, CAST(:count AS integer)) AS copy WHERE {own}"
        ),
        {"id": checkout_id, "count": count},
    )


def _vary(table: str, column: str, kind: str) -> str:
    """Return what stands in this column of a copy, by its number."""
    own = f"t.{column}"
    names = {f"{each}_id": each for each in IDS} | {"id": table.removesuffix("s")}
    if kind == "uuid" and names.get(column) in IDS:
        return f"CAST('{IDS[names[column]]}0000000-0000-7000-8000-' || lpad(to_hex(copy), 12, '0') AS uuid)"
    if column in {"idempotency_key", "key", "reference"} and table != "checkouts":
        return f"{own} || '-' || copy"
    if (table, column) == ("orders", "number"):
        return f"{own} + copy"
    if kind == "timestamp with time zone":
        return f"{own} - copy * interval '{SPACING_SECONDS} s'"
    return own


def time_looks(engine: CheckoutEngine, settings: Settings) -> dict[str, float]:
    """Return the median milliseconds of a tick of the sweep, of what `monitor` reads, and of the list of checkouts."""
    with Redis.from_url(settings.redis_url.get_secret_value()) as client:

        def list_checkouts() -> None:
            with engine.database.connect() as connection:
                read_page(connection, Filter())

        return {
            "sweep_ms": _time(lambda: sweep(engine.driver, engine.backlog, settings)),
            "monitor_ms": _time(lambda: read(engine.database, client, settings, 24)),
            "list_ms": _time(list_checkouts),
        }


def _time(look: Callable[[], object]) -> float:
    times = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        look()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)
