"""What the tests of the catalog share: one variant on the shelf, and what the tables hold."""

import time
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from pipeline.catalog import StockRow, VariantRow, set_stock, upsert_variants


def rows_of(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(text(sql))]


def read_stock(connection: Connection) -> list[tuple[Any, ...]]:
    """Every level as (sku, location, on hand, reserved, backorderable)."""
    return rows_of(
        connection,
        "SELECT v.sku, l.code, s.on_hand, s.reserved, s.backorderable FROM stock_levels s"
        " JOIN variants v ON v.id = s.variant_id JOIN locations l ON l.id = s.location_id ORDER BY 1, 2",
    )


def read_versions(connection: Connection) -> list[tuple[Any, ...]]:
    """Which transaction wrote each row last: the same again means that nothing was written."""
    return rows_of(
        connection,
        "SELECT 'variant', id, xmin::text FROM variants UNION ALL SELECT 'price', id, xmin::text FROM prices"
        " UNION ALL SELECT 'location', id, xmin::text FROM locations"
        " UNION ALL SELECT 'level', variant_id, xmin::text FROM stock_levels"
        " UNION ALL SELECT 'movement', id, xmin::text FROM stock_movements ORDER BY 1, 2",
    )


def stock_up(connection: Connection, quantity: int, *, policy: str = "deny", reserved: int = 0) -> None:
    """One variant A at main."""
    upsert_variants(connection, [VariantRow("A", "A", backorder_policy=policy)])
    set_stock(connection, [StockRow("A", "main", quantity)])
    connection.execute(text("UPDATE stock_levels SET reserved = :reserved"), {"reserved": reserved})


def wait_for_blocked(engine: Engine, count: int = 1) -> None:
    """Return once so many connections of this database wait for a lock; fail after 10 s."""
    deadline = time.monotonic() + 10
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    while time.monotonic() < deadline:
        with engine.connect() as connection:
            if connection.scalar(waiting) == count:
                return
        time.sleep(0.01)
    pytest.fail(f"no {count} connections waited for a lock within 10 s")
