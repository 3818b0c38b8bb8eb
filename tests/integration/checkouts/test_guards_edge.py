"""The edge between an edit of a cart and the start of its checkout: both orders, with two connections."""

import threading
import time
from uuid import UUID

import pytest
from psycopg import Error
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from models.guards import CART_LOCKED
from pipeline.intake import StartRequest
from pipeline.intake import commands as intake
from tests.support.harness import OWNER, Shelf, Works

SERIALIZATION_FAILURE = "40001"

EDIT = "UPDATE cart_lines SET quantity = 5 WHERE cart_id = :id"


def sqlstate(error: DBAPIError) -> str | None:
    assert isinstance(error.orig, Error)
    return error.orig.sqlstate


def wait_for_lock(engine: Engine) -> None:
    """Wait until a session waits for a row."""
    sql = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
    ends_at = time.monotonic() + 5
    with engine.connect() as connection:
        while connection.execute(sql).scalar_one() == 0:
            connection.rollback()
            assert time.monotonic() < ends_at, "no session waits"
            time.sleep(0.01)


def test_an_edit_that_began_before_the_lock_is_in_the_quote(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given an editor that has not committed yet
    shelf.add_variant("cup", stock=9, price_minor=250)
    cart_id = shelf.add_cart(("cup", 1))
    started: list[UUID] = []
    starter = threading.Thread(target=lambda: started.append(works.start(cart_id, token="tok_ok")))
    with engine.connect() as editor:
        editor.execute(text(EDIT), {"id": cart_id})
        # When the checkout starts meanwhile
        starter.start()
        wait_for_lock(engine)
        assert started == []
        editor.commit()
    starter.join(5)
    works.pump()
    # Then
    assert works.states(started) == ["completed"]
    assert shelf.rows("SELECT quantity, total_minor FROM order_lines") == [(5, 1250)]


def test_an_edit_that_began_before_the_lock_and_was_rolled_back_is_not(
    works: Works, shelf: Shelf, engine: Engine
) -> None:
    # Given
    shelf.add_variant("cup", stock=9, price_minor=250)
    cart_id = shelf.add_cart(("cup", 1))
    started: list[UUID] = []
    starter = threading.Thread(target=lambda: started.append(works.start(cart_id, token="tok_ok")))
    with engine.connect() as editor:
        editor.execute(text(EDIT), {"id": cart_id})
        # When
        starter.start()
        wait_for_lock(engine)
        editor.rollback()
    starter.join(5)
    works.pump()
    # Then
    assert works.states(started) == ["completed"]
    assert shelf.rows("SELECT quantity, total_minor FROM order_lines") == [(1, 250)]


@pytest.mark.parametrize("commits", [True, False], ids=["committed", "rolled_back"])
def test_an_edit_that_waited_for_a_start_is_refused_if_it_started(
    works: Works, shelf: Shelf, engine: Engine, *, commits: bool
) -> None:
    # Given a start that has not committed yet
    shelf.add_variant("cup", stock=9, price_minor=250)
    cart_id = shelf.add_cart(("cup", 1))
    outcomes: list[object] = []

    def edit() -> None:
        try:
            outcomes.append(shelf.run(EDIT, id=cart_id))
        except DBAPIError as error:
            outcomes.append(sqlstate(error))

    editor = threading.Thread(target=edit)
    with engine.connect() as starter:
        intake.start(starter, StartRequest(owner=OWNER, cart_id=cart_id), works.settings)
        # When
        editor.start()
        wait_for_lock(engine)
        assert outcomes == []
        if commits:
            starter.commit()
        else:
            starter.rollback()
    editor.join(5)
    # Then
    assert outcomes == [CART_LOCKED if commits else 1]
    assert shelf.rows("SELECT quantity FROM cart_lines") == [(1 if commits else 5,)]


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize(
    "sql",
    [
        EDIT,
        "INSERT INTO cart_lines (cart_id, line, sku, quantity) VALUES (:id, 2, 'cup', 1)",
        "UPDATE carts SET currency = 'USD' WHERE id = :id",
    ],
    ids=["update", "insert", "cart"],
)
def test_an_editor_with_an_old_snapshot_is_refused(
    works: Works, shelf: Shelf, engine: Engine, isolation: str, sql: str
) -> None:
    # Given an editor whose snapshot is older than the checkout
    shelf.add_variant("cup", stock=9, price_minor=250)
    cart_id = shelf.add_cart(("cup", 1))
    with engine.connect().execution_options(isolation_level=isolation) as editor:
        editor.execute(text("SELECT count(*) FROM checkouts"))
        works.start(cart_id)
        works.pump()
        # When
        with pytest.raises(DBAPIError) as caught:
            editor.execute(text(sql), {"id": cart_id})
        # Then
        assert sqlstate(caught.value) in {CART_LOCKED, SERIALIZATION_FAILURE}
