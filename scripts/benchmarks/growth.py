"""A million finished checkouts or more, and how much they slow queries, sweeps and the audit.

They are copies of one that the engine has completed itself, so that all invariants hold and the audit checks
them all.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Final
from uuid import UUID

from redis import Redis
from sqlalchemy import Connection, Engine, text

from models.names import PARTITIONED
from pipeline.audit import take_report
from pipeline.database import connect_reader
from pipeline.operations import read_page
from pipeline.operations.checkout_search import Filter
from pipeline.operations.order_detail import read_order_detail
from pipeline.operations.order_search import find_orders
from pipeline.operations.partitions import MissingPartition, add_months, make_partitions
from pipeline.orders.reading import OrderFilter, list_orders, read_order
from pipeline.orders.requests import FulfillmentRequest, PlacedUnits, RefundRequest
from pipeline.saga.sweep import sweep
from pipeline.settings import Settings
from pipeline.webhooks.outbound.feed import NOW, read_feed
from scripts.benchmarks.copies import CHANGE_TABLES, LONGEST_SECONDS, SPACING_SECONDS, TABLES, Spread, copy_rows, vary
from scripts.benchmarks.workload import OWNER
from scripts.monitor import Sources, read
from workers.bootstrap import Components

#: Orders beside which the many are compared.
FEW: Final = 1000

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

ORDER_OF: Final = text("SELECT id FROM orders WHERE checkout_id = :id")
CHANGES_DONE: Final = text("SELECT count(*) FROM order_changes WHERE state = 'done'")
MIDDLE: Final = text("""
    SELECT id, customer, reference FROM orders WHERE reference IS NOT NULL AND customer IS NOT NULL
    ORDER BY id OFFSET (SELECT count(*) / 2 FROM orders WHERE reference IS NOT NULL) LIMIT 1
""")
#: What copies have instead: ten orders of each customer, and each order with a reference.
_REFERENCE: Final = {"reference": "'order-' || copy"}
OTHER_COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "checkouts": _REFERENCE,
    "orders": {**_REFERENCE, "customer": "'customer-' || copy / 10"},
}


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
            for table, own in {**TABLES, **CHANGE_TABLES}.items():
                others = OTHER_COLUMNS.get(table, {})
                if table == "events":
                    others = {"data": vary_event(spread)}
                copy_rows(connection, table, own, checkout_id, numbers, spread=spread, changes=others)
    with database.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in BALANCE:
            connection.execute(statement, {"id": checkout_id, "count": count})


def vary_event(spread: Spread) -> str:
    """Return the SQL value of the facts of an event in a copy, whose changes have other ids."""
    other = vary("order_changes", "id", "uuid", "t.data ->> 'change_id'", "copy", spread)
    return (
        f"CASE WHEN t.data ->> 'change_id' IS NULL THEN t.data"
        f" ELSE t.data || jsonb_build_object('change_id', {other}) END"
    )


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


def change_order(components: Components, checkout_id: UUID) -> None:
    """Ask for a refund and a fulfillment of an order; its copies have them too, once both are done."""
    with components.database.connect() as connection:
        order_id = connection.execute(ORDER_OF, {"id": checkout_id}).scalar_one()
    units = PlacedUnits(line=1, quantity=1)
    for request in (RefundRequest(amount_minor=1), FulfillmentRequest(lines=(units,))):
        # A copy's key begins with the id of its checkout.
        key = f"{checkout_id}-{type(request).__name__}"
        components.orders.request(order_id, OWNER, request, actor="operator:bench", idempotency_key=key)


def read_changes_done(components: Components) -> bool | None:
    """Return True once the changes of `change_order` are done, None before."""
    with components.database.connect() as connection:
        return True if connection.execute(CHANGES_DONE).scalar_one() == 2 else None


def read_end(components: Components) -> str:
    """Return the cursor of the feed after all events that there are."""
    with components.database.connect() as connection:
        return read_feed(connection, OWNER, after=NOW).next_after


def time_orders(components: Components, near_end: str) -> dict[str, float]:
    """Return the median milliseconds of what routes and admin pages read of orders and events, HTTP left out.

    `near_end` is a cursor of the feed with a page of events after it. The order is the one in the middle of all.
    """
    database = components.database
    with database.connect() as connection:
        middle = connection.execute(MIDDLE).one()

    def read(act: Callable[[Connection], object]) -> float:
        def once() -> None:
            with database.connect() as connection:
                act(connection)

        return _time(once)

    by_customer, by_reference = OrderFilter(customer=middle.customer), OrderFilter(reference=middle.reference)
    return {
        "orders_ms": read(lambda connection: list_orders(connection, OrderFilter(), owner=OWNER)),
        "orders_of_customer_ms": read(lambda connection: list_orders(connection, by_customer, owner=OWNER)),
        "orders_by_reference_ms": read(lambda connection: list_orders(connection, by_reference, owner=OWNER)),
        "order_ms": read(lambda connection: read_order(connection, owner=OWNER, order_id=middle.id)),
        "events_ms": read(lambda connection: read_feed(connection, OWNER)),
        "events_at_end_ms": read(lambda connection: read_feed(connection, OWNER, after=near_end)),
        "admin_orders_ms": read(lambda connection: list_orders(connection, OrderFilter(), owner=None)),
        "admin_search_ms": read(lambda connection: find_orders(connection, middle.customer, OrderFilter(), owner=None)),
        "admin_order_ms": read(lambda connection: read_order_detail(connection, order_id=middle.id)),
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
