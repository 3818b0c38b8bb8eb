"""Carts of storefronts that keep them here: written whole, and read. A change is refused while a cart is locked."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from models.states import CartState
from pipeline.carts.cart_input import Cart, TaxIdValidation
from pipeline.carts.cart_lock import CartLock, find_cart_lock
from pipeline.carts.storage import GivenCart, create_carts, replace_carts
from pipeline.checkouts.locks import lock_cart
from pipeline.errors import Code, Conflict, Invalid, NotFound
from pipeline.settings import Settings

READ: Final = text("""
    SELECT id, owner, state, currency, customer, coupon_codes, tax_id, tax_id_validated, shipping_minor, shipping_title,
           shipping_tax_included, shipping_taxes, shipping_address, billing_address, created_at, updated_at
    FROM carts WHERE id = :id
""")

LINES: Final = text("""
    SELECT line, sku, quantity, unit_price_minor, currency, title, tax_included, discounts, taxes
    FROM cart_lines WHERE cart_id = :id ORDER BY line
""")


@dataclass(frozen=True, slots=True)
class StoredCart:
    """A stored cart; `cart_lock` is the checkout that locks it, if one does."""

    cart: dict[str, Any]
    state: CartState
    created_at: datetime
    updated_at: datetime
    cart_lock: CartLock | None


def put_cart(
    connection: Connection, owner: str, cart: Cart, settings: Settings, validated: TaxIdValidation | None = None
) -> bool:
    """Write a cart whole, with what is known of its tax id; True when it is new.

    Raises Invalid, NotFound (it is another owner's) or Conflict (locked, or bought); nothing is changed then.
    """
    if len(cart.lines) > settings.max_lines:
        raise Invalid(Code.CART_TOO_LARGE, lines=len(cart.lines), limit=settings.max_lines)
    given = [GivenCart(owner, cart, validated)]
    if create_carts(connection, given):
        return True
    row = lock_cart(connection, cart.id)
    if row is None or row.owner not in (None, owner):
        raise NotFound(Code.CART_UNKNOWN, cart_id=str(cart.id))
    if row.state == CartState.COMPLETED:
        raise Conflict(Code.CART_COMPLETED, cart_id=str(cart.id))
    if (cart_lock := find_cart_lock(connection, cart.id)) is not None:
        raise cart_lock.refuse(owner)
    replace_carts(connection, given)
    return False


def read_cart(connection: Connection, owner: str, cart_id: UUID) -> StoredCart:
    """Return a cart of this owner, or without an owner; NotFound for any other."""
    row = connection.execute(READ, {"id": cart_id}).mappings().one_or_none()
    if row is None or row["owner"] not in (None, owner):
        raise NotFound(Code.CART_UNKNOWN, cart_id=str(cart_id))
    cart = {"id": cart_id, **_read_content(connection, row)}
    cart_lock = find_cart_lock(connection, cart_id)
    return StoredCart(cart, CartState(row["state"]), row["created_at"], row["updated_at"], cart_lock)


def read_content(connection: Connection, cart_id: UUID) -> dict[str, Any]:
    """Return the content of a cart of any owner: the fields of `CartContent`, and each line with its number."""
    return _read_content(connection, connection.execute(READ, {"id": cart_id}).mappings().one())


def _read_content(connection: Connection, row: RowMapping) -> dict[str, Any]:
    names = (
        "currency",
        "customer",
        "coupon_codes",
        "tax_id",
        "tax_id_validated",
        "shipping_address",
        "billing_address",
    )
    content = {name: row[name] for name in names}
    content["lines"] = [dict(line) for line in connection.execute(LINES, {"id": row["id"]}).mappings()]
    content["shipping"] = None
    if row["shipping_minor"] is not None:
        content["shipping"] = {
            "amount_minor": row["shipping_minor"],
            "title": row["shipping_title"],
            "tax_included": row["shipping_tax_included"],
            "taxes": row["shipping_taxes"],
        }
    return content
