"""JSON responses of the admin API."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from models.states import CheckoutState
from pipeline.carts.cart_input import Model
from pipeline.field_types import Reason
from pipeline.operations import Stats
from workers.web.admin.schemas.examples import ACTED, DETAIL, ENTRY, REASON, STATISTICS
from workers.web.schemas.responses import View

Records = Annotated[list[dict[str, Any]], Field(description="one object for each row")]


class EntryView(View):
    """One checkout in the list."""

    id: UUID
    cart_id: UUID
    owner: str
    reference: str | None = None
    state: CheckoutState
    phases_completed: int | None = None
    phases_to_undo: int | None = None
    currency: str
    total_minor: int | None = None
    order_number: int | None = None
    failure_code: str | None = None
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None


class StandbyView(View):
    """The standby that was read from; `lag_seconds` is null when it has replayed nothing since its start."""

    lag_seconds: float | None = None


class ListView(View):
    """A page of checkouts, newest first; `next_before` is the `before` of the next page, null on the last.

    `standby` is null when the primary was read.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"checkouts": [ENTRY], "next_before": ENTRY["id"], "standby": None}]}
    )

    checkouts: list[EntryView]
    next_before: UUID | None = None
    standby: StandbyView | None = None


class QueueView(View):
    """The figures of a queue in Redis."""

    queue: str
    waiting: int
    in_flight: int
    dead_lettered: int
    oldest_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class StatisticsView(Stats):
    """All figures: active checkouts, and those that ended in the last `hours`; `queues` is null without Redis.

    `standby` is null when the primary was read.
    """

    __pydantic_config__ = ConfigDict(json_schema_extra={"examples": [STATISTICS]})

    queues: list[QueueView] | None = None
    gateway: str
    standby: StandbyView | None = None


class AdviceView(View):
    """One piece of advice, with the command that follows it."""

    sentence: str
    command: str | None = None


class CheckoutDetailView(View):
    """Everything about one checkout."""

    model_config = ConfigDict(json_schema_extra={"examples": [DETAIL]})

    checkout: dict[str, Any]
    standing: dict[str, Any]
    cart: Records
    reservations: Records
    price_lock: Records
    coupons: Records
    payment: Records
    payment_operations: Records
    order: Records
    events: Records
    providers_webhooks: Records
    outbound_webhooks: Records
    advice: list[AdviceView]


class ReasonForm(Model):
    """The reason: it is stored in the checkout's events, with the name of the key."""

    model_config = ConfigDict(json_schema_extra={"examples": [REASON]})

    reason: Reason


class ActedView(View):
    """The result; `changed` is false when nothing had to be done."""

    model_config = ConfigDict(json_schema_extra={"examples": [ACTED]})

    checkout_id: UUID
    changed: bool
    state: CheckoutState
    message: str
