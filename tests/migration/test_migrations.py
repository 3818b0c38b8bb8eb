"""The schema from the models and the schema from the migrations are one, and the way back is open."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, make_url, text

from models.tables import Base
from pipeline.audit import audit
from pipeline.database import migrations
from pipeline.database.migrations import is_modelled, migrate, read_head
from pipeline.operations.health import Health, check_database
from pipeline.settings import Settings
from tests.migration.next_release import NEXT, OWN, configure_next
from tests.support.harness import Shelf, build_works

#: Everything that makes up a schema, as PostgreSQL itself writes it down.
CATALOG: Final = {
    "columns": """
        SELECT table_schema, table_name, column_name, data_type, is_nullable, column_default, is_identity,
               character_maximum_length
        FROM information_schema.columns WHERE table_schema <> 'partitions'""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace IN (to_regnamespace('public'), to_regnamespace('sandbox')) AND conparentid = 0""",
    "indexes": "SELECT schemaname, indexname, indexdef FROM pg_indexes WHERE schemaname <> 'partitions'",
    "triggers": """
        SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger
        WHERE NOT tgisinternal AND tgparentid = 0""",
    "functions": """
        SELECT proname, prosrc, provolatile, proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace""",
    "sequences": "SELECT schemaname, sequencename, start_value, increment_by FROM pg_sequences",
    "schemas": "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'",
    "partitioned": "SELECT partrelid::regclass::text, pg_get_partkeydef(partrelid) FROM pg_partitioned_table",
    "options": "SELECT relname, reloptions FROM pg_class WHERE relkind = 'r' AND reloptions IS NOT NULL",
}

#: Its number, when it runs (docs/upgrading.md), and what it does.
NAME: Final = re.compile(r"0001_initial|\d{4}_(pre|post)_[a-z0-9_]+")


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
        connection.execute(text("CREATE SCHEMA sandbox"))
        connection.execute(text("CREATE SCHEMA partitions"))
        Base.metadata.create_all(connection)
    with empty[1].begin() as connection:
        migrate(connection)
    # Then they are the same in every part that models have: all but functions and triggers
    with empty[0].connect() as scratch, empty[1].connect() as migrated:
        expected, actual = read_own(scratch), read_own(migrated)
    parts = set(CATALOG) - {"functions", "triggers"}
    for kind in parts:
        assert actual[kind] == expected[kind], kind
    assert all(actual[kind] for kind in parts)


def test_autogenerate_finds_nothing(empty: list[Engine]) -> None:
    with empty[0].begin() as connection:
        migrate(connection)
        context = MigrationContext.configure(connection, opts={"include_schemas": True, "include_object": is_modelled})
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
    shelf.add_variant("cup", stock=9, price_minor=250)
    with build_works(engine, settings) as works:
        started = works.start(shelf.add_cart(("cup", 1)))
        works.pump()
        try:
            # Given a schema with what the next release may add
            with engine.begin() as connection:
                command.upgrade(configure_next(connection), "head")
            assert shelf.rows("SELECT version_num, to_regclass('order_notes')::text FROM alembic_version") == [
                ("9999", "order_notes")
            ]
            # When this release continues what it has begun, and begins anew
            works.pay(started)
            bought = works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
            declined = works.start(shelf.add_cart(("cup", 1)), token="tok_capture_declined")
            works.pump()
            works.sweep()
            # Then all is as ever, and the health check says that newer code is due
            assert works.states([started, bought, declined]) == ["completed", "completed", "failed"]
            with engine.connect() as connection:
                assert audit(connection, settings) == []
                assert check_database(connection, settings, read_head())[0]["migrations"].status is Health.DEGRADED
        finally:
            with engine.begin() as connection:
                command.downgrade(configure_next(connection), read_head())


@pytest.mark.parametrize("folder", [OWN, NEXT], ids=["own", "next"])
def test_a_revision_is_named_by_when_it_runs_and_what_it_does(folder: Path) -> None:
    names = sorted(path.stem for path in folder.glob("*.py"))
    assert names
    assert [name for name in names if not NAME.fullmatch(name)] == []


@pytest.mark.parametrize(
    ("revisions", "head"),
    [
        ({"0001": None}, "0001"),
        ({"0001": None, "0002": "0001", "0003": "0002"}, "0003"),
        ({"0001": None, "0002": "0001", "0003": "0001", "0004": ("0002", "0003")}, "0004"),
        ({"0001": None, "0002": "0001", "0003": "0001"}, None),
        ({}, None),
    ],
)
def test_the_head_is_alembics(
    revisions: dict[str, str | tuple[str, ...] | None],
    head: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(migrations, "VERSIONS", tmp_path / "versions")
    migrations.VERSIONS.mkdir()
    for name, before in revisions.items():
        lines = [f"revision = {name!r}", f"down_revision: str | None = {before!r}", "branch_labels = None"]
        (migrations.VERSIONS / f"{name}_a_name.py").write_text("\n".join(lines))
    directory = ScriptDirectory(str(tmp_path))
    if head is not None:
        assert (read_head(), directory.get_current_head()) == (head, head)
        return
    assert len(directory.get_heads()) != 1
    with pytest.raises(LookupError, match=r"^There is no migration that comes last: "):
        read_head()
