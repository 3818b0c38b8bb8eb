"""What never changes of a placed order: for the bodies of webhooks, of which each repeat must be the same."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, text

#: Lines in one body: an order of thousands of lines must not make a delivery impossible. `GET /orders/{id}` has all.
MOST_LINES: Final = 100

ORDERS: Final = text("""
    SELECT id, number, checkout_id, reference, customer, currency, subtotal_minor, discount_minor, shipping_minor,
           tax_minor, total_minor, placed_at,
           (SELECT count(*) FROM order_lines l WHERE l.order_id = o.id) AS line_count
    FROM orders o WHERE checkout_id = ANY(CAST(:checkout_ids AS uuid[])) AND number IS NOT NULL
""")

LINES: Final = text("""
    SELECT w.id AS order_id, l.line, l.sku, l.title, l.quantity, l.unit_price_minor, l.total_minor
    FROM unnest(CAST(:ids AS uuid[])) AS w (id)
    CROSS JOIN LATERAL (SELECT * FROM order_lines n WHERE n.order_id = w.id ORDER BY n.line LIMIT :most) l
""")


class FrozenLine(BaseModel):
    """A line of the order, as it was bought."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    line: int
    sku: str
    title: str
    quantity: int
    unit_price_minor: int
    total_minor: int


class FrozenOrder(BaseModel):
    """The order as it was placed. `lines` has the first hundred; `line_count` says how many there are."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    number: int
    reference: str | None
    customer: str | None
    currency: str
    subtotal_minor: int
    discount_minor: int
    shipping_minor: int
    tax_minor: int
    total_minor: int
    placed_at: datetime
    line_count: int
    lines: tuple[FrozenLine, ...] = Field(description="the first hundred")


def read_frozen_orders(connection: Connection, checkout_ids: Sequence[UUID]) -> dict[UUID, FrozenOrder]:
    """Return the placed orders of these checkouts, by checkout."""
    if not checkout_ids:
        return {}
    rows = connection.execute(ORDERS, {"checkout_ids": list(checkout_ids)}).all()
    lines: dict[UUID, list[FrozenLine]] = defaultdict(list)
    for line in connection.execute(LINES, {"ids": [row.id for row in rows], "most": MOST_LINES}):
        lines[line.order_id].append(FrozenLine.model_validate(line))
    return {
        row.checkout_id: FrozenOrder(
            **{name: getattr(row, name) for name in FrozenOrder.model_fields if name != "lines"},
            lines=tuple(lines[row.id]),
        )
        for row in rows
    }
