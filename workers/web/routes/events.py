"""`GET /events`: the feed of an owner's events, in an order without gaps."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from pipeline.webhooks.outbound.event_feed import MAX_PAGE, read_feed
from workers.web.context import context_of
from workers.web.protection.authentication import EventsRoute, caller_of
from workers.web.protection.policies import Policy, limited_as
from workers.web.schemas.examples import CHECKOUT_ID, ORDER_ID
from workers.web.schemas.openapi import BEARER, describe_problems

router = APIRouter(route_class=EventsRoute, tags=["events"], dependencies=[BEARER])


class FeedEventView(BaseModel):
    """One event. `cursor` is where to go on after it; `data` has the facts of its kind."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    cursor: str
    kind: str
    at: datetime
    checkout_id: UUID
    reference: str | None = None
    order_id: UUID | None = None
    order_number: int | None = None
    phase: str | None = None
    data: dict[str, JsonValue] | None = None


class FeedView(BaseModel):
    """A page of events, oldest first. `next` is the `after` of the next request, also when this page is empty."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {
                            "id": "evt_1042",
                            "cursor": "7719-1042",
                            "kind": "order.placed",
                            "at": "2026-11-26T12:00:03Z",
                            "checkout_id": CHECKOUT_ID,
                            "reference": "4711",
                            "order_id": ORDER_ID,
                            "order_number": 1001,
                        }
                    ],
                    "next": "7719-1042",
                }
            ]
        },
    )

    events: list[FeedEventView]
    next: str


class FeedQuery(BaseModel):
    """Parameters of the feed."""

    model_config = ConfigDict(extra="forbid")

    after: str | None = Field(None, max_length=50, description="`next` of the page before; without it, the beginning")
    limit: int = Field(100, ge=1, le=MAX_PAGE, description="at most so many")


@router.get("/events", response_description="A page", responses=describe_problems(401, 403, 422, 429, 500, 503))
@limited_as(Policy.READS)
async def read_events(request: Request, wanted: Annotated[FeedQuery, Query()]) -> FeedView:
    """Return your events, oldest first, each once: none that commits late is skipped by a reader who is past it.

    An event appears when every transaction that began before it has ended: within a second. Poll with the last `next`.
    """
    context, owner = context_of(request), caller_of(request).owner
    page = await context.read(lambda connection: read_feed(connection, owner, after=wanted.after, limit=wanted.limit))
    return FeedView.model_validate(page)
