"""Carts: what comes in, how it is stored and edited, and how the phases read it.

Public modules: `cart_input` (each part of a cart, checked on receipt), `cart_lock` (the active checkout of a cart),
`resolution` (which variant each line is), `snapshot` (lines with their prices, for phases),
`storage` (whole carts, many at once).
"""

from pipeline.carts.cart_input import Cart
from pipeline.carts.editing import StoredCart, put_cart, read_cart, read_content
from pipeline.carts.snapshot import Basket

__all__ = ["Basket", "Cart", "StoredCart", "put_cart", "read_cart", "read_content"]
