"""Orders after they were placed: what is left of them, what changes them, and what moves their money.

Public modules: `charges` (applies what the provider shows), `reading` (one order, a list, one change),
`reading.figures` (for operators), `reading.listing` (the bounds of a page), `requests` (checked on receipt).
"""

from typing import TYPE_CHECKING

from pipeline import import_lazily
from pipeline.orders.book import BookLine, OrderBook, load_books
from pipeline.orders.result import ChangeResult

# Imported at their first use: who reads orders needs neither.
if TYPE_CHECKING:
    from pipeline.orders.runner import ChangeRunner
    from pipeline.orders.service import OrderService
else:
    __getattr__ = import_lazily(__name__, {"ChangeRunner": "runner", "OrderService": "service"})

__all__ = ["BookLine", "ChangeResult", "ChangeRunner", "OrderBook", "OrderService", "load_books"]
