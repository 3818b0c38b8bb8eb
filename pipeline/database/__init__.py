"""PostgreSQL: connections, and transactions that are repeated while the database is the one that fails.

Public modules: `backoff` (exponential back-off, in Python and in SQL), `hosts` (those of one URL), `ids` (ranges of ids
are ranges of times), `invariant` (what must always be true, as a query), `migrations`, `readers` (from a standby, for
people), `roles`, `schema_grant` (rights in a gateway's own schema), `temporary` (a database for a test), `urls`
(libpq's spelling), `wake_ups` (which long polls a commit wakes).
"""

from typing import TYPE_CHECKING

from pipeline import import_lazily

# Imported when a name is asked for: settings of gateways need `invariant` and `schema_grant`, connections need
# SQLAlchemy and the driver (250 modules more).
if TYPE_CHECKING:
    from pipeline.database.connections import assert_no_transaction, connect_engine, is_transient, reading, transaction
    from pipeline.database.readers import connect_reader
    from pipeline.database.transactions import TRANSIENT_WAITS, TransactionRunner
else:
    __getattr__ = import_lazily(
        __name__,
        {
            "assert_no_transaction": "connections",
            "connect_engine": "connections",
            "connect_reader": "readers",
            "is_transient": "connections",
            "reading": "connections",
            "transaction": "connections",
            "TRANSIENT_WAITS": "transactions",
            "TransactionRunner": "transactions",
        },
    )


__all__ = [
    "TRANSIENT_WAITS",
    "TransactionRunner",
    "assert_no_transaction",
    "connect_engine",
    "connect_reader",
    "is_transient",
    "reading",
    "transaction",
]
