"""Lists of orders: newest first, filtered, one page at a time.

Ids are in order of time: a page begins after the last id of the one before, and page ten thousand costs as much as page
one, however many orders there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import OrderState
from pipeline.database.ids import first_id
from pipeline.field_types.cursors import read_cursor, write_cursor
from pipeline.orders.reading.views import OrderEntry

#: The usual and the largest page.
USUAL_PAGE: Final = 50
MAX_PAGE: Final = 200
#: The largest number that an order may have.
MAX_NUMBER: Final = 2**63 - 1

# Conditions that the filter does not name are left out, so that the planner sees which index serves. An order that was
# never placed has no number.
_SELECT: Final = """
    SELECT o.id, o.checkout_id, o.owner, o.number, o.state, o.reference, o.customer, o.currency, o.total_minor,
           o.created_at, o.placed_at, o.cancelled_at
    FROM orders o WHERE o.number IS NOT NULL
"""
_CONDITIONS: Final = {
    "owner": "o.owner = :owner",
    "number": "o.number = :number",
    "reference": "o.reference = :reference",
    "customer": "o.customer = :customer",
    "since": "o.id >= CAST(:since AS uuid)",
    "until": "o.id < CAST(:until AS uuid)",
    "payment_reference": "o.checkout_id = (SELECT checkout_id FROM payments WHERE reference = :payment_reference)",
    "after": "o.id < CAST(:after AS uuid)",
}
# Written out, so that the partial index is seen to serve.
_STATES: Final = {OrderState.PLACED: "o.state = 'placed'", OrderState.CANCELLED: "o.state = 'cancelled'"}


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """The orders that fulfil every given condition.

    `since` (inclusive) and `until` (exclusive) are about the moment in the order's id: it is written in the checkout's
    last phases, and placed as soon as its payment is captured. `customer` is as carts have it, without invisible
    characters. `payment_reference` is the provider's, for operators.
    """

    number: int | None = None
    reference: str | None = None
    customer: str | None = None
    state: OrderState | None = None
    since: datetime | None = None
    until: datetime | None = None
    payment_reference: str | None = None


@dataclass(frozen=True, slots=True)
class OrderPage:
    """Some orders, newest first; `next_after` begins the next page, None on the last."""

    entries: Sequence[OrderEntry]
    next_after: str | None


def list_orders(
    connection: Connection,
    wanted: OrderFilter,
    *,
    owner: str | None,
    after: str | None = None,
    limit: int = USUAL_PAGE,
) -> OrderPage:
    """Return one page of an owner's orders, or of all owners' for operators (None), after a cursor of this list.

    Raises Invalid for a text that is no cursor.
    """
    size = max(1, min(limit, MAX_PAGE))
    given: dict[str, Any] = {
        "owner": owner,
        "number": wanted.number,
        "reference": wanted.reference,
        "customer": wanted.customer,
        "since": None if wanted.since is None else first_id(wanted.since),
        "until": None if wanted.until is None else first_id(wanted.until),
        "payment_reference": wanted.payment_reference,
        "after": None if after is None else UUID(bytes=read_cursor(after, size=16, of="list")),
    }
    given = {name: value for name, value in given.items() if value is not None}
    conditions = [_CONDITIONS[name] for name in given]
    if wanted.state is OrderState.PENDING:
        return OrderPage((), None)
    if wanted.state is not None:
        conditions.append(_STATES[wanted.state])
    query = text(" AND ".join((_SELECT, *conditions)) + " ORDER BY o.id DESC LIMIT :size")
    rows = [dict(row) for row in connection.execute(query, {**given, "size": size + 1}).mappings()]
    entries = tuple(OrderEntry(**row | {"state": OrderState(row["state"])}) for row in rows[:size])
    return OrderPage(entries, write_cursor(entries[-1].id.bytes) if len(rows) > size else None)
