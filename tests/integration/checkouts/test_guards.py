"""What the database refuses from any client: a plain connection, by raw SQL."""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from psycopg import Error
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from models.guards import APPEND_ONLY, BAD_TRANSITION, CART_LOCKED
from models.states import TRANSITIONS, CheckoutState
from tests.support.harness import OWNER, Shelf, Works
from tests.support.workbench import take_snapshot

EDIT = "UPDATE cart_lines SET quantity = 5 WHERE cart_id = :id"


def refuse(shelf: Shelf, sql: str, **parameters: object) -> str | None:
    """Run a statement that must be refused; return its SQLSTATE."""
    with pytest.raises(DBAPIError) as caught:
        shelf.run(sql, **parameters)
    return sqlstate(caught.value)


def sqlstate(error: DBAPIError) -> str | None:
    assert isinstance(error.orig, Error)
    return error.orig.sqlstate


def end_completed(works: Works, checkout_id: UUID) -> None:
    works.pay(checkout_id)


def end_failed(works: Works, checkout_id: UUID) -> None:
    works.pay(checkout_id, "tok_capture_declined")


def end_cancelled(works: Works, checkout_id: UUID) -> None:
    works.service.cancel(checkout_id, OWNER)


@pytest.mark.parametrize("end", [end_completed, end_failed, end_cancelled])
def test_a_cart_may_be_changed_after_every_ending(
    works: Works, shelf: Shelf, end: Callable[[Works, UUID], None]
) -> None:
    # Given
    shelf.add_variant("cup", stock=9)
    cart_id = shelf.add_cart(("cup", 1))
    checkout_id = works.start(cart_id)
    works.pump()
    assert refuse(shelf, EDIT, id=cart_id) == CART_LOCKED
    # When
    end(works, checkout_id)
    assert refuse(shelf, EDIT, id=cart_id) == CART_LOCKED
    works.pump()
    # Then
    assert shelf.run(EDIT, id=cart_id) == 1


def test_a_cart_is_locked_from_start_on_in_every_phase(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=9)
    cart_id = shelf.add_cart(("cup", 1))
    works.start(cart_id, token="tok_ok")
    # When
    refusals = []
    for phase in ("cart_validation", "inventory_reservation", "price_lock", "payment_authorization",
                  "order_creation", "payment_capture", "stock_commit"):  # fmt: skip
        refusals.append(refuse(shelf, EDIT, id=cart_id))
        works.run_phase(phase)
    # Then
    assert refusals == [CART_LOCKED] * 7
    assert shelf.rows("SELECT state FROM carts") == [("completed",)]


