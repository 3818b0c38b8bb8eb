"""Everything about one order for people: the order, what happened to it, and each change in one sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, assert_never
from uuid import UUID

from sqlalchemy import Connection, text

from models.money import Money
from models.states import ChangeKind, ChangeState
from pipeline.errors import Code, sentence
from pipeline.orders.reading import ChangeView, OrderView, read_order

EVENTS: Final = text("SELECT at, kind, phase, data FROM events WHERE checkout_id = :id ORDER BY id")


#: The fields of an address, as they stand on a label.
LABEL: Final = ("name", "company", "line1", "line2", "postal_code", "city", "region", "country", "phone")


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """One event of the order, or of its checkout."""

    at: datetime
    kind: str
    phase: str | None
    data: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class OrderDetail:
    """One order with its events, oldest first. Those of a month that was detached are not there."""

    order: OrderView
    events: Sequence[OrderEvent]


def read_order_detail(
    connection: Connection, *, order_id: UUID | None = None, number: int | None = None
) -> OrderDetail:
    """Return everything about a placed order, by its id or number; NotFound (ORDER_UNKNOWN) if there is none."""
    order = read_order(connection, owner=None, order_id=order_id, number=number)
    rows = connection.execute(EVENTS, {"id": order.checkout_id})
    return OrderDetail(order, [OrderEvent(*row) for row in rows])


def write_address(address: Mapping[str, Any] | None) -> str:
    """Return an address in one line, in the order of a label; fields that the shop has added come last."""
    given = {name: value for name, value in (address or {}).items() if isinstance(value, str) and value}
    names = [*(name for name in LABEL if name in given), *(name for name in given if name not in LABEL)]
    return ", ".join(given[name] for name in names)


def describe_change(change: ChangeView) -> str:
    """Return in one sentence what came of a change."""
    match change.state:
        case ChangeState.REQUESTED | ChangeState.RUNNING if change.kind is ChangeKind.DISPUTE:
            return f"{_amount(change)} is disputed by the buyer: answer it at the provider."
        case ChangeState.REQUESTED | ChangeState.RUNNING:
            return f"{_name(change)} is in progress."
        case ChangeState.DONE:
            return _describe_done(change)
        case ChangeState.FAILED:
            return f"{_name(change)} failed. {explain_outcome(change)}".strip()
        case ChangeState.NEEDS_REVIEW:
            return f"{_name(change)} needs review. {explain_outcome(change)}".strip()
        case _:
            assert_never(change.state)


def explain_outcome(change: ChangeView) -> str:
    """Return why a change failed, or what a person must settle; empty when it has no reason."""
    code, message = change.outcome.get("code"), change.outcome.get("message")
    if isinstance(message, str):
        return message
    return "" if code is None else sentence(Code(code), change.outcome.get("detail", {}))


def _describe_done(change: ChangeView) -> str:
    match change.kind:
        case ChangeKind.REFUND:
            return f"{_amount(change)} was refunded."
        case ChangeKind.CANCEL:
            units = sum(each.quantity for each in change.lines if each.purpose == "restock")
            return f"The order was cancelled: {_amount(change)} refunded, {_units(units)} restocked."
        case ChangeKind.RESTOCK:
            return f"{_units(sum(each.quantity for each in change.lines))} restocked."
        case ChangeKind.FULFILLMENT:
            return f"{_units(sum(each.quantity for each in change.lines))} fulfilled."
        case ChangeKind.DISPUTE:
            return f"The dispute of {_amount(change)} was {change.outcome.get('state', 'closed')}."
        case _:
            assert_never(change.kind)


def _name(change: ChangeView) -> str:
    match change.kind:
        case ChangeKind.REFUND:
            return f"The refund of {_amount(change)}"
        case ChangeKind.CANCEL:
            return f"The cancellation with a refund of {_amount(change)}"
        case ChangeKind.RESTOCK:
            return f"The restock of {_units(sum(each.quantity for each in change.lines))}"
        case ChangeKind.FULFILLMENT:
            return f"The fulfillment of {_units(sum(each.quantity for each in change.lines))}"
        case ChangeKind.DISPUTE:
            return f"The dispute of {_amount(change)}"
        case _:
            assert_never(change.kind)


def _amount(change: ChangeView) -> str:
    return str(Money(change.amount_minor or 0, change.currency))


def _units(count: int) -> str:
    return f"{count} unit" if count == 1 else f"{count} units"
