"""What the schema refuses whoever the client is: `psql` included."""

from uuid import UUID

import pytest
from sqlalchemy.exc import DBAPIError

from models.guards import APPEND_ONLY, BAD_TRANSITION, BEYOND_BOUND
from tests.integration.orders.counter import Counter, refund, restock

#: A change that code did not check.
CHANGE = """
    INSERT INTO order_changes (id, order_id, checkout_id, owner, kind, amount_minor, actor)
    SELECT gen_random_uuid(), id, checkout_id, owner, '{kind}', {amount}, 'operator:sql' FROM orders
"""
LINE = """
    INSERT INTO order_change_lines (change_id, purpose, line, location_id, quantity)
    SELECT id, '{purpose}', 1, (SELECT id FROM locations WHERE code = 'main'), {quantity} FROM order_changes
    WHERE actor = 'operator:sql'
"""
REFUND = """
    INSERT INTO refunds (change_id, checkout_id, n, idempotency_key, amount_minor, status)
    SELECT id, checkout_id, 9, 'by hand', {amount}, '{status}' FROM order_changes WHERE actor = 'operator:sql'
"""


def refusal(counter: Counter, sql: str, **values: object) -> str:
    """Return the SQLSTATE with which a statement is refused."""
    with pytest.raises(DBAPIError) as refused:
        counter.shelf.run(sql, **values)
    return str(getattr(refused.value.orig, "sqlstate", None))


@pytest.fixture
def order_id(counter: Counter) -> UUID:
    """An order of three cups and a pot, 10.00 in all; 2.50 are refunded, and one cup is restocked."""
    placed = counter.place()
    assert counter.do(placed, refund((1, 1))) == "done"
    assert counter.do(placed, restock((1, 1))) == "done"
    return placed


@pytest.mark.usefixtures("order_id")
@pytest.mark.parametrize("status", ["intended", "unknown", "succeeded"])
def test_more_than_was_captured_cannot_be_refunded(counter: Counter, status: str) -> None:
    counter.shelf.run(CHANGE.format(kind="refund", amount=751))
    assert refusal(counter, REFUND.format(amount=751, status=status)) == BEYOND_BOUND
    assert counter.shelf.run(REFUND.format(amount=750, status=status)) == 1


@pytest.mark.usefixtures("order_id")
@pytest.mark.parametrize(("purpose", "left"), [("refund", 2), ("restock", 2), ("fulfillment", 3)])
def test_more_units_than_were_sold_cannot_be_changed(counter: Counter, purpose: str, left: int) -> None:
    kind, amount = (purpose, "1") if purpose == "refund" else (purpose, "NULL")
    counter.shelf.run(CHANGE.format(kind=kind, amount=amount))
    assert refusal(counter, LINE.format(purpose=purpose, quantity=left + 1)) == BEYOND_BOUND
    assert counter.shelf.run(LINE.format(purpose=purpose, quantity=left)) == 1


def test_a_settled_refund_stays_as_it_is(counter: Counter, order_id: UUID) -> None:
    assert refusal(counter, "UPDATE refunds SET status = 'declined'") == BAD_TRANSITION
    assert refusal(counter, "UPDATE refunds SET amount_minor = 1") == APPEND_ONLY
    assert refusal(counter, "UPDATE order_changes SET state = 'requested' WHERE kind = 'refund'") == BAD_TRANSITION
    assert refusal(counter, "UPDATE order_changes SET reason = 'another'") == APPEND_ONLY
    assert refusal(counter, "DELETE FROM order_change_lines") == APPEND_ONLY
    for table in ("order_changes", "refunds"):
        assert refusal(counter, f"DELETE FROM {table}") == APPEND_ONLY
    assert refusal(counter, "UPDATE orders SET state = 'pending' WHERE id = :id", id=order_id) == BAD_TRANSITION


@pytest.mark.usefixtures("order_id")
def test_a_restock_moves_its_units_once(counter: Counter) -> None:
    again = "INSERT INTO stock_movements (variant_id, location_id, kind, quantity, change_id) SELECT variant_id,"
    assert refusal(counter, f"{again} location_id, kind, 1, change_id FROM stock_movements WHERE kind = 'restock'") == (
        "23505"
    )
