"""The events of orders: what happened, to which lines, for how much, and who asked for it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from models.states import ChangeKind, LinePurpose
from pipeline.checkouts.events import write_events
from pipeline.database.wake_ups import wake_after_commit
from pipeline.orders.changes import LockedChange
from pipeline.orders.reading.changes import load_changed_lines
from pipeline.orders.reading.views import ChangedLine

#: What is told when a change is done.
DONE_EVENTS: Final = {
    ChangeKind.CANCEL: "order.cancelled",
    ChangeKind.REFUND: "order.refunded",
    ChangeKind.RESTOCK: "order.restocked",
    ChangeKind.FULFILLMENT: "order.fulfilled",
}
#: What is told when money was not paid back, for now or for good.
REFUND_FAILED: Final = "order.refund_failed"
#: Not sent to endpoints: other changes that failed, and those that a person must settle, or has retried.
CHANGE_FAILED: Final = "order.change_failed"
NEEDS_REVIEW: Final = "order.needs_review"
CHANGE_RETRIED: Final = "order.change_retried"
#: Nor this: the provider said something else of a refund than what it was settled as.
LATE_ANSWER: Final = "order.late_answer"

#: The purpose of the lines that an event of each kind is about; a cancel also names what it restocked.
_PURPOSES: Final = {
    ChangeKind.CANCEL: LinePurpose.REFUND,
    ChangeKind.REFUND: LinePurpose.REFUND,
    ChangeKind.RESTOCK: LinePurpose.RESTOCK,
    ChangeKind.FULFILLMENT: LinePurpose.FULFILLMENT,
}


def write_change_events(
    connection: Connection,
    told: Mapping[UUID, tuple[str, Mapping[str, Any]]],
    changes: Sequence[LockedChange],
) -> None:
    """Append an event for each of these changes: its kind, and facts beside those that every event of an order has."""
    lines = load_changed_lines(connection, list(told))
    # One call writes one event of a kind for each checkout: two changes of one order need two calls.
    batches: list[tuple[str, dict[UUID, Mapping[str, Any]]]] = []
    for change in changes:
        if change.id not in told:
            continue
        kind, facts = told[change.id]
        data = {**_describe(change, lines[change.id]), **facts}
        batch = next((each for name, each in batches if name == kind and change.checkout_id not in each), None)
        if batch is None:
            batch = {}
            batches.append((kind, batch))
        batch[change.checkout_id] = data
    for kind, batch in batches:
        write_events(connection, kind, list(batch), data=batch)
    wake_after_commit(connection, list(told))


def _describe(change: LockedChange, lines: Sequence[ChangedLine]) -> dict[str, Any]:
    purpose = _PURPOSES[change.kind]
    data: dict[str, Any] = {
        "change_id": str(change.id),
        "order_id": str(change.order_id),
        "number": change.number,
        "kind": change.kind,
        "amount_minor": change.amount_minor,
        "currency": change.currency,
        "lines": [_describe_line(row) for row in lines if row.purpose == purpose],
        "actor": change.actor,
        "reason": change.reason,
    }
    if change.kind is ChangeKind.CANCEL:
        data["restocked"] = [_describe_line(row) for row in lines if row.purpose == LinePurpose.RESTOCK]
    if change.kind is ChangeKind.FULFILLMENT:
        data |= {"carrier": change.options.get("carrier"), "tracking": change.options.get("tracking")}
    return data


def _describe_line(row: ChangedLine) -> dict[str, Any]:
    described: dict[str, Any] = {name: getattr(row, name) for name in ("line", "sku", "quantity", "amount_minor")}
    return described if row.location is None else {**described, "location": row.location}
