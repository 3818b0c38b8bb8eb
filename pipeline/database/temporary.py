"""A temporary database with the schema: for tests of this engine, and of adapters and integrations elsewhere."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pkgutil import resolve_name
from typing import Any, Final
from uuid import uuid4

from pydantic import SecretStr
from sqlalchemy import create_engine, text

from pipeline.database.migrations import migrate
from pipeline.database.urls import read_database_url
from pipeline.settings import Settings

#: Short, so that a test waits for tenths of a second where production waits for seconds.
SHORT_TIMES: Final[Mapping[str, float]] = {
    "redeliver_after_seconds": 0.2,
    "redeliver_always_after_seconds": 2,
    "sweep_interval_seconds": 0.2,
    "retry_seconds": 0.05,
    "retry_cap_seconds": 0.4,
}

#: How the embedded servers are started. Named and not imported: the pipeline depends on no script.
EMBEDDED: Final = "scripts.local_servers.embedded:start"

OpenServer = Callable[[], AbstractContextManager[str]]


@contextmanager
def open_settings(open_server: OpenServer | None = None, **changes: Any) -> Iterator[Settings]:
    """Yield settings with short times and an empty database of their own, without Redis; no `.env` file is read."""
    with (open_server or open_postgres)() as server_url, open_database(server_url, "checkout_testing") as database_url:
        urls = {"database_url": SecretStr(database_url), "redis_url": SecretStr("redis://nowhere")}
        given: dict[str, Any] = {**urls, **SHORT_TIMES, **changes}
        yield Settings(_env_file=None, **given).with_gateway_options()


@contextmanager
def open_postgres() -> Iterator[str]:
    """Yield the address of a PostgreSQL server: DATABASE_URL, else an embedded one that is stopped at the end."""
    if found := os.environ.get("DATABASE_URL"):
        yield found
        return
    with resolve_name(EMBEDDED)(redis_url="redis://nowhere") as servers:
        yield servers.database_url


@contextmanager
def open_database(server_url: str, name: str) -> Iterator[str]:
    """Yield the address of a new database `<name>_<id>` with the schema; it is dropped at the end."""
    server = read_database_url(server_url)
    own = f"{name}_{os.getpid()}_{uuid4().hex[:6]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {own}"))
        try:
            database = create_engine(server.set(database=own))
            with database.begin() as connection:
                migrate(connection)
            database.dispose()
            yield server.set(drivername="postgresql", database=own).render_as_string(hide_password=False)
        finally:
            with admin.connect() as connection:
                connection.execute(text(f"DROP DATABASE {own} WITH (FORCE)"))
    finally:
        admin.dispose()
