"""Connections to PostgreSQL, with every timeout set: no thread hangs for so long that its message is redelivered."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from models.guards import OWNER_MOVING
from pipeline.database.arrays import ArrayDumper
from pipeline.database.hosts import HostOrder
from pipeline.database.urls import read_database_url
from pipeline.settings import Settings

#: Failures of the database and not of the checkout: they are repeated, and are no attempts of it. 08 connection,
#: 40001 and 40P01 serialisation and deadlock, 53 out of resources, 55P03 lock timeout, 57 cancelled or shutting down,
#: 25P03 idle in transaction for too long, and 25006: the primary has become a standby, and another one takes writes.
#: And CK004: an owner began to move after the work had looked, and the repeat finds that.
READ_ONLY: Final = "25006"
TRANSIENT_SQLSTATES: Final = ("08", "40001", "40P01", "53", "55P03", "57", "25P03", READ_ONLY, OWNER_MOVING)

#: A statement is prepared once it has run so often: psycopg's own default.
PREPARED_AFTER: Final = 5

#: For statements that read rows by their keys, over and over. By default PostgreSQL plans each statement with an array
#: anew at each call: a tenth of the time of a checkout alone.
BY_KEY: Final = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "jit": "off"}
#: A plan that was made for nearly empty tables reads all of them. It would be kept until the next ANALYZE, a minute or
#: more away; for so long it reads what some seconds have written, a few thousand rows.
PLAN_SECONDS: Final = 10.0

_open_transactions = threading.local()


def connect_engine(
    settings: Settings,
    *,
    application_name: str,
    pool_size: int | None = None,
    statement_timeout_seconds: float | None = None,
    url: str | None = None,
    variable: str = "DATABASE_URL",
    writes: bool = True,
    by_key: bool = False,
) -> Engine:
    """Return an engine; connects at first use. `statement_timeout_seconds=0` means none (migrations, audit).

    `url` replaces that of the settings; an error names it by its `variable`. Of several hosts it connects to one that
    takes writes, without `writes` to a standby if there is one. Raises SettingsError for what is no URL of PostgreSQL.

    `by_key` is for work that reads only rows by their keys, over and over: a connection plans each statement once,
    and anew when its plans are older than PLAN_SECONDS.
    READ COMMITTED, the database's clock, UTC. A frozen or vanished client loses its row locks within seconds.
    """
    timeout = settings.statement_timeout_seconds if statement_timeout_seconds is None else statement_timeout_seconds
    options = {
        "statement_timeout": int(timeout * 1000),
        "lock_timeout": int(settings.lock_timeout_seconds * 1000),
        # A worker stopped inside a transaction must not keep its row locks: 5 s is ten times the longest healthy batch.
        "idle_in_transaction_session_timeout": 5000,
        "client_connection_check_interval": 1000,
        "tcp_keepalives_idle": 5,
        "tcp_keepalives_interval": 2,
        "tcp_keepalives_count": 3,
        "timezone": "UTC",
    }
    if by_key:
        options |= BY_KEY
    engine = create_engine(
        read_database_url(url or settings.database_url.get_secret_value(), variable, writes=writes),
        pool_size=pool_size or settings.pool_size,
        max_overflow=0,
        pool_timeout=10,
        # Parameters are tokens, addresses, webhook bodies: no error and no log shows them.
        hide_parameters=True,
        connect_args={
            "application_name": f"checkout.{application_name}",
            "connect_timeout": 3,
            "prepare_threshold": PREPARED_AFTER if settings.prepare_statements else None,
            # A host that vanishes sends no error: after this time a thread that waits for its answer times out.
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        },
    )
    HostOrder(variable).apply(engine)
    event.listen(engine, "checkin", _forget_access_mode)
    event.listen(engine, "connect", _write_arrays)
    event.listen(engine, "handle_error", _leave_standby)
    if by_key:
        event.listen(engine, "checkout", _discard_old_plans)
    return engine


def _write_arrays(connection: psycopg.Connection[Any], _record: object) -> None:
    connection.adapters.register_dumper(list, ArrayDumper)


def _forget_access_mode(connection: psycopg.Connection[Any] | None, _record: object) -> None:
    # After a transaction that could write nothing SQLAlchemy asks for one that can, which a standby refuses to begin.
    if connection is not None and connection.read_only is False:
        connection.read_only = None


def _leave_standby(context: ExceptionContext) -> None:
    """Have the pool open new connections, which find the new primary."""
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


def _discard_old_plans(connection: Any, record: Any, _proxy: object) -> None:
    now = time.monotonic()
    if now < record.info.setdefault("plans_end_at", now + PLAN_SECONDS):
        return
    try:
        connection.execute("DISCARD PLANS")
        connection.commit()  # otherwise its next user could not choose how its transaction begins
    except psycopg.Error as error:
        raise DisconnectionError("A connection had gone.") from error  # another is made in its place
    record.info["plans_end_at"] = now + PLAN_SECONDS


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Open a transaction: committed at the end, rolled back on any error; known to `assert_no_transaction`."""
    _open_transactions.count = getattr(_open_transactions, "count", 0) + 1
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        _open_transactions.count -= 1


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction for reading only. It is committed: after a rollback psycopg prepares all statements again."""
    with engine.begin() as connection:
        yield connection


def assert_no_transaction() -> None:
    """Raise if this thread is inside a transaction: no external service is called while rows are locked."""
    if getattr(_open_transactions, "count", 0):
        raise RuntimeError("A gateway was about to be called inside a database transaction.")


def is_transient(error: BaseException) -> bool:
    """Return whether the database failed, and not the work: the same work may succeed on another connection."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return error.connection_invalidated or isinstance(error, OperationalError)
    return str(state).startswith(TRANSIENT_SQLSTATES)
