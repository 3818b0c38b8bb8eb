"""Orders after they were placed: what is left of them, and what changes them.

Public modules: `charge_reader` (reads what happened at the provider), `charge_schedule` (when it is read again),
`conditions` (one definition each).
"""

from pipeline.orders.book import BookLine, OrderBook, load_books

__all__ = ["BookLine", "OrderBook", "load_books"]
