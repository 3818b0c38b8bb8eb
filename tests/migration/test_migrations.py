"""The schema from the models and the schema from the migrations are one, and the way back is open."""

from collections.abc import Iterator
from typing import Final
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, make_url, text

from models.guards import FUNCTIONS, install
from models.tables import Base
from pipeline.audit.report import audit
from pipeline.database.migrations import migrate, read_head
from pipeline.settings import Settings
from tests.harness import Shelf, build_works

#: Everything that makes up a schema, as PostgreSQL itself writes it down.
CATALOG: Final = {
    "columns": """
        SELECT table_schema, table_name, column_name, data_type, is_nullable, column_default, is_identity,
               character_maximum_length
        FROM information_schema.columns""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace IN (to_regnamespace('public'), to_regnamespace('sandbox'))""",
    "indexes": "SELECT schemaname, indexname, indexdef FROM pg_indexes",
    "triggers": "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "functions": """
        SELECT proname, prosrc, provolatile, proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace""",
    "sequences": "SELECT schemaname, sequencename, start_value, increment_by FROM pg_sequences",
    "options": "SELECT relname, reloptions FROM pg_class WHERE relkind = 'r' AND reloptions IS NOT NULL",
}


@pytest.fixture
def empty(database_url: str) -> Iterator[list[Engine]]:
    """Two empty databases."""
    server = make_url(database_url).set(drivername="postgresql+psycopg")
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    names = [f"migration_{uuid4().hex[:8]}" for _ in range(2)]
    engines = [create_engine(server.set(database=name)) for name in names]
    with admin.connect() as connection:
        for name in names:
            connection.execute(text(f"CREATE DATABASE {name}"))
    yield engines
    for engine in engines:
        engine.dispose()
    with admin.connect() as connection:
        for name in names:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def read_catalog(connection: Connection) -> dict[str, list[str]]:
    """Return the whole schema as sorted lines, the version table left out."""
    return {
        kind: sorted(
            line for row in connection.execute(text(sql)) if "alembic_version" not in (line := str(tuple(row)))
        )
        for kind, sql in CATALOG.items()
    }


def read_own(connection: Connection) -> dict[str, list[str]]:
    """Return the schema without PostgreSQL's own parts."""
    return {
        kind: [line for line in lines if "'pg_catalog'" not in line and "'information_schema'" not in line]
        for kind, lines in read_catalog(connection).items()
    }


def test_migrated_equals_scratch(empty: list[Engine]) -> None:
    # Given a schema from the models and one from the migrations
    with empty[0].begin() as connection:
        install(connection)
    with empty[1].begin() as connection:
        migrate(connection)
    # Then they are the same in every part, and there is something to compare
    with empty[0].connect() as scratch, empty[1].connect() as migrated:
        expected, actual = read_own(scratch), read_own(migrated)
    for kind in CATALOG:
        assert actual[kind] == expected[kind], kind
    assert len([line for line in actual["triggers"] if "cart_guard" in line]) == 2
    assert len(actual["functions"]) == len(FUNCTIONS) + 1


def test_autogenerate_finds_nothing(empty: list[Engine]) -> None:
    with empty[0].begin() as connection:
        migrate(connection)
        context = MigrationContext.configure(connection, opts={"include_schemas": True})
        assert compare_metadata(context, Base.metadata) == []


def test_downgrade_leaves_nothing_and_upgrade_works_again(empty: list[Engine]) -> None:
    with empty[0].begin() as connection:
        before = read_own(connection)
    with empty[0].begin() as connection:
        migrate(connection)
        migrated = read_own(connection)
    with empty[0].begin() as connection:
        migrate(connection, "base")
        assert read_own(connection) == before
    with empty[0].begin() as connection:
        migrate(connection)
        assert read_own(connection) == migrated


def test_upgrade_twice_changes_nothing(empty: list[Engine]) -> None:
    with empty[0].begin() as connection:
        migrate(connection)
        once = read_own(connection)
        migrate(connection)
        assert read_own(connection) == once
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == read_head()


def test_this_release_runs_on_the_schema_of_the_next(engine: Engine, settings: Settings, shelf: Shelf) -> None:
    # Given a schema with what the next release may add: a table, a column with a default, an index, and its number
    later = (
        "CREATE TABLE later (id int)",
        "ALTER TABLE checkouts ADD COLUMN later text DEFAULT 'x'",
        "ALTER TABLE events ADD COLUMN later int",
        "CREATE INDEX later_idx ON orders (created_at)",
        "UPDATE alembic_version SET version_num = '9999'",
    )
    sooner = (
        "DROP INDEX later_idx",
        "ALTER TABLE events DROP COLUMN later",
        "ALTER TABLE checkouts DROP COLUMN later",
        "DROP TABLE later",
        f"UPDATE alembic_version SET version_num = '{read_head()}'",
    )
    shelf.add_variant("cup", stock=9, price_minor=250)
    with build_works(engine, settings) as works:
        started = works.start(shelf.add_cart(("cup", 1)))
        works.pump()
        for statement in later:
            shelf.run(statement)
        try:
            # When this release goes on with what it has begun, and begins anew
            works.pay(started)
            bought = works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
            declined = works.start(shelf.add_cart(("cup", 1)), token="tok_capture_declined")
            works.pump()
            works.sweep()
            # Then all is as ever
            assert works.states([started, bought, declined]) == ["completed", "completed", "failed"]
            with engine.connect() as connection:
                assert audit(connection, settings) == []
        finally:
            for statement in sooner:
                shelf.run(statement)
