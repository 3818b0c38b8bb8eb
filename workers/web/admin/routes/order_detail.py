"""`GET /admin/orders/{id}`: everything about one order, with the forms for what can be done with it."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Request
from sqlalchemy import Connection
from starlette.responses import Response

from models.states import ChangeState
from pipeline.operations.order_detail import OrderDetail, read_order_detail
from pipeline.orders.requests import Resolution
from workers.web.admin.authentication import ORDERS, AdminPageRoute
from workers.web.admin.schemas.orders import OwnedDetailView
from workers.web.admin.templates import render_page, wants_page
from workers.web.context import context_of
from workers.web.protection.policies import Policy, limited_as
from workers.web.responses.order_serializers import view_order

router = APIRouter(route_class=AdminPageRoute, include_in_schema=False)

OrderId = Annotated[UUID, Path(description="the order")]

#: The forms have fields for so many lines; `checkout orders` does the others.
MOST_LINES: Final = 100

#: What each choice about a change in review means.
RESOLUTIONS: Final = {
    Resolution.RETRY: "It was not done: try it again.",
    Resolution.DONE: "It was done, at the provider or in another way.",
    Resolution.FAILED: "It was not done, and will not be.",
}


@router.get(f"{ORDERS}/{{order_id}}", response_model=OwnedDetailView)
@limited_as(Policy.READS)
async def show_order(request: Request, order_id: OrderId) -> Response | OwnedDetailView:
    """Return everything about an order: what was sold, what is left of it, its changes and events."""

    def read(connection: Connection) -> OrderDetail:
        return read_order_detail(connection, order_id=order_id)

    detail = await context_of(request).read(read)
    order = detail.order
    if not wants_page(request):
        shown = view_order(order).model_dump()
        return OwnedDetailView.model_validate({**shown, "owner": order.owner, "events": detail.events})
    changed = request.query_params.get("change", "")
    change = next((each for each in order.changes if str(each.id) == changed), None)
    lines = order.lines[:MOST_LINES]
    facts: dict[str, Any] = {
        "title": f"Order {order.number}",
        "order": order,
        "events": detail.events,
        "said": change,
        "lines": lines,
        "in_review": [each for each in order.changes if each.state is ChangeState.NEEDS_REVIEW],
        "resolutions": RESOLUTIONS,
        "can_restock": any(each.restockable for each in lines),
        "can_fulfill": any(each.fulfillable for each in lines),
    }
    return render_page(request, "order_detail.html", facts)
