"""Orders after they were placed: what is left of them, and what changes them.

Public modules: `book` (what was sold, refunded, restocked and fulfilled, and what is left).
"""

from pipeline.orders.book import BookLine, OrderBook, load_books

__all__ = ["BookLine", "OrderBook", "load_books"]
