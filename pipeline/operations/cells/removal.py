"""Removes the rows of an owner that lives in another cell now, some checkouts at a time.

History is kept by triggers, which only the owner of the tables can switch off: inside a transaction that locks these
tables against everybody else, as where partitions are made (migrations/sql/0001/partitions.sql). Each transaction
removes whole checkouts and leaves a ledger that adds up, so that any of them may be the last before a crash.
"""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from pipeline.database import is_transient, transaction
from pipeline.operations.cells.gate import LOCK

T = TypeVar("T")

#: The other owners' transactions wait for as long as this takes: about a tenth of a second.
CHECKOUTS: Final = 500
#: Shorter than the time after which PostgreSQL looks for deadlocks: this one gives way.
LOCK_MILLISECONDS: Final = 300
PAUSE_SECONDS: Final = 0.2
ATTEMPTS: Final = 300

NEXT: Final = text("SELECT id FROM checkouts WHERE owner = :owner ORDER BY id LIMIT :limit")
#: The trigger that keeps the rows of each table, in the order of LOCK first, and then as workers write them.
KEPT_BY: Final = {
    "refunds": "keep_refunds",
    "order_changes": "keep_order_changes",
    "order_change_lines": "append_only",
    "checkouts": "keep_checkouts",
    "payments": "keep_payments",
    "payment_operations": "keep_payment_operations",
    "idempotency_keys": "append_only",
    "price_locks": "keep_price_locks",
    "price_lock_lines": "append_only",
    "redemptions": "keep_redemptions",
    "reservations": "keep_reservations",
    "stock_movements": "append_only",
    "orders": "keep_orders",
    "order_lines": "append_only",
    "checkout_lines": "append_only",
    "events": "append_only",
}
_OF: Final = "WHERE checkout_id = ANY(CAST(:ids AS uuid[]))"
_OF_CHANGES: Final = f"change_id IN (SELECT id FROM order_changes {_OF})"
#: A restock belongs to a change of an order, and is in the default partition: that alone is read.
_RESTOCKS: Final = f"WHERE checkout_id IS NULL AND kind = 'restock' AND {_OF_CHANGES}"
BALANCE: Final = f"""
    INSERT INTO stock_movements (variant_id, location_id, kind, quantity)
    SELECT variant_id, location_id, 'balance', sum(quantity) FROM (
        SELECT variant_id, location_id, quantity FROM stock_movements {_OF} AND kind = 'sell'
        UNION ALL SELECT variant_id, location_id, quantity FROM stock_movements {_RESTOCKS}) AS moved
    GROUP BY variant_id, location_id HAVING sum(quantity) <> 0
"""
RETURN_COUPONS: Final = """
    UPDATE coupons c SET used = c.used - u.uses, usage_limit = c.usage_limit - u.uses
    FROM (SELECT code, count(*) AS uses FROM redemptions
          WHERE returned_at IS NULL AND checkout_id = ANY(CAST(:ids AS uuid[])) GROUP BY code) AS u
    WHERE c.code = u.code
"""
REMOVE: Final = tuple(
    text(each)
    for each in (
        BALANCE,
        RETURN_COUPONS,
        f"DELETE FROM webhook_deliveries {_OF}",
        f"DELETE FROM idempotency_keys {_OF}",
        f"DELETE FROM refunds {_OF}",
        f"DELETE FROM order_change_lines WHERE {_OF_CHANGES}",
        f"DELETE FROM stock_movements {_RESTOCKS}",
        f"DELETE FROM order_changes {_OF}",
        f"DELETE FROM order_lines WHERE order_id IN (SELECT id FROM orders {_OF})",
        *(
            f"DELETE FROM {table} {_OF}"
            for table in (
                *("orders", "reservations", "stock_movements", "redemptions", "payment_operations", "payments"),
                *("price_lock_lines", "price_locks", "events", "checkout_lines"),
            )
        ),
        "DELETE FROM checkouts WHERE id = ANY(CAST(:ids AS uuid[]))",
    )
)
#: A cart goes with the last of its checkouts, and one without any at the end.
CARTS_OF: Final = text("SELECT DISTINCT cart_id FROM checkouts WHERE id = ANY(CAST(:ids AS uuid[]))")
REMOVE_CARTS: Final = text("""
    DELETE FROM carts k WHERE id = ANY(CAST(:cart_ids AS uuid[]))
       AND NOT EXISTS (SELECT FROM checkouts c WHERE c.cart_id = k.id)
""")
REMOVE_REST: Final = tuple(
    text(f"DELETE FROM {table} WHERE owner = :owner") for table in ("carts", "stored_responses", "webhook_endpoints")
)


def remove_rows(engine: Engine, owner: str, pass_step: Callable[[str], None]) -> None:
    """Remove every row of the owner but its keys, which say where it lives. Safe to repeat."""
    while repeat_locked(engine, lambda connection: _remove_some(connection, owner)):
        pass_step("some removed")
    repeat_locked(engine, lambda connection: _remove_rest(connection, owner))


def repeat_locked(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Return what `work` returned in its transaction; repeat it while it does not get its locks at once."""
    for attempt in range(ATTEMPTS):
        try:
            with transaction(engine) as connection:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
                return work(connection)
        except DBAPIError as error:
            if not is_transient(error) or attempt == ATTEMPTS - 1:
                raise
        time.sleep(PAUSE_SECONDS)
    raise AssertionError("the last attempt returns or raises")


def _remove_some(connection: Connection, owner: str) -> int:
    connection.exec_driver_sql(LOCK)
    ids = list(connection.execute(NEXT, {"owner": owner, "limit": CHECKOUTS}).scalars())
    if not ids:
        return 0
    for table, trigger in KEPT_BY.items():
        connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
    carts = list(connection.execute(CARTS_OF, {"ids": ids}).scalars())
    for statement in REMOVE:
        connection.execute(statement, {"ids": ids})
    connection.execute(REMOVE_CARTS, {"cart_ids": carts})
    for table, trigger in KEPT_BY.items():
        connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER {trigger}")
    return len(ids)


def _remove_rest(connection: Connection, owner: str) -> int:
    return sum(connection.execute(statement, {"owner": owner}).rowcount for statement in REMOVE_REST)
