"""The bodies of webhooks. Only facts that do not change any more, so that each repeat has the same body."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter
from sqlalchemy import Row

from pipeline.checkouts.events import PUBLIC_KINDS
from pipeline.security.redaction import open_part
from pipeline.webhooks.outbound.order_parts import ChangePart, OrderPart, describe_change, describe_order


class Fact(BaseModel):
    """Base of the parts of a webhook."""

    model_config = ConfigDict(frozen=True)


class CheckoutSubject(Fact):
    """The checkout of an event. `reference` is the upstream's own number."""

    checkout_id: UUID
    cart_id: UUID
    owner: str
    reference: str | None
    currency: str


class Reason(Fact):
    """Why a checkout ended without an order, or needs review."""

    code: str
    phase: str | None
    message: str
    detail: dict[str, JsonValue] = {}


class PhaseData(CheckoutSubject):
    """A phase was completed."""

    phase: str


class ActionData(CheckoutSubject):
    """What the buyer must do at their bank."""

    action: dict[str, JsonValue]


class OrderData(CheckoutSubject):
    """The order that was placed."""

    order_number: int
    total_minor: int
    order: OrderPart


class PlacedData(CheckoutSubject):
    """A placed order."""

    order: OrderPart


class ChangedData(PlacedData):
    """A placed order, and what happened to it."""

    change: ChangePart


class FailureData(CheckoutSubject):
    """Why there is no order. Everything is undone."""

    failure: Reason


class ReviewData(CheckoutSubject):
    """What an operator must settle."""

    review: Reason


class BaseEvent(Fact):
    """Base of the webhooks. `timestamp` is when it happened."""

    timestamp: datetime


class CheckoutStarted(BaseEvent):
    """The cart is locked."""

    type: Literal["checkout.started"] = "checkout.started"
    data: CheckoutSubject


class CheckoutPhaseCompleted(BaseEvent):
    """A phase is done."""

    type: Literal["checkout.phase_completed"] = "checkout.phase_completed"
    data: PhaseData


class CheckoutActionRequired(BaseEvent):
    """The buyer must complete 3-D Secure."""

    type: Literal["checkout.action_required"] = "checkout.action_required"
    data: ActionData


class CheckoutCompleted(BaseEvent):
    """The order is placed and paid."""

    type: Literal["checkout.completed"] = "checkout.completed"
    data: OrderData


class CheckoutFailed(BaseEvent):
    """The checkout could not become an order."""

    type: Literal["checkout.failed"] = "checkout.failed"
    data: FailureData


class CheckoutCancelled(BaseEvent):
    """The buyer or an operator cancelled the checkout."""

    type: Literal["checkout.cancelled"] = "checkout.cancelled"
    data: FailureData


class CheckoutExpired(BaseEvent):
    """The checkout expired without a payment."""

    type: Literal["checkout.expired"] = "checkout.expired"
    data: FailureData


class CheckoutNeedsReview(BaseEvent):
    """No rule settles the checkout: it needs review."""

    type: Literal["checkout.needs_review"] = "checkout.needs_review"
    data: ReviewData


class OrderPlaced(BaseEvent):
    """An order is placed and paid."""

    type: Literal["order.placed"] = "order.placed"
    data: PlacedData


class OrderCancelled(BaseEvent):
    """An order was cancelled: what was left of it is refunded."""

    type: Literal["order.cancelled"] = "order.cancelled"
    data: ChangedData


class OrderRefunded(BaseEvent):
    """A part of an order was refunded, by the shop or at the provider."""

    type: Literal["order.refunded"] = "order.refunded"
    data: ChangedData


class OrderRefundFailed(BaseEvent):
    """A refund was declined, or failed days after it had been accepted: the buyer does not have the money."""

    type: Literal["order.refund_failed"] = "order.refund_failed"
    data: ChangedData


class OrderRestocked(BaseEvent):
    """Units of an order are in stock again."""

    type: Literal["order.restocked"] = "order.restocked"
    data: ChangedData


class OrderFulfilled(BaseEvent):
    """Units of an order were sent to the buyer."""

    type: Literal["order.fulfilled"] = "order.fulfilled"
    data: ChangedData


class OrderDisputed(BaseEvent):
    """The buyer's bank disputes the payment, or has decided about it."""

    type: Literal["order.disputed"] = "order.disputed"
    data: ChangedData


WebhookEvent = Annotated[
    CheckoutStarted
    | CheckoutPhaseCompleted
    | CheckoutActionRequired
    | CheckoutCompleted
    | CheckoutFailed
    | CheckoutCancelled
    | CheckoutExpired
    | CheckoutNeedsReview
    | OrderPlaced
    | OrderCancelled
    | OrderRefunded
    | OrderRefundFailed
    | OrderRestocked
    | OrderFulfilled
    | OrderDisputed,
    Field(discriminator="type"),
]
#: The events with the order in their bodies.
ABOUT_ORDERS: Final = frozenset({"checkout.completed", *(kind for kind in PUBLIC_KINDS if kind.startswith("order."))})

EVENT: TypeAdapter[WebhookEvent] = TypeAdapter(WebhookEvent)


def write_body(row: Row[Any], lines: Sequence[Row[Any]] = ()) -> str:
    """Return the body of an event, from a row of `locks.DELIVERIES`, and from lines of its order (`load_lines`)."""
    data: dict[str, Any] = {name: getattr(row, name) for name in CheckoutSubject.model_fields}
    facts = row.data or {}
    data |= {
        "phase": row.phase,
        # Events of earlier releases contain the secret.
        "action": open_part(facts.get("action") or {}),
        "order_number": row.order_number,
        "total_minor": row.total_minor,
        "failure": {
            "code": row.failure_code,
            "phase": row.failure_phase,
            "message": row.failure_message,
            "detail": row.failure_detail or {},
        },
        "review": facts,
        "order": describe_order(row, lines),
        "change": describe_change(row.kind, row.order_id, facts),
    }
    return EVENT.validate_python({"type": row.kind, "timestamp": row.at, "data": data}).model_dump_json()
