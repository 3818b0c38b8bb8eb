"""`GET /events`: every event of an owner, in an order without gaps."""

from collections.abc import Awaitable
from typing import Annotated, Final
from uuid import NAMESPACE_OID, UUID, uuid5

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from pipeline.field_types.cursors import MAX_CURSOR
from pipeline.webhooks.outbound.feed import MAX_PAGE, NOW, USUAL_PAGE, FeedPage, read_feed
from workers.web.context import context_of
from workers.web.headers import read_wait
from workers.web.protection.authentication import EventsRoute, caller_of
from workers.web.protection.policies import Policy, limited_as
from workers.web.schemas.events import EventListView
from workers.web.schemas.openapi import BEARER, describe_problems
from workers.web.schemas.order_examples import CURSOR

router = APIRouter(route_class=EventsRoute, tags=["events"], dependencies=[BEARER])

Prefer = Annotated[
    str | None,
    Header(
        alias="Prefer",
        description="`wait=N`: where there is no event yet, respond when there is one, or after N seconds",
    ),
]

#: Long polls are by id: an owner's has one that is no checkout's, and that nothing wakes. They look now and then.
OWNERS: Final = uuid5(NAMESPACE_OID, "checkout.owner")


class EventQuery(BaseModel):
    """Parameters of the feed. A misspelt one is refused: else it would begin anew."""

    model_config = ConfigDict(extra="forbid")

    after: str | None = Field(
        None,
        max_length=MAX_CURSOR,
        description="`next_after` of the page before; `now` for what comes from now on; without it, from the beginning",
        examples=[CURSOR],
    )
    limit: int = Field(USUAL_PAGE, ge=1, le=MAX_PAGE, description="at most so many")


@router.get(
    "/events", response_description="A page of events", responses=describe_problems(401, 403, 422, 429, 500, 503)
)
@limited_as(Policy.READS)
async def read_events(request: Request, wanted: Annotated[EventQuery, Query()], prefer: Prefer = None) -> EventListView:
    """Return every event of yours after a cursor, oldest first: none is skipped, and none comes twice.

    The next request has `next_after` as its `after`. Events of a transaction are shown once all older transactions have
    ended, so that none of them can come later in between.
    """
    context, owner = context_of(request), caller_of(request).owner

    def read() -> Awaitable[FeedPage]:
        return context.read(lambda connection: read_feed(connection, owner, after=wanted.after, limit=wanted.limit))

    seconds = read_wait(prefer, context.settings.web_max_wait_seconds)
    if seconds and wanted.after != NOW:
        own: UUID = uuid5(OWNERS, owner)
        page = await context.long_polls.wait(own, read, lambda found: bool(found.events), seconds)
    else:
        page = await read()
    return EventListView.model_validate(page)
