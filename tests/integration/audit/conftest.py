"""Fixtures of these tests."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine

from tests.integration.audit.plants import write_books


@pytest.fixture
def consistent(engine: Engine) -> Engine:
    """Committed: one completed, one failed and one running checkout."""
    with engine.begin() as connection:
        write_books(connection)
    return engine


@pytest.fixture
def connection(consistent: Engine) -> Iterator[Connection]:
    """A transaction past every trigger and foreign key, which is never committed."""
    with consistent.connect() as connection, connection.begin() as transaction:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        yield connection
        transaction.rollback()
