"""PostgreSQL: connections, and transactions that are repeated while the database is the one that fails.

Public modules: `backoff` (exponential back-off, in Python and in SQL), `migrations`, `roles`, `temporary` (a database
for a test).
"""

from pipeline.database.connections import assert_no_transaction, connect_engine, is_transient, reading, transaction
from pipeline.database.transactions import TRANSIENT_WAITS, TransactionRunner

__all__ = [
    "TRANSIENT_WAITS",
    "TransactionRunner",
    "assert_no_transaction",
    "connect_engine",
    "is_transient",
    "reading",
    "transaction",
]
