"""How many statements and commits reach PostgreSQL, counted by its extension pg_stat_statements.

The count is exact and immediate; `pg_stat_database` learns of a connection's commits up to ten seconds later. A server
that does not preload the extension, or whose role may not create it, is not counted.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Engine, TextClause, text
from sqlalchemy.exc import DBAPIError

#: The sweep runs once a second.
REST_SECONDS: Final = 3.0
#: Of this database alone, which is the benchmark's own: counts of other databases of the server are kept.
OWN: Final = "(SELECT oid FROM pg_database WHERE datname = current_database())"
PRELOADED: Final = text("SELECT current_setting('shared_preload_libraries') LIKE '%pg_stat_statements%'")
CREATE: Final = text("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
RESET: Final = text(f"SELECT pg_stat_statements_reset(0, {OWN}, 0)")
# What begins and ends a transaction is no statement; nor are those with which the bench measures.
COUNTS: Final = text(f"""
    SELECT coalesce(sum(calls) FILTER (WHERE query !~* '^(BEGIN|START|COMMIT|ROLLBACK)'), 0) AS statements,
           coalesce(sum(calls) FILTER (WHERE query ~* '^COMMIT'), 0) AS commits
    FROM pg_stat_statements WHERE dbid = {OWN} AND toplevel AND query !~ 'pg_stat_statements|pg_backend_pid'
""")


@dataclass(frozen=True, slots=True)
class StatementCount:
    """A count that has begun. What the engine does a second while nobody buys (the sweep, heartbeats) is taken off."""

    database: Engine
    rest: Mapping[str, float]
    began: float

    def read(self) -> dict[str, float]:
        """Return the `statements` and the `commits` of the purchases so far."""
        seconds = time.monotonic() - self.began
        return {name: value - self.rest[name] * seconds for name, value in _read(self.database).items()}


def begin_count(database: Engine, wait: Callable[[float], object]) -> StatementCount | None:
    """Count for some seconds in which nobody buys, then count from the beginning; return None on other servers."""
    if not _is_countable(database):
        return None
    _execute(database, RESET)
    wait(REST_SECONDS)
    rest = {name: value / REST_SECONDS for name, value in _read(database).items()}
    _execute(database, RESET)
    return StatementCount(database, rest, time.monotonic())


def _is_countable(database: Engine) -> bool:
    with database.connect() as connection:
        if not connection.execute(PRELOADED).scalar_one():
            return False
    try:
        _execute(database, CREATE)
    except DBAPIError as error:
        if isinstance(error.orig, InsufficientPrivilege):
            return False
        raise
    return True


def _execute(database: Engine, statement: TextClause) -> None:
    """Execute the statement without a transaction: its commit would be counted."""
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(statement)


def _read(database: Engine) -> dict[str, float]:
    with database.connect() as connection:
        counts = connection.execute(COUNTS).one()
    return {"statements": float(counts.statements), "commits": float(counts.commits)}
