"""The list of orders: newest first, filtered, one page at a time.

Ids are in order of time: a page begins after the last id of the one before, and page ten thousand costs as much as page
one. Only conditions that are given are in the query, so that the planner sees which index serves.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import OrderState
from pipeline.database.ids import SLACK, first_id
from pipeline.errors import Code, Invalid
from pipeline.orders.views import OrderPage, OrderSummary

#: The largest page.
MAX_PAGE: Final = 200

_SELECT: Final = """
    SELECT o.id, o.number, o.state, o.checkout_id, o.owner, o.reference, o.customer, o.currency, o.total_minor,
           o.placed_at, o.cancelled_at,
           (SELECT coalesce(sum(c.amount_minor), 0)::bigint FROM order_changes c
            WHERE c.order_id = o.id AND c.kind IN ('cancel', 'refund') AND c.state <> 'failed') AS refunded_minor
    FROM orders o WHERE o.number IS NOT NULL
"""
_CONDITIONS: Final = {
    "owner": "o.owner = :owner",
    "number": "o.number = :number",
    "reference": "o.reference = :reference",
    "customer": "o.customer = :customer",
    "state": "o.state = :state",
    "payment_reference": "o.checkout_id = (SELECT checkout_id FROM payments WHERE reference = :payment_reference)",
    "since": "o.placed_at >= :since AND o.id >= CAST(:since_id AS uuid)",
    "until": "o.placed_at < :until AND o.id < CAST(:until_id AS uuid)",
    "before": "o.id < CAST(:before AS uuid)",
}


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """The orders that fulfil every given condition. `since` and `until` are about the time of placing."""

    number: int | None = None
    reference: str | None = None
    customer: str | None = None
    state: OrderState | None = None
    payment_reference: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def list_orders(
    connection: Connection, wanted: OrderFilter, *, owner: str | None, after: str | None = None, limit: int = 50
) -> OrderPage:
    """Return one page of the orders of an owner; of all owners for operators, who give None.

    `after` is the `next` of the page before. Raises Invalid (REQUEST_INVALID) for one that is none.
    """
    size = max(1, min(limit, MAX_PAGE))
    given: dict[str, Any] = {
        name: value
        for name in _CONDITIONS
        if name not in {"owner", "before"} and (value := getattr(wanted, name)) is not None
    }
    if owner is not None:
        given["owner"] = owner
    if after is not None:
        given["before"] = _read_cursor(after)
    where = "".join(f" AND {_CONDITIONS[name]}" for name in given)
    if wanted.since is not None:
        # An order is written before it is placed: by minutes, where the capture is slow.
        given["since_id"] = first_id(wanted.since, -SLACK)
    if wanted.until is not None:
        given["until_id"] = first_id(wanted.until, SLACK)
    query = text(f"{_SELECT}{where} ORDER BY o.id DESC LIMIT :size")
    rows = connection.execute(query, {**given, "size": size + 1}).all()
    orders = tuple(OrderSummary.model_validate(row) for row in rows[:size])
    return OrderPage(orders=orders, next=str(orders[-1].id) if len(rows) > size else None)


def _read_cursor(after: str) -> UUID:
    try:
        return UUID(after)
    except ValueError:
        raise Invalid(Code.REQUEST_INVALID, reason="after is not the `next` of a page") from None
