"""One order, with its book: what it was, what has happened to it, and what can still be done."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, text

from models.states import OrderState, PaymentStatus
from pipeline.errors import Code, NotFound
from pipeline.orders.book import BookLine, OrderBook, load_books
from pipeline.orders.reading.changes import list_changes
from pipeline.orders.reading.views import AllocationView, LineView, OrderView, PaymentView

_COLUMNS: Final = """
    o.id, o.checkout_id, o.cart_id, o.owner, o.number, o.state, o.reference, o.customer, o.currency, o.subtotal_minor,
    o.discount_minor, o.shipping_minor, o.tax_minor, o.total_minor, o.shipping, o.shipping_address, o.billing_address,
    o.created_at, o.placed_at, o.cancelled_at
"""

# An order that was never placed has no number: it is not shown.
ORDER: Final = text(f"""
    SELECT {_COLUMNS}, p.gateway, p.reference AS payment_reference, p.status AS payment_status
    FROM orders o LEFT JOIN payments p ON p.checkout_id = o.checkout_id
    WHERE o.id = :id AND o.number IS NOT NULL
""")
BY_NUMBER: Final = text("SELECT id FROM orders WHERE number = :number")

LINES: Final = text("""
    SELECT line, unit_price_minor, tax_included, subtotal_minor, discount_minor, tax_minor, total_minor, discounts,
           taxes
    FROM order_lines WHERE order_id = :id ORDER BY line
""")

#: In orders as in rows.
_OWN: Final = (
    *("id", "checkout_id", "cart_id", "owner", "number", "reference", "customer", "currency", "subtotal_minor"),
    *("discount_minor", "shipping_minor", "tax_minor", "total_minor", "shipping", "shipping_address"),
    *("billing_address", "created_at", "placed_at", "cancelled_at"),
)


def read_order(
    connection: Connection, *, owner: str | None, order_id: UUID | None = None, number: int | None = None
) -> OrderView:
    """Return a placed order, by its id or its number; `owner` is None for operators, who read the orders of all.

    Raises NotFound (ORDER_UNKNOWN): there is none, it is another owner's, or it was not placed.
    """
    if order_id is None:
        order_id = connection.execute(BY_NUMBER, {"number": number}).scalar_one_or_none()
    row = None if order_id is None else connection.execute(ORDER, {"id": order_id}).one_or_none()
    if row is None or owner not in (None, row.owner):
        raise NotFound(Code.ORDER_UNKNOWN, order_id=str(number if order_id is None else order_id))
    book = load_books(connection, [row.id])[row.id]
    frozen = {each.line: each for each in connection.execute(LINES, {"id": row.id})}
    is_open = book.state is OrderState.PLACED and not book.is_cancelling
    return OrderView(
        **{name: getattr(row, name) for name in _OWN},
        state=book.state,
        refundable_minor=book.refundable_minor if is_open else 0,
        delivery_refundable_minor=book.delivery_refundable_minor if is_open else 0,
        can_cancel=is_open and not book.fulfilled and not book.disputed_minor,
        payment=_view_payment(row, book),
        lines=tuple(_view_line(each, frozen[each.line], is_open=is_open) for each in book.lines),
        changes=list_changes(connection, row.id),
    )


def _view_payment(row: Row[Any], book: OrderBook) -> PaymentView | None:
    if row.gateway is None:
        return None
    return PaymentView(
        gateway=row.gateway,
        reference=row.payment_reference,
        status=PaymentStatus(row.payment_status),
        captured_minor=book.captured_minor,
        refunded_minor=book.refunded_minor,
        disputed_minor=book.disputed_minor,
    )


def _view_line(line: BookLine, frozen: Row[Any], *, is_open: bool) -> LineView:
    allocations = tuple(
        AllocationView(each.location, each.sold, each.restocked, each.restockable if is_open else 0)
        for each in line.allocations
    )
    return LineView(
        line=line.line,
        sku=line.sku,
        title=line.title,
        quantity=line.quantity,
        unit_price_minor=frozen.unit_price_minor,
        tax_included=frozen.tax_included,
        subtotal_minor=frozen.subtotal_minor,
        discount_minor=frozen.discount_minor,
        tax_minor=frozen.tax_minor,
        total_minor=frozen.total_minor,
        discounts=frozen.discounts,
        taxes=frozen.taxes,
        refunded=line.refunded,
        refunded_minor=line.refunded_minor,
        refundable=line.refundable if is_open else 0,
        refundable_minor=line.price_units(line.refundable) if is_open else 0,
        restocked=line.restocked,
        restockable=sum(each.restockable for each in allocations),
        fulfilled=line.fulfilled,
        fulfillable=max(0, line.fulfillable) if is_open else 0,
        allocations=allocations,
    )
