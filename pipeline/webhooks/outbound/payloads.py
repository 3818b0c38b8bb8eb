"""The bodies of webhooks. Only facts that do not change any more, so that each repeat has the same body."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter
from sqlalchemy import Row

from pipeline.orders.reading import FrozenOrder
from pipeline.security.redaction import open_part


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
    order: FrozenOrder


class ChangeData(CheckoutSubject):
    """What happened to a placed order. `change` has its facts, such as `change_id`, `amount_minor` and `lines`."""

    order: FrozenOrder
    change: dict[str, JsonValue]


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
    """The order is placed and paid: its life begins."""

    type: Literal["order.placed"] = "order.placed"
    data: OrderData


class OrderCancelled(BaseEvent):
    """The order is cancelled: what was left of the money went back."""

    type: Literal["order.cancelled"] = "order.cancelled"
    data: ChangeData


class OrderRefunded(BaseEvent):
    """The provider has accepted a refund, here or in its dashboard."""

    type: Literal["order.refunded"] = "order.refunded"
    data: ChangeData


class OrderRefundFailed(BaseEvent):
    """A refund that had been accepted failed later, or was refused: the shop has the money."""

    type: Literal["order.refund_failed"] = "order.refund_failed"
    data: ChangeData


class OrderRestocked(BaseEvent):
    """Units came back into stock."""

    type: Literal["order.restocked"] = "order.restocked"
    data: ChangeData


class OrderFulfilled(BaseEvent):
    """Units were sent to the buyer."""

    type: Literal["order.fulfilled"] = "order.fulfilled"
    data: ChangeData


class OrderDisputed(BaseEvent):
    """The buyer's bank disputes the payment, or has decided: `change.state` is open, won or lost."""

    type: Literal["order.disputed"] = "order.disputed"
    data: ChangeData


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
EVENT: TypeAdapter[WebhookEvent] = TypeAdapter(WebhookEvent)


def is_about_order(kind: str) -> bool:
    """Return whether the body of this kind of event has the order in it."""
    return kind == "checkout.completed" or kind.startswith("order.")


def write_body(row: Row[Any], order: FrozenOrder | None = None) -> str:
    """Return the body of an event, from a row of `locks.DELIVERIES`, and the order that it is about."""
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
        "order": order,
        "change": facts,
    }
    return EVENT.validate_python({"type": row.kind, "timestamp": row.at, "data": data}).model_dump_json()
