"""Bodies of HTTP responses with events."""

from datetime import date, datetime
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue

from workers.web.schemas.order_examples import EVENTS
from workers.web.schemas.responses import View


class EventView(View):
    """One event; `data` has its facts."""

    id: int
    kind: str
    at: datetime
    checkout_id: UUID
    order_id: UUID | None = None
    order_number: int | None = None
    phase: str | None = None
    data: dict[str, JsonValue]


class EventListView(View):
    """Events in the order in which they are to be read. Keep `next_after`: it is the `after` of the next request."""

    model_config = ConfigDict(json_schema_extra={"examples": [EVENTS]})

    events: list[EventView]
    next_after: str
    has_more: bool = Field(description="whether there is a next page already")
    detached_until: date | None = Field(
        default=None, description="events of checkouts that began before this day are in an archive, and not here"
    )
