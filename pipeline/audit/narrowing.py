"""The audit of a range of checkouts: the same queries, over the rows of these checkouts."""

from typing import Final

#: The rows of the checkouts of a range, by table. In the order in which they refer to each other: a name stands for
#: the narrowed rows in those that follow, and in the query.
_ROWS: Final = {
    "checkouts": "SELECT * FROM checkouts WHERE id >= :from_id AND id < :until_id",
    **{
        table: f"SELECT * FROM {table} WHERE checkout_id >= :from_id AND checkout_id < :until_id"
        for table in (
            *("checkout_lines", "idempotency_keys", "events", "reservations", "stock_movements", "price_locks"),
            *("price_lock_lines", "redemptions", "payments", "payment_operations", "orders", "refunds"),
        )
    },
    "order_lines": "SELECT n.* FROM order_lines n JOIN orders d ON d.id = n.order_id",
    "order_changes": "SELECT n.* FROM order_changes n JOIN orders d ON d.id = n.order_id",
    "order_change_lines": "SELECT n.* FROM order_change_lines n JOIN order_changes d ON d.id = n.change_id",
}

#: Put before a query of an invariant, it narrows every table that the query reads. Not materialised: conditions of the
#: query go down to the indexes.
NARROW: Final = f"WITH {', '.join(f'{table} AS NOT MATERIALIZED ({sql})' for table, sql in _ROWS.items())}"
