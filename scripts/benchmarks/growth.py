"""A million finished checkouts, and how much they slow queries and sweeps.

The million are copies of one that the engine has completed itself, so that all invariants hold and the audit checks
them all.
"""

import statistics
import time
from collections.abc import Callable
from typing import Final
from uuid import UUID

from redis import Redis
from sqlalchemy import Engine, text

from pipeline.operations import read_page
from pipeline.operations.checkout_search import Filter
from pipeline.saga.sweep import sweep
from pipeline.settings import Settings
from scripts.benchmarks.copies import TABLES, copy_rows
from scripts.monitor import read
from workers.bootstrap import Components

#: Samples of each kind; their median counts.
SAMPLES: Final = 15

# The copies' units were received first, and the coupon was used as often.
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
    """Copy a completed checkout `count` times."""
    with database.begin() as connection:
        # Without triggers and foreign keys: the original row has passed them.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        for table, own in TABLES.items():
            copy_rows(connection, table, own, checkout_id, count)
        for statement in BALANCE:
            connection.execute(statement, {"id": checkout_id, "count": count})


def time_queries(components: Components, settings: Settings) -> dict[str, float]:
    """Return the median milliseconds of a sweep, of the monitor's reads, and of the list of checkouts."""
    with Redis.from_url(settings.redis_url.get_secret_value()) as client:

        def list_checkouts() -> None:
            with components.database.connect() as connection:
                read_page(connection, Filter())

        return {
            "sweep_ms": _time(
                lambda: sweep(components.transactions, components.publisher, components.backlog, settings)
            ),
            "monitor_ms": _time(lambda: read(components.database, client, settings, 24)),
            "list_ms": _time(list_checkouts),
        }


def _time(check: Callable[[], object]) -> float:
    times = []
    for _ in range(SAMPLES):
        began = time.perf_counter()
        check()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)
