"""Triggers use the schema of their tables: no object and no search path of a session affects them."""

from typing import Final

import pytest
from psycopg import Error
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from models.guards import APPEND_ONLY, CART_LOCKED
from tests.support.harness import Shelf, Works
from tests.support.workbench import take_snapshot

EDIT: Final = "UPDATE public.cart_lines SET quantity = 5"

#: What a session may do first, so that a guard that trusted it would find no checkout.
TRICKS: Final = {
    "temporary table": ["CREATE TEMPORARY TABLE checkouts (LIKE public.checkouts) ON COMMIT DROP"],
    "temporary view": ["CREATE TEMPORARY VIEW checkouts AS SELECT * FROM public.checkouts WHERE false"],
    "temporary carts": ["CREATE TEMPORARY TABLE carts (LIKE public.carts) ON COMMIT DROP"],
    "another schema": [
        "CREATE SCHEMA evil",
        "CREATE TABLE evil.checkouts (LIKE public.checkouts)",
        "SET LOCAL search_path = evil, public",
    ],
    "no schema at all": ["SET LOCAL search_path = ''"],
    "temporary tables first": [
        "CREATE TEMPORARY TABLE checkouts (LIKE public.checkouts) ON COMMIT DROP",
        "SET LOCAL search_path = pg_temp, public",
    ],
    "an operator": [
        "CREATE SCHEMA evil",
        "CREATE FUNCTION evil.never(uuid, uuid) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false'",
        "CREATE OPERATOR evil.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = evil.never)",
        "SET LOCAL search_path = evil, pg_catalog, public",
    ],
    "a function": [
        "CREATE SCHEMA evil",
        "CREATE FUNCTION evil.format(text, VARIADIC \"any\") RETURNS text LANGUAGE internal AS 'text_format_nv'",
        "SET LOCAL search_path = evil, pg_catalog, public",
    ],
    "a type": [
        "CREATE SCHEMA evil",
        "CREATE DOMAIN evil.uuid AS integer",
        "SET LOCAL search_path = evil, pg_catalog, public",
    ],
}


@pytest.mark.parametrize("trick", TRICKS)
def test_a_locked_cart_stays_locked_whatever_the_session_makes(
    works: Works, shelf: Shelf, engine: Engine, trick: str
) -> None:
    # Given
    shelf.add_variant("cup", stock=9)
    works.start(shelf.add_cart(("cup", 1)))
    works.pump()
    before = take_snapshot(engine)
    # When
    with engine.connect() as connection:
        for statement in TRICKS[trick]:
            connection.execute(text(statement))
        with pytest.raises(DBAPIError) as caught:
            connection.execute(text(EDIT))
        connection.rollback()
    # Then
    assert isinstance(caught.value.orig, Error)
    assert caught.value.orig.sqlstate == CART_LOCKED
    assert take_snapshot(engine) == before


@pytest.mark.parametrize("trick", TRICKS)
def test_history_stays_history_whatever_the_session_makes(
    works: Works, shelf: Shelf, engine: Engine, trick: str
) -> None:
    shelf.add_variant("cup", stock=9)
    works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
    works.pump()
    before = take_snapshot(engine)
    with engine.connect() as connection:
        for statement in TRICKS[trick]:
            connection.execute(text(statement))
        with pytest.raises(DBAPIError) as caught:
            connection.execute(text("UPDATE public.orders SET total_minor = total_minor + 1"))
        connection.rollback()
    assert isinstance(caught.value.orig, Error)
    assert caught.value.orig.sqlstate == APPEND_ONLY
    assert take_snapshot(engine) == before


def test_every_function_has_its_own_search_path(shelf: Shelf) -> None:
    found = shelf.rows("""
        SELECT p.proname, p.prosecdef, p.proconfig FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY p.proname
    """)
    # The normaliser of names reads no table.
    usual, its = "pg_catalog, public, pg_temp", "pg_catalog, pg_temp"
    paths = {name: its if name == "normalize_name" else usual for name, *_ in found}
    assert found == [(name, False, [f"search_path={path}"]) for name, path in paths.items()]
    assert {"cart_guard", "frozen_guard", "normalize_name", "normalize_names"} <= paths.keys()
