"""A million finished checkouts or more, and how much they slow queries, sweeps and the audit.

They are copies of one that the engine has completed itself, so that all invariants hold and the audit checks
them all.
"""

import statistics
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final
from uuid import UUID

from redis import Redis
from sqlalchemy import Engine, text

from models.names import PARTITIONED
from pipeline.audit import take_report
from pipeline.database import connect_reader
from pipeline.operations import read_page
from pipeline.operations.checkout_search import Filter
from pipeline.operations.partitions import MissingPartition, add_months, make_partitions
from pipeline.saga.sweep import sweep
from pipeline.settings import Settings
from scripts.benchmarks.copies import LONGEST_SECONDS, SPACING_SECONDS, TABLES, Spread, copy_rows
from scripts.monitor import Sources, read
from workers.bootstrap import Components

#: Copies in one transaction: so many rows of the largest table take some hundred megabytes of the log.
CHUNK: Final = 250_000

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
    """Copy a completed checkout `count` times, over as many months as they take, each with its partitions."""
    spread = _spread(database, checkout_id, count)
    # The oldest first, so that ids rise from statement to statement too.
    for stop in range(count + 1, 1, -CHUNK):
        numbers = range(max(1, stop - CHUNK), stop)
        with database.begin() as connection:
            # Without triggers and foreign keys: the original row has passed them.
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL synchronous_commit = off"))
            for table, own in TABLES.items():
                copy_rows(connection, table, own, checkout_id, numbers, spread=spread)
    with database.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in BALANCE:
            connection.execute(statement, {"id": checkout_id, "count": count})


def _spread(database: Engine, checkout_id: UUID, count: int) -> Spread:
    """Return when the copies began, and make the partitions of these months."""
    with database.begin() as connection:
        began = connection.execute(
            text("SELECT created_at FROM checkouts WHERE id = :id"), {"id": checkout_id}
        ).scalar_one()
        seconds = min(SPACING_SECONDS, LONGEST_SECONDS / count)
        spread = Spread(int(began.timestamp() * 1000), int(seconds * 1000))
        month: date = (began - timedelta(milliseconds=spread.spacing_millis * count)).date().replace(day=1)
        months: list[date] = []
        while month <= began.date():
            months.append(month)
            month = add_months(month, 1)
        make_partitions(connection, [MissingPartition(table, each) for each in months for table in PARTITIONED])
    return spread


def time_queries(components: Components, settings: Settings) -> dict[str, float]:
    """Return the median milliseconds of a sweep, of the monitor's reads, and of the list of checkouts."""
    primary = components.database
    reader = connect_reader(settings, application_name="growth", primary=primary)
    with Redis.from_url(settings.redis_url.get_secret_value()) as client:
        sources = Sources(settings, reader, primary, client)

        def list_checkouts() -> None:
            with components.database.connect() as connection:
                read_page(connection, Filter())

        return {
            "sweep_ms": _time(
                lambda: sweep(components.transactions, components.publisher, components.backlog, settings)
            ),
            "monitor_ms": _time(lambda: read(sources, 24)),
            "list_ms": _time(list_checkouts),
        }


def time_audit(components: Components, settings: Settings) -> float:
    """Return the seconds of one audit of everything."""
    began = time.perf_counter()
    with components.database.connect() as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.commit()
        take_report(connection, settings)
        connection.execute(text("RESET statement_timeout"))
        connection.commit()
    return time.perf_counter() - began


def _time(check: Callable[[], object]) -> float:
    times = []
    for _ in range(SAMPLES):
        began = time.perf_counter()
        check()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)
