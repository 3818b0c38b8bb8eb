"""Partitions by month of events and stock movements: which there are, and those that come next.

A partition has the rows of the checkouts that began in its month, whenever they were written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlalchemy import Connection, text

from models.names import PARTITIONED, PARTITIONS_SCHEMA
from pipeline.checkouts.conditions import FIRST_ATTACHED
from pipeline.checkouts.locks import lock_partitioned_tables

#: Workers wait for at most so long, and for the making itself: their own limit is 5 s, and they repeat.
LOCK_SECONDS: Final = 2.0
#: No checkout began before: an older id has a wrong clock, and stays in the default partition.
FIRST_MONTH: Final = date(2020, 1, 1)

_MONTH_OF: Final = """CAST(date_trunc('month', to_timestamp(CAST(CAST('x' || left(translate(CAST(checkout_id AS text),
    '-', ''), 12) AS bit(48)) AS bigint) / 1000.0) AT TIME ZONE 'UTC') AS date)"""
_MISPLACED: Final = " UNION ".join(
    f"""SELECT {_MONTH_OF} FROM {PARTITIONS_SCHEMA}.{table}_default
        WHERE checkout_id >= greatest({FIRST_ATTACHED}, first_id_of(:first)) AND checkout_id < first_id_of(:end)"""
    for table in PARTITIONED
)
MISSING: Final = text(f"""
    WITH wanted (month) AS (
        SELECT CAST(generate_series(CAST(:this_month AS timestamp), CAST(:last AS timestamp), '1 month') AS date)
        UNION {_MISPLACED}
    )
    SELECT parent.name, wanted.month FROM wanted, unnest(CAST(:tables AS text[])) AS parent (name)
    WHERE NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid
                      WHERE i.inhparent = to_regclass(parent.name)
                        AND p.relname = parent.name || to_char(wanted.month, '_YYYY_MM'))
      AND NOT EXISTS (SELECT FROM detached_months d WHERE d.month = wanted.month)
    ORDER BY wanted.month, parent.name
""")

MAKE: Final = text("SELECT make_partition(CAST(:parent AS regclass), :month)")

LIST: Final = text(f"""
    SELECT parent.name AS table_name, p.relname AS partition, to_date(right(p.relname, 7), 'YYYY_MM') AS month,
           i.inhrelid IS NOT NULL AS is_attached, CAST(greatest(p.reltuples, 0) AS bigint) AS rows,
           pg_total_relation_size(p.oid) AS bytes
    FROM unnest(CAST(:tables AS text[])) AS parent (name)
    JOIN pg_class p ON p.relnamespace = to_regnamespace('{PARTITIONS_SCHEMA}') AND p.relkind = 'r'
                   AND p.relname ~ ('^' || parent.name || '_[0-9]{{4}}_[0-9]{{2}}$')
    LEFT JOIN pg_inherits i ON i.inhrelid = p.oid
    ORDER BY month, table_name
""")


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition. `rows` is PostgreSQL's estimate; a detached one is a table of its own until it is dropped."""

    table: str
    name: str
    month: date
    is_attached: bool
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class MissingPartition:
    """A partition that is to be made."""

    table: str
    month: date


@dataclass(frozen=True, slots=True)
class MadePartition:
    """A partition that was made, and how many rows of the default partition are in it now."""

    table: str
    month: date
    moved: int


def list_partitions(connection: Connection) -> list[Partition]:
    """Return all partitions of months, oldest first, detached ones too."""
    rows = connection.execute(LIST, {"tables": list(PARTITIONED)})
    return [Partition(row.table_name, row.partition, row.month, row.is_attached, row.rows, row.bytes) for row in rows]


def find_missing(connection: Connection, months: int) -> list[MissingPartition]:
    """Return what is missing of this month, of so many that follow, and of those with rows in a default partition."""
    today: date = connection.execute(text("SELECT CAST(now() AT TIME ZONE 'UTC' AS date)")).scalar_one()
    last = add_months(today, months)
    bound = {
        "first": FIRST_MONTH,
        "this_month": today.replace(day=1),
        "last": last,
        "end": add_months(last, 1),
        "tables": list(PARTITIONED),
    }
    return [MissingPartition(row.name, row.month) for row in connection.execute(MISSING, bound)]


def make_partitions(connection: Connection, missing: Sequence[MissingPartition]) -> list[MadePartition]:
    """Make these partitions in the connection's transaction; rows of the default partitions go where they belong.

    The checkouts that work meanwhile wait. Nothing is made twice: what another process has made is left out. Raises
    the database's error for a lock when something reads or writes the tables for longer than LOCK_SECONDS.
    """
    if not missing:
        return []
    lock_partitioned_tables(connection, LOCK_SECONDS)
    here = {(each.table, each.month) for each in list_partitions(connection)}
    return [
        MadePartition(
            each.table,
            each.month,
            connection.execute(MAKE, {"parent": each.table, "month": each.month}).scalar_one(),
        )
        for each in missing
        if (each.table, each.month) not in here
    ]


def add_months(month: date, number: int) -> date:
    """Return the first day of so many months later."""
    years, index = divmod(month.year * 12 + month.month - 1 + number, 12)
    return date(years, index + 1, 1)
