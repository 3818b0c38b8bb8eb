"""The order and its change in the body of a webhook: compact, bounded, and the same at each repeat.

What an order was at the moment of an event is read from facts that do not change any more: its frozen amounts, and
whether it was cancelled by then. A change is what its event says.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue
from sqlalchemy import Connection, Row, text

from models.states import ChangeKind, OrderState

#: Lines of an order, and of a change, in one body: nine of ten orders have fewer than twenty. 200 take some 40 kB, and
#: many servers bound a request at 64 kB. Whoever needs all of more lines reads the order.
MAX_LINES_SENT: Final = 200

LINES: Final = text("""
    SELECT o.id AS order_id, l.line, l.sku, l.title, l.quantity, l.unit_price_minor, l.total_minor,
           (SELECT count(*) FROM order_lines WHERE order_id = o.id) AS line_count
    FROM unnest(CAST(:ids AS uuid[])) AS o (id)
    CROSS JOIN LATERAL (SELECT * FROM order_lines WHERE order_id = o.id ORDER BY line LIMIT :most) l
    ORDER BY o.id, l.line
""")

#: The kind of a change whose event does not name it.
_KINDS: Final = {
    "order.cancelled": ChangeKind.CANCEL,
    "order.restocked": ChangeKind.RESTOCK,
    "order.fulfilled": ChangeKind.FULFILLMENT,
    "order.disputed": ChangeKind.DISPUTE,
}


class Part(BaseModel):
    """Base of the parts of a body."""

    model_config = ConfigDict(frozen=True)


class OrderLinePart(Part):
    """A line of the order."""

    line: int
    sku: str
    title: str
    quantity: int
    unit_price_minor: int
    total_minor: int


class OrderPart(Part):
    """The order, as it was at the moment of the event.

    `lines` are the first 200 of `line_count`; `url` is where all of it is read, with an API key of the scope `orders`.
    """

    id: UUID
    number: int
    state: OrderState
    reference: str | None
    customer: str | None
    subtotal_minor: int
    discount_minor: int
    shipping_minor: int
    tax_minor: int
    total_minor: int
    lines: list[OrderLinePart]
    line_count: int
    url: str


class ChangedLinePart(Part):
    """Units of a line in a change, and what is refunded for them."""

    line: int
    sku: str
    quantity: int
    amount_minor: int = 0
    location: str | None = None


class ChangeReason(Part):
    """Why money was not paid back."""

    code: str
    message: str
    detail: dict[str, JsonValue] = {}


class ChangePart(Part):
    """What happened to the order. `lines` are the first 200 of `line_count`; `url` is where all of it is read.

    `state` is that of a dispute: open, won or lost. `reference` is the provider's, of what was made there.
    """

    id: UUID
    kind: ChangeKind
    amount_minor: int | None = None
    lines: list[ChangedLinePart] = []
    line_count: int = 0
    actor: str | None = None
    reason: str | None = None
    reference: str | None = None
    state: str | None = None
    carrier: str | None = None
    tracking: str | None = None
    failure: ChangeReason | None = None
    url: str


def load_lines(connection: Connection, order_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[Row[Any]]]:
    """Return the first lines of these orders, each with the number of all of them."""
    found: dict[UUID, list[Row[Any]]] = defaultdict(list)
    if order_ids:
        for row in connection.execute(LINES, {"ids": sorted(set(order_ids)), "most": MAX_LINES_SENT}):
            found[row.order_id].append(row)
    return found


def describe_order(row: Row[Any], lines: Sequence[Row[Any]]) -> dict[str, Any] | None:
    """Return the order of an event, from a row of `locks.DELIVERIES`; None where there is none."""
    if row.order_number is None:
        return None
    was_cancelled = row.cancelled_at is not None and row.cancelled_at <= row.at
    names = ("subtotal_minor", "discount_minor", "shipping_minor", "tax_minor", "total_minor", "customer")
    return {
        "id": row.order_id,
        "number": row.order_number,
        "state": OrderState.CANCELLED if was_cancelled else OrderState.PLACED,
        "reference": row.reference,
        **{name: getattr(row, name) for name in names},
        "lines": [{name: getattr(line, name) for name in OrderLinePart.model_fields} for line in lines],
        "line_count": lines[0].line_count if lines else 0,
        "url": f"/orders/{row.order_id}",
    }


def describe_change(kind: str, order_id: UUID | None, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the change of an event, from the facts of the event; None where it is about none."""
    change_id = facts.get("change_id")
    if change_id is None:
        return None
    lines = facts.get("lines") or ()
    names = ("amount_minor", "actor", "reason", "reference", "state", "carrier", "tracking")
    return {
        "id": change_id,
        "kind": facts.get("kind") or _KINDS.get(kind, ChangeKind.REFUND),
        **{name: facts.get(name) for name in names},
        "lines": list(lines[:MAX_LINES_SENT]),
        "line_count": len(lines),
        "failure": facts if "code" in facts and "message" in facts else None,
        "url": f"/orders/{order_id}/changes/{change_id}",
    }
