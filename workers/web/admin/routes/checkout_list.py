"""`GET /admin/checkout-locks`: the list of checkouts, newest first, filtered, one page at a time."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import RedirectResponse, Response

from models.states import CheckoutState
from pipeline.field_types import Reference
from pipeline.operations import read_page
from pipeline.operations.checkout_search import MAX_PAGE, Filter
from workers.web.admin.authentication import LIST, AdminPageRoute
from workers.web.admin.schemas.responses import ListView
from workers.web.admin.templates import link_pages, render_page, wants_page
from workers.web.context import context_of
from workers.web.protection.policies import Policy, limited_as
from workers.web.schemas.examples import CART_ID
from workers.web.schemas.moments import Moment
from workers.web.schemas.openapi import BEARER, PAGE, describe_problems

router = APIRouter(route_class=AdminPageRoute, tags=["admin"], dependencies=[BEARER])

PAGE_SIZE: Final = 50


class ListQuery(BaseModel):
    """Parameters of the list. A misspelt filter is refused: else the list would show all checkouts."""

    model_config = ConfigDict(extra="forbid")

    state: CheckoutState | None = Field(None, description="only these")
    owner: Reference | None = Field(None, description="only this owner's", examples=["shop-1"])
    cart: UUID | None = Field(None, description="only those of this cart", examples=[CART_ID])
    since: Moment | None = Field(None, description="only those started since then (UTC)")
    until: Moment | None = Field(None, description="only those started before then (UTC)")
    before: UUID | None = Field(None, description="continue after this one: `next_before` of the page before")
    limit: int = Field(PAGE_SIZE, ge=1, le=MAX_PAGE, description="at most so many")


@router.get("/admin", include_in_schema=False)
@limited_as(Policy.READS)
async def enter() -> Response:
    """Redirect to the list."""
    return RedirectResponse(LIST, 303)


@router.get(
    LIST,
    response_model=ListView,
    response_description="A page of checkouts",
    responses=PAGE | describe_problems(401, 403, 422, 429, 500, 503),
)
@limited_as(Policy.READS)
async def list_checkouts(request: Request, wanted: Annotated[ListQuery, Query()]) -> Response | ListView:
    """List checkouts, newest first. Every page costs the same, however many checkouts there are."""
    filters = Filter(wanted.state, wanted.owner, wanted.cart, wanted.since, wanted.until, wanted.before)
    page, standby = await context_of(request).read_for_people(
        lambda connection: read_page(connection, filters, limit=wanted.limit)
    )
    if not wants_page(request):
        found = {"checkouts": page.entries, "next_before": page.next_before, "standby": standby}
        return ListView.model_validate(found)
    facts: dict[str, Any] = {
        "title": "Checkouts",
        "page": page,
        **link_pages(request, "before", page.next_before),
        "states": list(CheckoutState),
        "standby": standby,
    }
    return render_page(request, "list.html", facts)
