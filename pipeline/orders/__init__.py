"""Orders after they were placed: what is left of them, what changes them, and what moves their money.

Public modules: `frozen_orders` (what never changes of an order), `listing` (pages of orders), `reading` (one order, one
change), `requests` (checked on receipt), `result` (of a request), `views` (what is shown).
"""

from typing import TYPE_CHECKING

from pipeline import import_lazily
from pipeline.orders.book import BookLine, OrderBook, load_books
from pipeline.orders.result import ChangeResult

# Imported at its first use: who reads orders does not need the service.
if TYPE_CHECKING:
    from pipeline.orders.service import OrderService
else:
    __getattr__ = import_lazily(__name__, {"OrderService": "service"})

__all__ = ["BookLine", "ChangeResult", "OrderBook", "OrderService", "load_books"]
