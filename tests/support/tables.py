"""The tables of the engine and of the sandbox bank, and emptying them between two tests."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection

from models.tables import Base

TABLES: Final = [table.fullname for table in Base.metadata.sorted_tables]


def empty_tables(connection: Connection, tables: Iterable[str] = TABLES) -> None:
    """Delete all rows of these tables, whatever still runs on them."""
    # `replica` switches the triggers off, which rightly refuse to let history go.
    connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
    # A worker that still looks at what the test before left locks rows in another order than DELETE does.
    connection.exec_driver_sql("LOCK TABLE checkouts IN EXCLUSIVE MODE")
    # To look into every table takes a twentieth of emptying every one.
    names = list(tables)
    rows = connection.exec_driver_sql(f"SELECT {', '.join(f'EXISTS (SELECT FROM {name})' for name in names)}").one()
    if full := [name for name, has_rows in zip(names, rows, strict=True) if has_rows]:
        connection.exec_driver_sql(";\n".join(f"DELETE FROM {name}" for name in full))
