"""Search for orders by whatever somebody has: a number, a reference, a customer, the provider's reference, or an id."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, text

from pipeline.field_types import Reference
from pipeline.field_types.kinds import Customer
from pipeline.orders.reading import OrderFilter, list_orders
from pipeline.orders.reading.listing import MAX_NUMBER

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

#: The meanings of words as a filter, in this order.
COLUMNS: Final = ("number", "reference", "customer", "payment_reference")


def find_orders(connection: Connection, words: str, wanted: OrderFilter, *, owner: str | None) -> OrderFilter | None:
    """Return the filter, narrowed to the owner's orders (all owners': None) that have these words; None if none has.

    Of several meanings the first that finds an order counts: the id of the order, its checkout, cart or a change; its
    number, reference, customer; the reference at the provider of its payment, a refund or a dispute.
    """
    words = words.strip()
    if _read(Reference, words) is None:
        return None
    for meaning in _list_meanings(connection, words):
        if list_orders(connection, OrderFilter(**meaning), owner=owner, limit=1).entries:
            return replace(wanted, **meaning)
    return None


def _list_meanings(connection: Connection, words: str) -> Iterator[dict[str, Any]]:
    """Yield what the words may mean, as conditions of a filter."""
    try:
        number = connection.execute(BY_ID, {"id": UUID(words)}).scalar_one_or_none()
    except ValueError:
        number = None
    if number is not None:
        yield {"number": number}
    for name in COLUMNS:
        value = _read_value(name, words)
        if value is not None:
            yield {name: value}
    number = connection.execute(BY_PROVIDER, {"words": words}).scalar_one_or_none()
    if number is not None:
        yield {"number": number}


def _read_value(name: str, words: str) -> Any:
    if name == "number":
        is_number = words.isascii() and words.isdigit() and len(words) <= len(str(MAX_NUMBER))
        return int(words) if is_number and 0 < int(words) <= MAX_NUMBER else None
    return _read(Customer, words) if name == "customer" else words


def _read(kind: Any, words: str) -> str | None:
    try:
        found: str = TypeAdapter(kind).validate_python(words)
    except ValidationError:
        return None
    return found
