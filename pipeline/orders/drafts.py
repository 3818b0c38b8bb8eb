"""What a request changes in an order, checked against its book. Pure.

Each function returns a draft, or raises a refusal with what is left. Lock the order before its book is read: what a
draft claims counts from its commit on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.identifiers import normalize_location
from models.states import ChangeKind, LinePurpose, OrderState
from pipeline.errors import Code, Conflict, Invalid
from pipeline.orders.book import Allocation, BookLine, OrderBook
from pipeline.orders.requests import (
    CancelRequest,
    FulfillmentRequest,
    LineUnits,
    PlacedUnits,
    RefundRequest,
    RestockRequest,
)


@dataclass(frozen=True, slots=True)
class DraftLine:
    """Units of one line, for one purpose."""

    purpose: LinePurpose
    line: int
    quantity: int
    location_id: int | None = None
    amount_minor: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """A change to be written. `amount_minor` is None for kinds that pay nothing back."""

    kind: ChangeKind
    lines: Sequence[DraftLine] = ()
    amount_minor: int | None = None
    delivery_minor: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


def check_open(book: OrderBook) -> None:
    """Raise Conflict for an order that cannot be changed: not placed yet, cancelled, or about to be."""
    if book.number is None:
        raise Conflict(Code.ORDER_NOT_PLACED, order_id=str(book.id), state=book.state)
    if book.state is OrderState.CANCELLED or book.is_cancelling:
        raise Conflict(Code.ORDER_CANCELLED, number=book.number, state=book.state)


def draft_cancel(book: OrderBook, request: CancelRequest) -> Draft:
    """Return the cancel of an order of which nothing was sent: all that is left is refunded, all units restocked."""
    if book.fulfilled:
        raise Conflict(Code.ALREADY_FULFILLED, number=book.number, units=book.fulfilled)
    if book.disputed_minor:
        raise _refuse_disputed(book)
    rest = _draft_rest(book)
    restocked = [
        DraftLine(LinePurpose.RESTOCK, line.line, place.restockable, place.location_id)
        for line in book.lines
        for place in line.allocations
        if request.restock and place.restockable > 0
    ]
    return Draft(
        ChangeKind.CANCEL,
        [*rest.lines, *restocked],
        rest.amount_minor,
        rest.delivery_minor,
        {"restock": request.restock},
    )


def draft_refund(book: OrderBook, request: RefundRequest) -> Draft:
    """Return the refund of an amount, of lines and delivery, or of all that is left."""
    if request.all:
        rest = _draft_rest(book)
        _check_refundable(book, rest.amount_minor or 1)
        return rest
    if request.amount_minor is not None:
        _check_refundable(book, request.amount_minor)
        return Draft(ChangeKind.REFUND, amount_minor=request.amount_minor)
    lines = [_draft_refunded(book, each) for each in request.lines]
    delivery_minor = request.delivery_minor or 0
    amount_minor = sum(each.amount_minor for each in lines) + delivery_minor
    left_minor = max(0, book.delivery_minor - book.delivery_refunded_minor)
    if delivery_minor > left_minor:
        raise Conflict(
            Code.DELIVERY_NOT_REFUNDABLE, amount=str(book.money(delivery_minor)), left=str(book.money(left_minor))
        )
    _check_refundable(book, amount_minor)
    return Draft(ChangeKind.REFUND, lines, amount_minor, delivery_minor)


def draft_restock(book: OrderBook, request: RestockRequest) -> Draft:
    """Return the restock of units where they were sold."""
    return Draft(ChangeKind.RESTOCK, [_draft_restocked(book, each) for each in request.lines])


def draft_fulfillment(book: OrderBook, request: FulfillmentRequest, locations: Mapping[str, int]) -> Draft:
    """Return what was sent. `locations` are the ids of those that the request names, by their code."""
    named: Counter[int] = Counter()
    for each in request.lines:
        named[each.line] += each.quantity
    for line, quantity in named.items():
        found = book.find(line)
        left = 0 if found is None else max(0, found.fulfillable)
        if quantity > left:
            raise Conflict(Code.LINE_NOT_FULFILLABLE, line=line, quantity=quantity, units=left)
    lines = [
        DraftLine(
            LinePurpose.FULFILLMENT,
            each.line,
            each.quantity,
            None if each.location is None else locations[each.location],
        )
        for each in request.lines
    ]
    options = {"carrier": request.carrier, "tracking": request.tracking}
    return Draft(ChangeKind.FULFILLMENT, lines, options={name: text for name, text in options.items() if text})


def _draft_rest(book: OrderBook) -> Draft:
    """Return the refund of all that is left: of every line, then of the delivery, as far as the money goes."""
    left_minor = amount_minor = book.refundable_minor
    lines = []
    for line in book.lines:
        if line.refundable > 0:
            minor = min(line.price_units(line.refundable), left_minor)
            lines.append(DraftLine(LinePurpose.REFUND, line.line, line.refundable, amount_minor=minor))
            left_minor -= minor
    delivery_minor = min(left_minor, max(0, book.delivery_minor - book.delivery_refunded_minor))
    return Draft(ChangeKind.REFUND, lines, amount_minor, delivery_minor)


def _draft_refunded(book: OrderBook, wanted: LineUnits) -> DraftLine:
    line = book.find(wanted.line)
    left = 0 if line is None else line.refundable
    if line is None or wanted.quantity > left:
        raise Conflict(Code.LINE_NOT_REFUNDABLE, line=wanted.line, quantity=wanted.quantity, units=left)
    amount_minor = line.price_units(wanted.quantity)
    return DraftLine(LinePurpose.REFUND, wanted.line, wanted.quantity, amount_minor=amount_minor)


def _draft_restocked(book: OrderBook, wanted: PlacedUnits) -> DraftLine:
    line = book.find(wanted.line)
    place = None if line is None else _find_place(line, wanted.location)
    left = 0 if place is None else place.restockable
    if place is None or wanted.quantity > left:
        named = wanted.location if place is None else place.location
        facts = {"line": wanted.line, "quantity": wanted.quantity, "units": left}
        raise Conflict(Code.LINE_NOT_RESTOCKABLE, **facts, **({} if named is None else {"location": named}))
    return DraftLine(LinePurpose.RESTOCK, wanted.line, wanted.quantity, place.location_id)


def _find_place(line: BookLine, location: str | None) -> Allocation | None:
    """Return where units of the line were sold: at the named location, or at the only one."""
    if location is None:
        if len(line.allocations) > 1:
            places = " and ".join(each.location for each in line.allocations)
            raise Invalid(
                Code.REQUEST_INVALID, reason=f"line {line.line} was sold at {places}, and no location is named"
            )
        return next(iter(line.allocations), None)
    return next((each for each in line.allocations if normalize_location(each.location) == location), None)


def _check_refundable(book: OrderBook, amount_minor: int) -> None:
    if amount_minor <= book.refundable_minor:
        return
    if amount_minor <= book.captured_minor - book.refunded_minor:
        raise _refuse_disputed(book)
    left_minor = book.refundable_minor
    raise Conflict(
        Code.REFUND_EXCEEDS_CAPTURED,
        number=book.number,
        amount=str(book.money(amount_minor)),
        left=str(book.money(left_minor)),
        left_minor=left_minor,
    )


def _refuse_disputed(book: OrderBook) -> Conflict:
    return Conflict(
        Code.ORDER_DISPUTED,
        number=book.number,
        disputed=str(book.money(book.disputed_minor)),
        left=str(book.money(book.refundable_minor)),
    )
