"""The book of an order: what was sold and captured, what has been refunded, restocked and fulfilled, what is left.

Everything that bounds a change is decided here, from frozen rows and from changes that have not failed: a change that
is only requested counts like one that is done.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, text

from models.money import Money
from models.states import OrderState

ORDERS: Final = text("""
    SELECT o.id, o.checkout_id, o.owner, o.number, o.state, o.currency, o.total_minor,
           coalesce((SELECT sum(p.amount_minor) FROM payment_operations p
                     WHERE p.checkout_id = o.checkout_id AND p.kind = 'capture' AND p.status = 'succeeded'), 0)
               AS captured_minor,
           changed.*
    FROM orders o
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount_minor) FILTER (WHERE kind <> 'dispute'), 0) AS refunded_minor,
               coalesce(sum(delivery_minor), 0) AS delivery_refunded_minor,
               coalesce(sum(amount_minor) FILTER (WHERE kind = 'dispute' AND outcome ->> 'state' <> 'won'), 0)
                   AS disputed_minor,
               coalesce(bool_or(kind = 'cancel'), false) AS is_cancelling
        FROM order_changes c WHERE c.order_id = o.id AND c.state <> 'failed'
    ) changed
    WHERE o.id = ANY(CAST(:ids AS uuid[]))
""")

LINES: Final = text("""
    SELECT order_id, line, variant_id, sku, title, quantity, total_minor FROM order_lines
    WHERE order_id = ANY(CAST(:ids AS uuid[])) ORDER BY order_id, line
""")

CHANGED: Final = text("""
    SELECT c.order_id, l.line, l.purpose, l.location_id, sum(l.quantity) AS quantity,
           sum(l.amount_minor) AS amount_minor
    FROM order_changes c JOIN order_change_lines l ON l.change_id = c.id
    WHERE c.order_id = ANY(CAST(:ids AS uuid[])) AND c.state <> 'failed' GROUP BY 1, 2, 3, 4
""")

SOLD: Final = text("""
    SELECT o.id AS order_id, r.line, r.location_id, n.code, r.quantity
    FROM orders o JOIN reservations r ON r.checkout_id = o.checkout_id AND r.state = 'committed'
    JOIN locations n ON n.id = r.location_id
    WHERE o.id = ANY(CAST(:ids AS uuid[])) ORDER BY o.id, r.line, r.location_id
""")


@dataclass(frozen=True, slots=True)
class Allocation:
    """Units of a line that were sold at one location, and how many of them came back into its stock."""

    location_id: int
    location: str
    sold: int
    restocked: int = 0

    @property
    def restockable(self) -> int:
        """The units that can still be restocked here."""
        return self.sold - self.restocked


@dataclass(frozen=True, slots=True)
class BookLine:
    """A line of the order. `refunded` and `refunded_minor` are of refunds that name its units."""

    line: int
    variant_id: int
    sku: str
    title: str
    quantity: int
    total_minor: int
    refunded: int = 0
    refunded_minor: int = 0
    fulfilled: int = 0
    allocations: Sequence[Allocation] = field(default_factory=tuple)

    @property
    def refundable(self) -> int:
        """The units that can still be refunded."""
        return self.quantity - self.refunded

    @property
    def restocked(self) -> int:
        """The units that are in stock again."""
        return sum(each.restocked for each in self.allocations)

    @property
    def fulfillable(self) -> int:
        """The units still to be sent. A restocked unit may be one that came back: only those beyond it are not sent."""
        return self.quantity - self.fulfilled - max(0, self.restocked - self.fulfilled)

    def price_units(self, units: int) -> int:
        """Return what is refunded for the next units, in minor units: the line's share for all of them, less what was.

        So units that are refunded one by one come to the line's total exactly, its tax and discounts included,
        whatever their order, and also after a refund that failed.
        """
        return max(0, self.total_minor * (self.refunded + units) // self.quantity - self.refunded_minor)


@dataclass(frozen=True, slots=True)
class OrderBook:
    """One order, and what is left of it. Amounts are in minor units of its currency.

    `refunded_minor` counts refunds that are requested, intended, unknown or done, `disputed_minor` disputes that are
    open or lost.
    """

    id: UUID
    checkout_id: UUID
    owner: str
    number: int | None
    state: OrderState
    currency: str
    total_minor: int
    captured_minor: int
    refunded_minor: int = 0
    delivery_refunded_minor: int = 0
    disputed_minor: int = 0
    is_cancelling: bool = False
    lines: Sequence[BookLine] = field(default_factory=tuple)

    @property
    def refundable_minor(self) -> int:
        """What can still be refunded: neither refunded nor disputed."""
        return max(0, self.captured_minor - self.refunded_minor - self.disputed_minor)

    @property
    def delivery_minor(self) -> int:
        """The price of the delivery, tax and discounts included."""
        return self.total_minor - sum(line.total_minor for line in self.lines)

    @property
    def delivery_refundable_minor(self) -> int:
        """What can still be refunded of the delivery."""
        return max(0, min(self.delivery_minor - self.delivery_refunded_minor, self.refundable_minor))

    @property
    def fulfilled(self) -> int:
        """The units that were sent."""
        return sum(line.fulfilled for line in self.lines)

    def find(self, line: int) -> BookLine | None:
        """Return a line by its number."""
        return next((each for each in self.lines if each.line == line), None)

    def money(self, minor: int) -> Money:
        """Return an amount in the order's currency."""
        return Money(minor, self.currency)


def load_books(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, OrderBook]:
    """Return the books of these orders; those that do not exist are left out. Lock the orders first to change them."""
    if not ids:
        return {}
    wanted = {"ids": list(ids)}
    sold: dict[tuple[UUID, int], list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(SOLD, wanted):
        sold[row.order_id, row.line].append(row)
    changed: dict[tuple[UUID, int], list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(CHANGED, wanted):
        changed[row.order_id, row.line].append(row)
    lines: dict[UUID, list[BookLine]] = defaultdict(list)
    for row in connection.execute(LINES, wanted):
        key = row.order_id, row.line
        lines[row.order_id].append(_read_line(row, sold[key], changed[key]))
    return {row.id: _read_book(row, lines[row.id]) for row in connection.execute(ORDERS, wanted)}


def _read_line(row: Row[Any], sold: Sequence[Row[Any]], changed: Sequence[Row[Any]]) -> BookLine:
    def count(purpose: str, location_id: int | None = None) -> int:
        return sum(
            int(each.quantity)
            for each in changed
            if each.purpose == purpose and location_id in (None, each.location_id)
        )

    return BookLine(
        line=row.line,
        variant_id=row.variant_id,
        sku=row.sku,
        title=row.title,
        quantity=row.quantity,
        total_minor=row.total_minor,
        refunded=count("refund"),
        refunded_minor=sum(int(each.amount_minor) for each in changed),
        fulfilled=count("fulfillment"),
        allocations=tuple(
            Allocation(each.location_id, each.code, each.quantity, count("restock", each.location_id)) for each in sold
        ),
    )


def _read_book(row: Row[Any], lines: Sequence[BookLine]) -> OrderBook:
    return OrderBook(
        id=row.id,
        checkout_id=row.checkout_id,
        owner=row.owner,
        number=row.number,
        state=OrderState(row.state),
        currency=row.currency,
        total_minor=row.total_minor,
        captured_minor=int(row.captured_minor),
        refunded_minor=int(row.refunded_minor),
        delivery_refunded_minor=int(row.delivery_refunded_minor),
        disputed_minor=int(row.disputed_minor),
        is_cancelling=row.is_cancelling,
        lines=tuple(lines),
    )
