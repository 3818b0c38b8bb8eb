"""Orders after they were placed: what is left of them, and what changes them.

Public modules: none.
"""

from pipeline.orders.book import BookLine, OrderBook, load_books

__all__ = ["BookLine", "OrderBook", "load_books"]
