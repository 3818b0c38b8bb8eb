"""The SQL files beside the migrations are all in the database, and say the same as the code's own tables."""

import re
from typing import Final

import pytest
from sqlalchemy import Engine

from models.guards import APPEND_ONLY, BAD_TRANSITION, BEYOND_BOUND, CART_LOCKED, OWNER_MOVING
from models.history import FROZEN
from models.states import ACTIVE_SQL
from pipeline.database.migrations import PYPROJECT
from tests.support.harness import Shelf

FOLDER: Final = PYPROJECT.parent / "migrations" / "sql"

#: What is made, its name in the file, and where the database lists it.
OBJECTS: Final = {
    "tables": (
        r"^CREATE TABLE (?:\w+\.)?(\w+)",
        "SELECT tablename FROM pg_tables WHERE schemaname IN ('public', 'sandbox') AND tablename <> 'alembic_version'",
    ),
    "indexes": (
        r"^CREATE (?:UNIQUE )?INDEX (\w+)|CONSTRAINT (\w+) (?:PRIMARY KEY|UNIQUE)",
        "SELECT indexname FROM pg_indexes WHERE schemaname IN ('public', 'sandbox') AND tablename <> 'alembic_version'",
    ),
    "functions": (
        r"^CREATE FUNCTION (\w+)",
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    ),
    "triggers": (
        r"^CREATE TRIGGER (\w+)",
        """SELECT tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
           WHERE NOT tgisinternal AND c.relnamespace <> 'partitions'::regnamespace""",
    ),
}


def read_functions(shelf: Shelf) -> dict[str, str]:
    """Return the body of each function."""
    rows = shelf.rows("SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
    return dict(rows)


@pytest.mark.parametrize("kind", OBJECTS)
def test_whatever_the_files_make_is_in_the_database_and_nothing_else(shelf: Shelf, kind: str) -> None:
    pattern, sql = OBJECTS[kind]
    written = "\n".join(path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*/*.sql")))
    named = ["".join(match.groups(default="")) for match in re.finditer(pattern, written, re.MULTILINE)]
    assert sorted(name for (name,) in shelf.rows(sql)) == sorted(named)
    assert named


def test_carts_are_locked_in_each_active_state(shelf: Shelf) -> None:
    bodies = read_functions(shelf)
    found = {name: re.findall(r"state IN \(([^)]+)\)", body) for name, body in bodies.items()}
    assert {name: states for name, states in found.items() if states} == {
        "cart_guard": [ACTIVE_SQL] * 2,
        "cart_lines_guard": [ACTIVE_SQL],
    }


def test_refusals_have_the_sqlstates_that_the_code_knows(shelf: Shelf) -> None:
    found = {
        name: set(codes)
        for name, body in read_functions(shelf).items()
        if (codes := re.findall(r"ERRCODE = '(\w+)'", body))
    }
    assert found == {
        "cart_guard": {CART_LOCKED},
        "cart_lines_guard": {CART_LOCKED},
        "append_only_guard": {APPEND_ONLY},
        "price_lock_guard": {APPEND_ONLY},
        "frozen_guard": {APPEND_ONLY},
        "checkout_guard": {BAD_TRANSITION},
        "transition_guard": {BAD_TRANSITION},
        "owner_move_guard": {OWNER_MOVING},
        "refund_guard": {BEYOND_BOUND},
        "change_line_guard": {BEYOND_BOUND},
    }


def test_frozen_columns_are_those_that_no_role_may_change(engine: Engine, shelf: Shelf) -> None:
    rows = shelf.rows("""
        SELECT t.tgrelid::regclass::text, array_agg(a.attname::text), pg_get_triggerdef(t.oid)
        FROM pg_trigger t JOIN pg_attribute a ON a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr)
        WHERE t.tgname = 'frozen' AND t.tgparentid = 0 GROUP BY t.oid
    """)
    assert {table: sorted(columns) for table, columns, _ in rows} == {
        table: sorted(columns) for table, columns in FROZEN.items()
    }
    # The sentence names them all, in the order of the code.
    for table, _, definition in rows:
        assert f"'The columns {', '.join(FROZEN[table])}'" in definition
