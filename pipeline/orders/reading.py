"""Reads one order with its whole life, and single changes."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, text

from pipeline.errors import Code, NotFound
from pipeline.orders.book import BookLine, OrderBook, load_books
from pipeline.orders.views import (
    AllocationView,
    ChangeLine,
    ChangeView,
    OrderLineView,
    OrderView,
    PaymentPart,
    RefundPart,
)

# Pending orders are none yet, and one that was cancelled without a number never was.
ORDER: Final = text("""
    SELECT o.id, o.number, o.state, o.checkout_id, o.cart_id, o.owner, o.reference, o.customer, o.currency,
           o.subtotal_minor, o.discount_minor, o.shipping_minor, o.tax_minor, o.total_minor, o.shipping,
           o.shipping_address, o.billing_address, o.placed_at, o.cancelled_at, p.gateway,
           p.reference AS payment_reference
    FROM orders o LEFT JOIN payments p ON p.checkout_id = o.checkout_id
    WHERE o.number IS NOT NULL AND (o.id = CAST(:id AS uuid) OR o.number = CAST(:number AS bigint))
""")

LINES: Final = text("SELECT * FROM order_lines WHERE order_id = :id ORDER BY line")

_CHANGES: Final = """
    SELECT c.id, c.order_id, c.kind, c.state, c.amount_minor, c.delivery_minor, o.currency, c.reason, c.actor,
           c.options, c.outcome, c.created_at, c.ended_at, c.owner
    FROM order_changes c JOIN orders o ON o.id = c.order_id
"""
OF_ORDER: Final = text(f"{_CHANGES} WHERE c.order_id = :id ORDER BY c.id")
BY_ID: Final = text(f"{_CHANGES} WHERE c.id = :id")

CHANGE_LINES: Final = text("""
    SELECT l.change_id, l.purpose, l.line, n.sku, l.quantity, p.code AS location, l.amount_minor
    FROM order_change_lines l JOIN order_changes c ON c.id = l.change_id
    JOIN order_lines n ON n.order_id = c.order_id AND n.line = l.line
    LEFT JOIN locations p ON p.id = l.location_id
    WHERE l.change_id = ANY(CAST(:ids AS uuid[])) ORDER BY l.change_id, l.purpose, l.line, l.id
""")

REFUNDS: Final = text("""
    SELECT change_id, amount_minor, status, reference, code, created_at FROM refunds
    WHERE change_id = ANY(CAST(:ids AS uuid[])) ORDER BY change_id, n
""")


def read_order(
    connection: Connection, *, owner: str | None, order_id: UUID | None = None, number: int | None = None
) -> OrderView:
    """Return an order by its id or its number; `owner` is None for operators.

    Raises NotFound (ORDER_UNKNOWN) for another owner's, for one that is not placed, and where there is none.
    """
    row = connection.execute(ORDER, {"id": order_id, "number": number}).one_or_none()
    if row is None or owner not in (None, row.owner):
        raise NotFound(Code.ORDER_UNKNOWN, order_id=str(order_id or number))
    book = load_books(connection, [row.id])[row.id]
    lines = connection.execute(LINES, {"id": row.id}).all()
    return OrderView(
        **{name: getattr(row, name) for name in OrderView.model_fields if name in row._fields},
        refunded_minor=book.refunded_minor,
        delivery_minor=book.delivery_minor,
        delivery_refundable_minor=book.delivery_refundable_minor,
        payment=None if row.gateway is None else _view_payment(row, book),
        lines=tuple(_view_line(each, found) for each in lines if (found := book.find(each.line)) is not None),
        changes=_view_changes(connection, connection.execute(OF_ORDER, {"id": row.id}).all()),
    )


def read_change(connection: Connection, change_id: UUID, owner: str | None) -> ChangeView:
    """Return one change; NotFound (CHANGE_UNKNOWN) for another owner's, and where there is none."""
    rows = [row for row in connection.execute(BY_ID, {"id": change_id}) if owner in (None, row.owner)]
    if not rows:
        raise NotFound(Code.CHANGE_UNKNOWN, change_id=str(change_id))
    return _view_changes(connection, rows)[0]


def _view_changes(connection: Connection, rows: Sequence[Row[Any]]) -> tuple[ChangeView, ...]:
    lines: dict[UUID, list[ChangeLine]] = defaultdict(list)
    refunds: dict[UUID, list[RefundPart]] = defaultdict(list)
    if ids := [row.id for row in rows]:
        for row in connection.execute(CHANGE_LINES, {"ids": ids}):
            lines[row.change_id].append(ChangeLine.model_validate(row))
        for row in connection.execute(REFUNDS, {"ids": ids}):
            refunds[row.change_id].append(RefundPart.model_validate(row))
    return tuple(ChangeView(**_fields(row), lines=tuple(lines[row.id]), refunds=tuple(refunds[row.id])) for row in rows)


def _fields(row: Row[Any]) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name != "owner"}  # noqa: SLF001 (as above)


def _view_payment(row: Row[Any], book: OrderBook) -> PaymentPart:
    return PaymentPart(
        gateway=row.gateway,
        reference=row.payment_reference,
        captured_minor=book.captured_minor,
        refunded_minor=book.refunded_minor,
        disputed_minor=book.disputed_minor,
        refundable_minor=book.refundable_minor,
    )


def _view_line(row: Row[Any], line: BookLine) -> OrderLineView:
    frozen: Sequence[str] = [name for name in OrderLineView.model_fields if name in row._fields]
    return OrderLineView(
        **{name: getattr(row, name) for name in frozen},
        refunded=line.refunded,
        refunded_minor=line.refunded_minor,
        fulfilled=line.fulfilled,
        restocked=line.restocked,
        refundable=line.refundable,
        fulfillable=line.fulfillable,
        allocations=tuple(AllocationView.model_validate(each) for each in line.allocations),
    )
