"""`GET /admin/orders`: the list of placed orders, newest first, searched and filtered, one page at a time."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection
from starlette.responses import Response

from models.states import OrderState
from pipeline.field_types import Reference
from pipeline.field_types.cursors import MAX_CURSOR
from pipeline.operations.order_search import find_orders
from pipeline.orders.reading import OrderFilter, OrderPage, list_orders
from pipeline.orders.reading.listing import MAX_PAGE, USUAL_PAGE
from workers.web.admin.authentication import ORDERS as LIST
from workers.web.admin.authentication import AdminPageRoute
from workers.web.admin.schemas.orders import OwnedListView
from workers.web.admin.templates import link_pages, render_page, wants_page
from workers.web.context import context_of
from workers.web.protection.policies import Policy, limited_as
from workers.web.schemas.moments import Moment

router = APIRouter(route_class=AdminPageRoute, include_in_schema=False)

#: The states of an order that was placed.
STATES: Final = (OrderState.PLACED, OrderState.CANCELLED)


class OrderListQuery(BaseModel):
    """Parameters of the list. A misspelt filter is refused: else the list would show all orders."""

    model_config = ConfigDict(extra="forbid")

    find: Reference | None = Field(None, description="a number, reference, customer, provider's reference, or an id")
    state: OrderState | None = Field(None, description="only these")
    owner: Reference | None = Field(None, description="only this owner's")
    since: Moment | None = Field(None, description="only those placed since then (UTC)")
    until: Moment | None = Field(None, description="only those placed before then (UTC)")
    after: str | None = Field(None, max_length=MAX_CURSOR, description="continue: `next_after` of the page before")
    limit: int = Field(USUAL_PAGE, ge=1, le=MAX_PAGE, description="at most so many")


@router.get(LIST, response_model=OwnedListView)
@limited_as(Policy.READS)
async def list_placed_orders(request: Request, wanted: Annotated[OrderListQuery, Query()]) -> Response | OwnedListView:
    """List placed orders, newest first. Every page costs the same, however many orders there are."""
    filters = OrderFilter(state=wanted.state, since=wanted.since, until=wanted.until)

    def read(connection: Connection) -> OrderPage:
        chosen = filters if wanted.find is None else find_orders(connection, wanted.find, filters, owner=wanted.owner)
        if chosen is None:
            return OrderPage((), None)
        return list_orders(connection, chosen, owner=wanted.owner, after=wanted.after, limit=wanted.limit)

    page, standby = await context_of(request).read_for_people(read)
    if not wants_page(request):
        found = {"orders": page.entries, "next_after": page.next_after, "standby": standby}
        return OwnedListView.model_validate(found)
    facts: dict[str, Any] = {
        "title": "Orders",
        "page": page,
        **link_pages(request, "after", page.next_after),
        "states": STATES,
        "standby": standby,
    }
    return render_page(request, "order_list.html", facts)
