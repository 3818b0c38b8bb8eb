"""Reading orders: one, a list, one change. For owners over HTTP, and for operators.

Public modules: `figures` (for operators), `listing` (the bounds of a page).
"""

from pipeline.orders.reading.changes import read_change
from pipeline.orders.reading.listing import OrderFilter, OrderPage, list_orders
from pipeline.orders.reading.orders import read_order
from pipeline.orders.reading.views import ChangeView, OrderEntry, OrderView

__all__ = [
    "ChangeView",
    "OrderEntry",
    "OrderFilter",
    "OrderPage",
    "OrderView",
    "list_orders",
    "read_change",
    "read_order",
]
