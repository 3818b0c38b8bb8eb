"""Detaches the events and stock movements of months that are over, so that the tables do not grow for ever.

A detached partition is a table of its own in the schema `partitions`, for an archive. The audit stays exact: what was
sold in the month becomes one movement `balance` of each stock level, and what compares with the detached rows has been
checked before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final

from sqlalchemy import Connection, text

from models.names import PARTITIONED, PARTITIONS_SCHEMA
from models.states import ACTIVE_SQL
from pipeline.audit import check_history
from pipeline.checkouts.locks import lock_partitioned_tables
from pipeline.database.ids import IdRange, first_id
from pipeline.errors.wording import fill
from pipeline.operations.commands import CommandLine
from pipeline.operations.partitions import LOCK_SECONDS, Partition, add_months, list_partitions
from pipeline.settings import Settings


def _count(source: str, id_: str = "checkout_id") -> str:
    return f"SELECT count(*) FROM {source} AND {id_} >= :from_id AND {id_} < :until_id"


#: What keeps a month where it is. Each reads an index, or a table with few rows: also while the tables are locked.
OBSTACLES: Final = (
    ("{count:checkout is|checkouts are} still active", _count(f"checkouts WHERE state IN ({ACTIVE_SQL})", "id")),
    ("{count:payment needs|payments need} review", _count("payments WHERE review IS NOT NULL")),
    (
        "{count:gateway call has|gateway calls have} no known outcome",
        _count("payment_operations WHERE status IN ('intended', 'unknown')"),
    ),
    (
        "{count:change of an order has|changes of orders have} not ended",
        # By two partial indexes; disputes may stay open for months, and have a third.
        _count("order_changes WHERE (due_at IS NOT NULL OR state = 'needs_review')"),
    ),
    (
        "{count:outbound webhook is|outbound webhooks are} not delivered, or not yet past the retention",
        _count("webhook_deliveries WHERE true"),
    ),
    (
        f"{{count:row is|rows are}} in a default partition: run `{CommandLine.CREATE_PARTITIONS}` first",
        "SELECT "
        + " + ".join(f"({_count(f'{PARTITIONS_SCHEMA}.{table}_default WHERE true')})" for table in PARTITIONED),
    ),
)
#: What reads all rows of the month, and is asked before the tables are locked: nothing writes to an ended checkout.
RESERVED: Final = (
    f"{{count:stock level still has|stock levels still have}} units reserved by it: run `{CommandLine.AUDIT}`",
    """SELECT count(*) FROM (SELECT FROM stock_movements WHERE checkout_id >= :from_id AND checkout_id < :until_id
                             GROUP BY variant_id, location_id HAVING sum(quantity) <> 0) AS reserved""",
)

# At the time of the last movement for which it stands: a count of stock from before it cannot know what was sold since.
BALANCE: Final = text("""
    INSERT INTO stock_movements (variant_id, location_id, kind, quantity, at)
    SELECT variant_id, location_id, 'balance', sum(quantity) FILTER (WHERE kind = 'sell'), max(at)
    FROM stock_movements WHERE checkout_id >= :from_id AND checkout_id < :until_id
    GROUP BY variant_id, location_id HAVING count(*) FILTER (WHERE kind = 'sell') > 0
""")

RECORD: Final = text("INSERT INTO detached_months (month, from_id, until_id) VALUES (:month, :from_id, :until_id)")


@dataclass(frozen=True, slots=True)
class Detachment:
    """A month whose partitions can be detached, or the reason why they cannot."""

    month: date
    ids: IdRange
    partitions: tuple[Partition, ...]
    obstacle: str | None = None


def plan_detachments(connection: Connection, settings: Settings, before: date) -> list[Detachment]:
    """Return every attached month before this one, oldest first, each audited. Nothing is locked or written."""
    months: dict[date, list[Partition]] = {}
    for each in list_partitions(connection):
        if each.is_attached and each.month < before:
            months.setdefault(each.month, []).append(each)
    return [_plan(connection, settings, month, parts) for month, parts in months.items()]


def detach(connection: Connection, planned: Sequence[Detachment]) -> Detachment | None:
    """Detach these months in the connection's transaction; or return the first that cannot be, and detach nothing.

    PostgreSQL detaches concurrently only where there is no default partition. So the tables are locked, for the time of
    one query over the movements of the months; checkouts wait meanwhile.
    """
    if refused := next((each for each in planned if each.obstacle is not None), None):
        return refused
    lock_partitioned_tables(connection, LOCK_SECONDS)
    for each in planned:
        if obstacle := _find_obstacle(connection, each.ids, OBSTACLES):
            return replace(each, obstacle=obstacle)
    for each in planned:
        connection.execute(BALANCE, each.ids.bound)
        for part in each.partitions:
            connection.execute(text(f"ALTER TABLE {part.table} DETACH PARTITION {PARTITIONS_SCHEMA}.{part.name}"))
        connection.execute(RECORD, {"month": each.month, **each.ids.bound})
    return None


def _plan(connection: Connection, settings: Settings, month: date, parts: Sequence[Partition]) -> Detachment:
    ids = IdRange(*(first_id(datetime(each.year, each.month, 1, tzinfo=UTC)) for each in (month, add_months(month, 1))))
    now: datetime = connection.execute(text("SELECT now()")).scalar_one()
    if ids.until_id > first_id(now):
        obstacle: str | None = "it is not over"
    else:
        obstacle = _find_obstacle(connection, ids, (*OBSTACLES, RESERVED))
    if obstacle is None and (violations := check_history(connection, settings, ids)):
        obstacle = f"{violations[0].invariant} is broken: run `{CommandLine.AUDIT}`"
    return Detachment(month, ids, tuple(parts), obstacle)


def _find_obstacle(connection: Connection, ids: IdRange, obstacles: Iterable[tuple[str, str]]) -> str | None:
    for sentence, query in obstacles:
        if count := connection.execute(text(query), ids.bound).scalar_one():
            return fill(sentence, {"count": count})
    return None
