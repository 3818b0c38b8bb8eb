"""The commands about orders, as functions over a connection: one transaction each.

They return the messages to send once it has committed. `OrderService` in pipeline/orders/service.py commits and sends.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, assert_never
from uuid import UUID

from sqlalchemy import Connection, Row, text
from uuid_utils.compat import uuid7

from models.states import ChangeKind, ChangeState
from pipeline.catalog.locations import find_locations
from pipeline.checkouts.locks import lock_orders
from pipeline.checkouts.moving import refuse_moving
from pipeline.errors import Code, Conflict, NotFound
from pipeline.messaging import OutgoingMessage
from pipeline.messaging.ports import ORDER_CHANGES
from pipeline.orders.book import OrderBook, load_books
from pipeline.orders.drafts import (
    Draft,
    check_open,
    draft_cancel,
    draft_fulfillment,
    draft_refund,
    draft_restock,
)
from pipeline.orders.requests import (
    CancelRequest,
    ChangeRequest,
    FulfillmentRequest,
    RefundRequest,
    RestockRequest,
    fingerprint,
)
from pipeline.orders.result import ChangeResult
from pipeline.settings import Settings

KNOWN: Final = text("""
    SELECT id, order_id, kind, state, fingerprint FROM order_changes WHERE owner = :owner AND idempotency_key = :key
""")

WRITE: Final = text("""
    INSERT INTO order_changes (id, order_id, checkout_id, owner, kind, amount_minor, delivery_minor, reason, actor,
                               idempotency_key, fingerprint, options, sent_at, due_at)
    VALUES (:id, :order_id, :checkout_id, :owner, :kind, :amount_minor, :delivery_minor, :reason, :actor, :key,
            :fingerprint, CAST(:options AS jsonb), now(), now() + make_interval(secs => :redeliver_after_seconds))
    ON CONFLICT (owner, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING now() AS now
""")

WRITE_LINES: Final = text("""
    INSERT INTO order_change_lines (change_id, purpose, line, location_id, quantity, amount_minor)
    SELECT :id, l.purpose, l.line, l.location_id, l.quantity, l.amount_minor
    FROM unnest(CAST(:purposes AS text[]), CAST(:lines AS integer[]), CAST(:locations AS bigint[]),
                CAST(:quantities AS integer[]), CAST(:amounts AS bigint[]))
         AS l (purpose, line, location_id, quantity, amount_minor)
""")


def request_change(
    connection: Connection,
    order_id: UUID,
    owner: str | None,
    request: ChangeRequest,
    settings: Settings,
    *,
    actor: str,
    key: str,
) -> ChangeResult:
    """Write a change of an order, once for each key of the order's owner; what it claims counts from now on.

    `owner` is None for operators, who change the orders of all. Raises NotFound (ORDER_UNKNOWN, LOCATION_UNKNOWN),
    Conflict or Invalid, and nothing is changed then.
    """
    lock_orders(connection, [order_id])
    # Read after the row lock: what others have claimed meanwhile is committed by now.
    book = load_books(connection, [order_id]).get(order_id)
    if book is None or owner not in (None, book.owner):
        raise NotFound(Code.ORDER_UNKNOWN, order_id=str(order_id))
    asked = fingerprint(order_id, request)
    if (known := _find_known(connection, book.owner, key, asked)) is not None:
        return known
    refuse_moving(connection, book.owner)
    check_open(book)
    draft = _draft(connection, book, request)
    return _write(connection, book, draft, settings, reason=request.reason, actor=actor, key=key, asked=asked)


def _draft(connection: Connection, book: OrderBook, request: ChangeRequest) -> Draft:
    match request:
        case CancelRequest():
            return draft_cancel(book, request)
        case RefundRequest():
            return draft_refund(book, request)
        case RestockRequest():
            return draft_restock(book, request)
        case FulfillmentRequest():
            codes = {each.location for each in request.lines if each.location is not None}
            locations = find_locations(connection, codes, create=False) if codes else {}
            return draft_fulfillment(book, request, locations)
        case _:
            assert_never(request)


def _write(
    connection: Connection,
    book: OrderBook,
    draft: Draft,
    settings: Settings,
    *,
    reason: str,
    actor: str,
    key: str,
    asked: str,
) -> ChangeResult:
    change_id = uuid7()
    written = connection.execute(
        WRITE,
        {
            "id": change_id,
            "order_id": book.id,
            "checkout_id": book.checkout_id,
            "owner": book.owner,
            "kind": draft.kind,
            "amount_minor": draft.amount_minor,
            "delivery_minor": draft.delivery_minor,
            "reason": reason,
            "actor": actor,
            "key": key,
            "fingerprint": asked,
            "options": _dump(draft.options),
            "redeliver_after_seconds": settings.redeliver_after_seconds,
        },
    ).one_or_none()
    if written is None:
        # Another transaction has committed with this key meanwhile, and not for this order, whose row is locked.
        raise Conflict(Code.KEY_CONFLICT, key=key)
    if draft.lines:
        connection.execute(
            WRITE_LINES,
            {
                "id": change_id,
                "purposes": [each.purpose for each in draft.lines],
                "lines": [each.line for each in draft.lines],
                "locations": [each.location_id for each in draft.lines],
                "quantities": [each.quantity for each in draft.lines],
                "amounts": [each.amount_minor for each in draft.lines],
            },
        )
    message = OutgoingMessage(ORDER_CHANGES, change_id, written.now)
    return ChangeResult(change_id, book.id, draft.kind, ChangeState.REQUESTED, created=True, messages=[message])


def _find_known(connection: Connection, owner: str, key: str, asked: str) -> ChangeResult | None:
    """Return the change of a known key, None for a new one; Conflict if the key came with another request."""
    known: Row[Any] | None = connection.execute(KNOWN, {"owner": owner, "key": key}).one_or_none()
    if known is None:
        return None
    if known.fingerprint != asked:
        raise Conflict(Code.KEY_CONFLICT, key=key)
    return ChangeResult(known.id, known.order_id, ChangeKind(known.kind), ChangeState(known.state), created=False)


def _dump(facts: Mapping[str, Any]) -> str:
    return json.dumps(dict(facts), default=str)
