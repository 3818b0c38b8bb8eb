"""The database itself refuses every change of a locked cart, from every client."""

import pytest
from psycopg import Error
from sqlalchemy.exc import DBAPIError

from models.guards import CART_LOCKED
from tests.support.harness import Shelf, Works

CHANGES = {
    "update a line": "UPDATE cart_lines SET quantity = 99 WHERE cart_id = :id",
    "add a line": "INSERT INTO cart_lines (cart_id, line, sku, quantity) VALUES (:id, 2, 'cup', 1)",
    "remove a line": "DELETE FROM cart_lines WHERE cart_id = :id",
    "move a line away": "UPDATE cart_lines SET cart_id = :other WHERE cart_id = :id",
    "move a line here": "UPDATE cart_lines SET cart_id = :id, line = 2 WHERE cart_id = :other",
    "change the address": "UPDATE carts SET shipping_address = '{}' WHERE id = :id",
    "change the currency": "UPDATE carts SET currency = 'USD' WHERE id = :id",
    "complete the cart": "UPDATE carts SET state = 'completed' WHERE id = :id",
    "remove the cart": "DELETE FROM carts WHERE id = :id",
}


@pytest.mark.parametrize("sql", CHANGES.values(), ids=CHANGES.keys())
def test_a_locked_cart_refuses_every_change(works: Works, shelf: Shelf, sql: str) -> None:
    # Given a cart that waits for its payment, and another one
    shelf.add_variant("cup", stock=3, price_minor=250)
    cart_id, other = shelf.add_cart(("cup", 1)), shelf.add_cart(("cup", 2))
    checkout_id = works.start(cart_id)
    works.pump()
    expires_at = works.status(checkout_id).expires_at
    before = (shelf.rows("SELECT * FROM carts ORDER BY id"), shelf.rows("SELECT * FROM cart_lines ORDER BY cart_id"))
    # When
    with pytest.raises(DBAPIError) as caught:
        shelf.run(sql, id=cart_id, **({"other": other} if ":other" in sql else {}))
    # Then it is refused with its own SQLSTATE and a sentence, and nothing has changed
    refusal = caught.value.orig
    assert isinstance(refusal, Error)
    assert refusal.sqlstate == CART_LOCKED
    assert str(refusal.diag.message_primary).startswith(f"Cart {cart_id} is locked by checkout {checkout_id}, which ")
    assert refusal.diag.message_hint == "Wait until the checkout has ended, or cancel it; then change the cart."
    assert expires_at.isoformat(sep=" ")[:19] in str(refusal.diag.message_primary)
    after = (shelf.rows("SELECT * FROM carts ORDER BY id"), shelf.rows("SELECT * FROM cart_lines ORDER BY cart_id"))
    assert after == before


def test_a_cart_is_open_again_when_its_checkout_has_ended(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=3, price_minor=250)
    cart_id = shelf.add_cart(("cup", 1))
    checkout_id = works.start(cart_id)
    works.pump()
    works.service.cancel(checkout_id, "shop-1")
    works.pump()
    # When
    changed = shelf.run(CHANGES["update a line"], id=cart_id)
    # Then
    assert (works.states([checkout_id]), changed) == (["cancelled"], 1)
