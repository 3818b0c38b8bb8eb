"""Search for orders by whatever somebody has: a number, a reference, a customer, the provider's reference, or an id."""

from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, text

from models.money import MAX_MINOR
from pipeline.field_types import Reference
from pipeline.field_types.kinds import Customer
from pipeline.orders.reading import OrderFilter

# Each of them uses an index, which conditions joined by OR would not. Of a cart, the newest order: a cart whose order
# was cancelled is sold again.
BY_ID: Final = text("""
    WITH found AS MATERIALIZED (
        SELECT number, id FROM orders WHERE id = :id
        UNION ALL SELECT number, id FROM orders WHERE checkout_id = :id
        UNION ALL SELECT o.number, o.id FROM order_changes c JOIN orders o ON o.id = c.order_id WHERE c.id = :id
        UNION ALL SELECT o.number, o.id FROM checkouts c JOIN orders o ON o.checkout_id = c.id WHERE c.cart_id = :id
    )
    SELECT number FROM found WHERE number IS NOT NULL ORDER BY id DESC LIMIT 1
""")

# The provider's references: of a refund, and of a dispute or another change that was made there.
BY_PROVIDER: Final = text("""
    SELECT number FROM orders WHERE id IN (
        SELECT c.order_id FROM refunds r JOIN order_changes c ON c.id = r.change_id WHERE r.reference = :words
        UNION ALL SELECT order_id FROM order_changes WHERE reference = :words)
    LIMIT 1
""")

_COLUMNS: Final = {
    "number": "SELECT 1 FROM orders WHERE number = :words",
    "reference": "SELECT 1 FROM orders WHERE reference = :words AND number IS NOT NULL",
    "customer": "SELECT 1 FROM orders WHERE customer = :words AND number IS NOT NULL",
    "payment_reference": "SELECT 1 FROM payments WHERE reference = :words",
}
COLUMNS: Final = {name: text(f"{sql} LIMIT 1") for name, sql in _COLUMNS.items()}


def find_orders(connection: Connection, words: str, wanted: OrderFilter) -> OrderFilter | None:
    """Return the filter, narrowed to the orders that have these words; None if none has them.

    Of several meanings the first that finds an order counts: the id of the order, its checkout, cart or a change; its
    number, reference, customer; the reference at the provider of its payment, a refund or a dispute.
    """
    words = words.strip()
    if _read(Reference, words) is None:
        return None
    try:
        number = connection.execute(BY_ID, {"id": UUID(words)}).scalar_one_or_none()
    except ValueError:
        number = None
    if number is not None:
        return replace(wanted, number=number)
    for name, query in COLUMNS.items():
        value = _read_value(name, words)
        if value is not None and connection.execute(query, {"words": value}).scalar() is not None:
            return replace(wanted, **{name: value})
    number = connection.execute(BY_PROVIDER, {"words": words}).scalar_one_or_none()
    return None if number is None else replace(wanted, number=number)


def _read_value(name: str, words: str) -> Any:
    if name == "number":
        is_number = words.isascii() and words.isdigit() and len(words) < len(str(MAX_MINOR)) and int(words) > 0
        return int(words) if is_number else None
    return _read(Customer, words) if name == "customer" else words


def _read(kind: Any, words: str) -> str | None:
    try:
        found: str = TypeAdapter(kind).validate_python(words)
    except ValidationError:
        return None
    return found
