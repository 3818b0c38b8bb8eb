"""Workers' statements are planned once a connection, and anew as the tables grow."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, text

from pipeline.checkouts.locks import lock_held_stock
from pipeline.database import connect_engine, reading
from pipeline.database import connections as database
from pipeline.settings import Settings
from tests.support.harness import Shelf

GROWN = 20_000


@contextmanager
def connecting(settings: Settings, *, by_key: bool) -> Iterator[Engine]:
    """Give an engine of one connection."""
    engine = connect_engine(settings, application_name="plans", pool_size=1, by_key=by_key)
    yield engine
    engine.dispose()


def ask(engine: Engine, times: int) -> None:
    """Execute a statement so often, each time with a new connection from the pool."""
    for _ in range(times):
        with engine.begin() as connection:
            lock_held_stock(connection, [uuid4()])


def count_plans(engine: Engine) -> tuple[int, int]:
    """Return how often the prepared statement went by a plan for all arguments, and by one for its own."""
    with reading(engine) as connection:
        row = connection.execute(
            text("SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%held%'")
        ).one()
        return row.generic_plans, row.custom_plans


def reads_all_stock(connection: Connection) -> bool:
    """Return whether the prepared statement, as it is planned now, reads all stock levels."""
    name = connection.execute(
        text("SELECT name FROM pg_prepared_statements WHERE statement LIKE '%stock_levels%held%'")
    ).scalar_one()
    explained = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) EXECUTE {name} ('{{{uuid4()}}}')").scalar_one()
    scan = next(node for node in walk(explained[0]["Plan"]) if node.get("Relation Name") == "stock_levels")
    return "Index Cond" not in scan


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Go through a plan."""
    yield node
    for below in node.get("Plans", []):
        yield from walk(below)


def test_a_statement_is_planned_once(settings: Settings, engine: Engine) -> None:
    del engine  # its tables are empty
    with connecting(settings, by_key=True) as by_key, connecting(settings, by_key=False) as plain:
        for each in (by_key, plain):
            ask(each, 9)
        prepared = 9 - database.PREPARED_AFTER
        assert count_plans(by_key) == (prepared, 0)
        assert count_plans(plain) == (0, prepared)  # each time anew


def test_old_plans_are_made_anew(
    settings: Settings, engine: Engine, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.add_variant("TEA")
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")
    monkeypatch.setattr(database, "PLAN_SECONDS", 1000.0)
    with connecting(settings, by_key=True) as by_key:
        ask(by_key, 9)
        shelf.run(f"""
            WITH grown AS (
                INSERT INTO variants (sku, title) SELECT 'N' || n, 'N' FROM generate_series(1, {GROWN}) n RETURNING id
            )
            INSERT INTO stock_levels (variant_id, location_id, on_hand)
            SELECT grown.id, l.id, 0 FROM grown, locations l
        """)
        with reading(by_key) as connection:
            assert reads_all_stock(connection)
            connection.connection.info["plans_end_at"] = 0.0  # as if the seconds had gone by
        with reading(by_key) as connection:
            assert not reads_all_stock(connection)


def test_a_connection_is_in_no_transaction_after_its_plans_were_discarded(settings: Settings, engine: Engine) -> None:
    del engine
    with connecting(settings, by_key=True) as by_key:
        with reading(by_key) as connection:
            connection.connection.info["plans_end_at"] = 0.0
        # Then its user chooses how a transaction begins, as the audit does
        with by_key.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            assert connection.exec_driver_sql("SHOW transaction_isolation").scalar_one() == "repeatable read"


def test_what_was_prepared_stays_when_only_reading(settings: Settings, engine: Engine) -> None:
    del engine
    with connecting(settings, by_key=True) as by_key:
        ask(by_key, 9)
        before = count_plans(by_key)
        with reading(by_key) as connection:
            connection.exec_driver_sql("SELECT 1")
        assert count_plans(by_key) == before
        with by_key.connect() as connection:  # ends with a rollback
            connection.exec_driver_sql("SELECT 1")
        with reading(by_key) as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar_one() == 0


def test_a_connection_that_has_gone_is_replaced(settings: Settings, engine: Engine) -> None:
    with connecting(settings, by_key=True) as by_key:
        with by_key.begin() as connection:
            connection.connection.info["plans_end_at"] = 0.0
            gone = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with engine.begin() as killer:
            assert killer.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": gone}).scalar_one()
        with by_key.begin() as connection:
            assert connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() != gone
