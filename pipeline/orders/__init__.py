"""Orders after they were placed: what is left of them, what changes them, and what moves their money.

Public modules: `charges` (reads what happened at the provider), `reading` (one order, a list, one change), `requests`
(checked on receipt), `result` (of one). The room refunds settles a refund by what the provider shows of it: its
apply_shown_refund.
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
