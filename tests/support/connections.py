"""Connections that outlive a test: a new one takes PostgreSQL 15 ms, and longer to read its catalogue again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from pipeline.database import connect_engine
from pipeline.gateways.sandbox import bank
from pipeline.settings import Settings

#: What `DISCARD ALL` does, but for the prepared statements, of which the driver keeps a list. A plan of an earlier test
#: was made for its tables: with a thousand rows instead of two it can take minutes.
RENEW: Final = """
    SET SESSION AUTHORIZATION DEFAULT; RESET ALL; CLOSE ALL; UNLISTEN *; SELECT pg_advisory_unlock_all();
    DISCARD TEMP; DISCARD SEQUENCES; DISCARD PLANS
"""
#: What a connection is made from.
MADE_FROM: Final = {"database_url", "statement_timeout_seconds", "lock_timeout_seconds", "prepare_statements"}
#: Banks of one test, with two connections each.
BANKS: Final = 4


class KeptEngine:
    """The connections of a session to its database, of which a test gets a view."""

    def __init__(self, engine: Engine) -> None:
        """Keep the connections of this engine."""
        self._engine = engine

    def renew(self) -> None:
        """Give each connection the state of a new one, or replace them all: a test may have ended or lent one."""
        if self._pool.checkedout() > 0:
            self._engine.dispose()
        connections = [self._engine.connect() for _ in range(self._pool.checkedin())]
        try:
            for connection in connections:
                connection.exec_driver_sql(RENEW)
                connection.commit()
        except DBAPIError:
            self._engine.dispose()
        finally:
            for connection in connections:
                connection.close()

    def view(self) -> Engine:
        """Return a view: listeners that a test adds to it end with it."""
        return self._engine.execution_options()

    def lend(self) -> Engine:
        """Return a view that does not close the connections when its owner ends."""
        view = self.view()
        view.dispose = lambda **_: None  # type: ignore[method-assign]
        return view

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @property
    def _pool(self) -> QueuePool:
        return cast("QueuePool", self._engine.pool)


@contextmanager
def keep_bank(settings: Settings) -> Iterator[KeptEngine]:
    """Keep the connections of the sandbox banks in this process, as far as they are those of these settings."""
    usual = settings.model_dump(include=MADE_FROM)
    kept = KeptEngine(connect_engine(settings, application_name="sandbox", pool_size=2 * BANKS, by_key=True))

    def connect(given: Settings, **options: Any) -> Engine:
        is_usual = options.get("url") is None and given.model_dump(include=MADE_FROM) == usual
        return kept.lend() if is_usual else connect_engine(given, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank, "connect_engine", connect)
        yield kept
    kept.close()
