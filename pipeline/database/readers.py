"""Reading for people: on the database of CHECKOUT_READ_URL, normally a standby; without it on that of DATABASE_URL.

What must be fresh is not read here: a standby is behind its primary, by tenths of a second or by hours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pipeline.database.connections import READ_ONLY, connect_engine, is_transient
from pipeline.errors import Code, Unavailable
from pipeline.settings import Settings, name_variable

T = TypeVar("T")

VARIABLE: Final = name_variable(Settings, "read_url")

#: A standby cancels a query that keeps it from replaying: what the query reads is deleted on the primary. The same
#: query on what is there now mostly succeeds.
CONFLICT: Final = "40001"
CONFLICT_REPEATS: Final = 2

# A standby without a receiver gets nothing, so that all it has received says nothing about its age.
STANDBY: Final = text("""
    SELECT CASE WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn()
                     AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0
                ELSE CAST(extract(epoch FROM now() - pg_last_xact_replay_timestamp()) AS float8) END AS lag_seconds
    WHERE pg_is_in_recovery()
""")

_REASONS: Final = {
    CONFLICT: "it cancelled the query to replay changes of the primary: repeat it, or set hot_standby_feedback there",
    "57014": "the query took longer than its time limit",
    "42P01": "it has no tables of this engine, or old ones",
    "42703": "it has no tables of this engine, or old ones",
    "42501": "its user may not read the tables",
}
AWAY: Final = "it does not answer"


@dataclass(frozen=True, slots=True)
class Standby:
    """The standby that was read from. `lag_seconds` is None when it has replayed nothing since its start."""

    lag_seconds: float | None

    @property
    def sentence(self) -> str:
        """What to show with the figures, in one sentence."""
        if self.lag_seconds is None:
            return "Read from a standby that has replayed nothing since its start: its age is not known."
        return f"Read from a standby, as of {self.lag_seconds:.1f} s ago."


class Reader:
    """Reads for people, in transactions that can write nothing. Thread-safe."""

    def __init__(self, engine: Engine, *, is_apart: bool, is_owner: bool = True) -> None:
        """Take the engine. `is_apart`: it is that of CHECKOUT_READ_URL. `is_owner`: nobody else uses it."""
        # In the connection's BEGIN, not in its options: with default_transaction_read_only a primary seems to be a
        # standby to `target_session_attrs`.
        self._engine = engine.execution_options(postgresql_readonly=True)
        self._is_owner = is_owner
        self.is_apart = is_apart

    @property
    def engine(self) -> Engine:
        """The engine of its connections."""
        return self._engine

    def close(self) -> None:
        """Close its connections, unless they are those of the primary."""
        if self._is_owner:
            self._engine.dispose()

    def read(self, work: Callable[[Connection], T]) -> tuple[T, Standby | None]:
        """Return what `work` read, and the standby that it was read from; None for a primary.

        `work` begins its own transaction, and is called again when a standby cancels it. On CHECKOUT_READ_URL this
        raises Unavailable, with a reason, for a database that cannot be read; there is no other that is read instead.
        """
        for repeats_left in range(CONFLICT_REPEATS, -1, -1):
            try:
                return self._read_once(work)
            except (DBAPIError, PoolTimeout) as error:
                if not self.is_apart:
                    raise
                if repeats_left == 0 or _state_of(error) != CONFLICT:
                    raise _explain(error) from error
        raise AssertionError("the last repeat returns or raises")

    def _read_once(self, work: Callable[[Connection], T]) -> tuple[T, Standby | None]:
        with self._engine.connect() as connection:
            # Before the work: what it reads is at least as recent.
            standby = read_standby(connection) if self.is_apart else None
            connection.commit()
            done = work(connection)
            connection.commit()  # after a rollback psycopg prepares all statements again
            return done, standby


def connect_reader(
    settings: Settings,
    *,
    application_name: str,
    pool_size: int | None = None,
    statement_timeout_seconds: float | None = None,
    primary: Engine | None = None,
) -> Reader:
    """Return the reader of these settings; it connects at first use. Options as for `connect_engine`.

    Without CHECKOUT_READ_URL it uses the connections of `primary`, if given. Raises SettingsError for a setting that is
    no URL of PostgreSQL.
    """
    url = settings.read_url.get_secret_value() if settings.read_url else None
    if url is None and primary is not None:
        return Reader(primary, is_apart=False, is_owner=False)
    engine = connect_engine(
        settings,
        application_name=application_name,
        pool_size=pool_size,
        statement_timeout_seconds=statement_timeout_seconds,
        url=url,
        variable="DATABASE_URL" if url is None else VARIABLE,
        writes=url is None,
    )
    return Reader(engine, is_apart=url is not None)


def read_standby(connection: Connection) -> Standby | None:
    """Return the standby of this connection, and by how many seconds it is behind; None on a primary."""
    row = connection.execute(STANDBY).one_or_none()
    if row is None:
        return None
    # The clocks of two machines differ: the last change may seem to come.
    return Standby(None if row.lag_seconds is None else max(0.0, float(row.lag_seconds)))


def _state_of(error: DBAPIError | PoolTimeout) -> str | None:
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return None if state is None else str(state)


def _explain(error: DBAPIError | PoolTimeout) -> Exception:
    """Return the refusal that names the reason; the error itself where the reader is not the reason."""
    state = _state_of(error)
    if state == READ_ONLY or (state not in _REASONS and not is_transient(error)):
        return error
    return Unavailable(Code.READING_UNAVAILABLE, reason=_REASONS.get(state or "", AWAY))
