"""One order and its changes on a terminal, or as lines with tabs in a pipe."""

from datetime import datetime
from typing import Any

from models.money import Money
from pipeline.operations.order_detail import OrderDetail, describe_change, write_address
from pipeline.orders.reading import ChangeView, OrderEntry, OrderView
from scripts.environments.command_transaction import print_rows
from scripts.terminal.output import say

LISTED = ("number", "placed", "state", "owner", "total", "customer", "reference", "id")


def list_entry(entry: OrderEntry) -> tuple[object, ...]:
    """Return the row of an order in a list."""
    total = Money(entry.total_minor, entry.currency)
    row = (entry.number, _moment(entry.placed_at), entry.state, entry.owner, total, entry.customer, entry.reference)
    return (*row, entry.id)


def print_order(detail: OrderDetail) -> None:
    """Print everything about an order: amounts, addresses, lines with what is left of them, changes, events."""
    order = detail.order

    def money(minor: int) -> Money:
        return Money(minor, order.currency)

    facts: list[tuple[str, object]] = [
        ("order", order.number),
        ("id", order.id),
        ("state", order.state),
        ("placed", _moment(order.placed_at)),
        ("cancelled", _moment(order.cancelled_at)),
        ("owner", order.owner),
        ("customer", order.customer),
        ("reference", order.reference),
        ("checkout", order.checkout_id),
        ("total", money(order.total_minor)),
    ]
    if order.payment is not None:
        facts += [
            ("payment", f"{order.payment.status} at {order.payment.gateway}, {order.payment.reference or 'no object'}"),
            ("captured", money(order.payment.captured_minor)),
            ("refunded", money(order.payment.refunded_minor)),
            ("disputed", money(order.payment.disputed_minor)),
        ]
    facts.append(("refundable", money(order.refundable_minor)))
    if order.delivery_refundable_minor:
        facts.append(("of it delivery", money(order.delivery_refundable_minor)))
    facts.append(("delivered to", write_address(order.shipping_address)))
    print_rows(("", ""), [each for each in facts if each[1] is not None])
    say()
    columns = ("line", "sku", "title", "units", "total", "refunded", "restocked", "fulfilled", "locations")
    print_rows(columns, [_line(each, order) for each in order.lines])
    if order.changes:
        say()
        print_changes(order.changes)
    say()
    print_rows(("at", "event", "phase"), [(_moment(each.at), each.kind, each.phase) for each in detail.events])


def print_changes(changes: Any) -> None:
    """Print changes, with the sentence that says what came of each."""
    columns = ("change", "at", "actor", "reason", "result")
    print_rows(
        columns,
        [
            (each.id, _moment(each.created_at), each.actor, each.reason or None, describe_change(each))
            for each in changes
        ],
    )


def print_draft(change: ChangeView) -> None:
    """Print what a change would do."""
    if change.amount_minor is not None:
        say(f"It would refund {Money(change.amount_minor, change.currency)}.")
    rows = [
        (each.purpose, each.line, each.sku, each.quantity, Money(each.amount_minor, change.currency), each.location)
        for each in change.lines
    ]
    if change.delivery_minor:
        rows.append(("refund", "-", "delivery", "-", Money(change.delivery_minor, change.currency), None))  # type: ignore[arg-type]
    print_rows(("what", "line", "sku", "units", "amount", "location"), rows)
    say("Nothing was changed.", err=True)


def _line(line: Any, order: OrderView) -> tuple[object, ...]:
    places = ", ".join(f"{each.location} {each.sold}" for each in line.allocations)
    units = (line.line, line.sku, line.title, line.quantity, Money(line.total_minor, order.currency))
    return (*units, line.refunded, line.restocked, line.fulfilled, places or None)


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(sep=" ", timespec="seconds")