def test_a_statement_over_many_carts_is_refused_whole(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    shelf.add_variant("cup", stock=9)
    carts = [shelf.add_cart(("cup", 1)) for _ in range(3)]
    works.start(carts[1])
    before = take_snapshot(engine)
    # When
    assert refuse(shelf, "UPDATE cart_lines SET quantity = 2") == CART_LOCKED
    assert refuse(shelf, "DELETE FROM carts") == CART_LOCKED
    # Then
    assert take_snapshot(engine) == before


def test_lines_of_a_locked_cart_cannot_be_truncated(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=9)
    works.start(shelf.add_cart(("cup", 1)))
    # When, then
    assert refuse(shelf, "TRUNCATE cart_lines") == CART_LOCKED


@pytest.mark.parametrize(
    "table",
    ["checkout_lines", "events", "order_lines", "price_lock_lines", "idempotency_keys", "stock_movements"],
)
@pytest.mark.parametrize("what", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_history_is_neither_changed_nor_removed(
    works: Works, shelf: Shelf, engine: Engine, table: str, what: str
) -> None:
    # Given
    shelf.add_variant("cup", stock=9)
    works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
    works.pump()
    before = take_snapshot(engine)
    named = {"checkout_lines": "variant_id", "events": "kind", "stock_movements": "kind", "idempotency_keys": "key"}
    column = named.get(table, "sku")
    # When
    state = refuse(shelf, what.format(table, column, column))
    # Then
    assert state == APPEND_ONLY
    assert take_snapshot(engine) == before


def test_a_price_lock_may_be_voided_once_and_nothing_else(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    shelf.add_variant("cup", stock=9)
    checkout_id = works.start(shelf.add_cart(("cup", 1)))
    works.pump()
    # When
    refusals = [
        refuse(shelf, sql)
        for sql in (
            "UPDATE price_locks SET total_minor = 1",
            "UPDATE price_locks SET total_minor = 1, voided_at = now()",
            "UPDATE price_locks SET hash = 'x'",
            "DELETE FROM price_locks",
            "TRUNCATE price_locks CASCADE",
        )
    ]
    # Then
    assert refusals == [APPEND_ONLY] * 5
    # When it was voided
    works.service.cancel(checkout_id, OWNER)
    works.pump()
    # Then
    assert refuse(shelf, "UPDATE price_locks SET voided_at = now()") == APPEND_ONLY
    assert refuse(shelf, "UPDATE price_locks SET voided_at = NULL") == APPEND_ONLY


def test_checkouts_are_never_removed(works: Works, shelf: Shelf) -> None:
    # Given
    works.start(shelf.add_cart(("cup", 1)))
    # When, then
    assert refuse(shelf, "DELETE FROM checkouts") == APPEND_ONLY
    assert refuse(shelf, "TRUNCATE checkouts CASCADE") == APPEND_ONLY
    works.pump()


#: What a row must have to be in a state, so that no check but the trigger speaks.
SHAPE = """
    phase = CASE WHEN :state = 'completed' THEN 7 ELSE 0 END,
    ended_at = CASE WHEN :state IN ('completed', 'failed', 'cancelled', 'expired') THEN now() END,
    review = CASE WHEN :state = 'needs_review' THEN CAST('{}' AS jsonb) END
"""


@pytest.mark.parametrize("old", CheckoutState)
def test_only_the_drawn_transitions_exist(shelf: Shelf, engine: Engine, old: CheckoutState) -> None:
    # Given a checkout in this state, brought there without the trigger
    works_id = uuid4()
    shelf.run(
        "INSERT INTO checkouts (id, cart_id, owner, currency, straight_through, expires_at)"
        " VALUES (:id, :cart_id, 'shop-1', 'EUR', false, now())",
        id=works_id,
        cart_id=shelf.add_cart(("cup", 1)),
    )
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.execute(text(f"UPDATE checkouts SET state = :state, {SHAPE}"), {"state": old})
    # When each other state is tried
    refusals = {}
    for new in set(CheckoutState) - {old}:
        with engine.connect() as connection:
            try:
                connection.execute(text(f"UPDATE checkouts SET state = :state, {SHAPE}"), {"state": new})
            except DBAPIError as error:
                refusals[new] = sqlstate(error)
    # Then
    assert refusals == dict.fromkeys(set(CheckoutState) - {old} - TRANSITIONS[old], BAD_TRANSITION)


def test_the_fence_and_the_pivot_never_go_back(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=9)
    works.start(shelf.add_cart(("cup", 1)), token="tok_capture_declined")
    works.pump()
    # When, then
    assert refuse(shelf, "UPDATE checkouts SET fence = fence - 1") == BAD_TRANSITION
    assert refuse(shelf, "UPDATE checkouts SET pivot_at = NULL") == BAD_TRANSITION


def test_no_statement_can_oversell(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=3)
    shelf.add_variant("pot", stock=3, backorder=True)
    # When, then
    for sql in (
        "UPDATE stock_levels SET reserved = 4 WHERE NOT backorderable",
        "UPDATE stock_levels SET reserved = -1",
        "UPDATE stock_levels SET on_hand = 2, reserved = 3 WHERE NOT backorderable",
    ):
        with pytest.raises(IntegrityError, match="stock_levels_no_oversell_check"):
            shelf.run(sql)


def test_a_cart_has_one_active_checkout_and_one_order(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=3)
    cart_id = shelf.add_cart(("cup", 1))
    works.start(cart_id)
    copy = """
        INSERT INTO checkouts (id, cart_id, owner, currency, straight_through, expires_at, sent_at, due_at, due_reason)
        SELECT gen_random_uuid(), cart_id, owner, currency, false, expires_at, sent_at, due_at, due_reason
        FROM checkouts
    """
    # When, then
    with pytest.raises(IntegrityError, match="checkouts_active_cart_key"):
        shelf.run(copy)
    # When it is bought
    works.pay(works.service.status(cart_id=cart_id).checkout_id)
    works.pump()
    order = """
        INSERT INTO orders (id, checkout_id, cart_id, owner, currency, subtotal_minor, discount_minor, shipping_minor,
                            tax_minor, total_minor, shipping_address)
        SELECT gen_random_uuid(), checkout_id, cart_id, owner, currency, 1, 0, 0, 0, 1, '{}' FROM orders
    """
    # Then
    with pytest.raises(IntegrityError, match=r"orders_cart_key|orders_checkout_id_key"):
        shelf.run(order)
