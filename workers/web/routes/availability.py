"""`GET /availability`: what a storefront shows beside a variant."""

import hashlib
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from pipeline.catalog.reading import read_availability
from workers.web.context import context_of
from workers.web.protection.authentication import CheckoutRoute
from workers.web.protection.policies import Policy, limited_as
from workers.web.routes.catalog import READ, StockQuery
from workers.web.schemas.catalog import AvailabilityListView
from workers.web.schemas.openapi import BEARER

router = APIRouter(route_class=CheckoutRoute, tags=["catalog"], dependencies=[BEARER])

#: A page that shows a number some seconds old sells nothing that is not there: the reservation decides.
CACHED: Final = {"Cache-Control": "private, max-age=2", "Vary": "Authorization"}

RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "One entry for each sku",
        "headers": {"ETag": {"description": "of this body", "schema": {"type": "string"}}},
    },
    304: {"description": "It is as the caller's `If-None-Match` has it", "content": {}},
    **READ,
}


@router.get("/availability", response_model=AvailabilityListView, responses=RESPONSES)
@limited_as(Policy.READS)
async def read_available(
    request: Request,
    wanted: Annotated[StockQuery, Query()],
    if_none_match: Annotated[str | None, Header(description="the `ETag` of the response that the caller has")] = None,
) -> Response:
    """Return whether variants can be bought now, and how many units. It may be two seconds old in a cache."""
    found = await context_of(request).read(lambda connection: read_availability(connection, wanted.sku))
    body = AvailabilityListView.model_validate({"variants": found}).model_dump_json()
    tag = f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'
    headers = {**CACHED, "ETag": tag}
    known = {each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")}
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)
