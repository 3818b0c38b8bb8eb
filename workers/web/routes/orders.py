"""The routes of placed orders: list, read, and every change of one."""

from typing import Annotated, Any, Final
from uuid import UUID

import structlog
from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from models.states import ChangeState, OrderState
from pipeline.errors import Code
from pipeline.field_types import Reference
from pipeline.field_types.kinds import Customer, Moment
from pipeline.orders.reading import ChangeView, OrderFilter, list_orders, read_change, read_order
from pipeline.orders.requests import (
    CancelRequest,
    ChangeRequest,
    FulfillmentRequest,
    RefundRequest,
    RestockRequest,
)
from workers.web.context import WebContext, context_of
from workers.web.headers import read_key, read_wait
from workers.web.protection.authentication import OrdersRoute, caller_of
from workers.web.protection.policies import Policy, limited_as
from workers.web.responses.checkout_responses import RETRY_AFTER_SECONDS
from workers.web.responses.problem_details import make_problem, render
from workers.web.schemas.examples import CHANGE_ID, ORDER_ID
from workers.web.schemas.openapi import ABOUT, BEARER, describe_problems
from workers.web.schemas.orders import OrderChangeView, OrderEntryView, OrderPageView, PlacedOrderView

router = APIRouter(route_class=OrdersRoute, tags=["orders"], dependencies=[BEARER])

OrderId = Annotated[UUID, Path(description="the order's id", examples=[ORDER_ID])]
Prefer = Annotated[
    str | None,
    Header(
        alias="Prefer",
        description="`wait=N`: respond when the change has ended or needs review, or after N seconds",
        examples=["wait=10"],
    ),
]
Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        description="unique to this change; quoted or bare, up to 255 characters",
        examples=["return-4711"],
    ),
]

#: The largest page of the list.
MAX_PAGE: Final = 200

CHANGED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": OrderChangeView, "description": "The change is done", "headers": ABOUT},
    202: {
        "model": OrderChangeView,
        "description": "In progress, or it needs review: poll the `Location`",
        "headers": ABOUT,
    },
}
PROBLEMS: Final = describe_problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503)


class OrderQuery(BaseModel):
    """Parameters of the list. A misspelt filter is refused: else the list would show all orders."""

    model_config = ConfigDict(extra="forbid")

    number: int | None = Field(None, ge=1, le=2**63 - 1, description="only this order")
    reference: Reference | None = Field(None, description="only those with this reference of yours", examples=["4711"])
    customer: Customer | None = Field(None, description="only this customer's, as the cart named it")
    state: OrderState | None = Field(None, description="only these")
    since: Moment | None = Field(None, description="only those placed since then (UTC)")
    until: Moment | None = Field(None, description="only those placed before then (UTC)")
    after: str | None = Field(None, max_length=50, description="continue: `next` of the page before")
    limit: int = Field(50, ge=1, le=MAX_PAGE, description="at most so many")


@router.get(
    "/orders", response_description="A page of orders", responses=describe_problems(401, 403, 422, 429, 500, 503)
)
@limited_as(Policy.READS)
async def list_own_orders(request: Request, wanted: Annotated[OrderQuery, Query()]) -> OrderPageView:
    """List your orders, newest first. Every page costs the same, however many orders there are."""
    context, owner = context_of(request), caller_of(request).owner
    filters = OrderFilter(
        number=wanted.number,
        reference=wanted.reference,
        customer=wanted.customer,
        state=wanted.state,
        since=wanted.since,
        until=wanted.until,
    )
    page = await context.read(
        lambda connection: list_orders(connection, filters, owner=owner, after=wanted.after, limit=wanted.limit)
    )
    return OrderPageView(orders=[OrderEntryView.model_validate(each) for each in page.entries], next=page.next_after)


@router.get(
    "/orders/{order_id}",
    response_description="The order",
    responses=describe_problems(401, 403, 404, 422, 429, 500, 503),
)
@limited_as(Policy.READS)
async def read_own_order(request: Request, order_id: OrderId) -> PlacedOrderView:
    """Return an order: its frozen lines and amounts, its payment, its changes, and what is left of it."""
    context, owner = context_of(request), caller_of(request).owner
    order = await context.read(lambda connection: read_order(connection, owner=owner, order_id=order_id))
    return PlacedOrderView.model_validate(order)


@router.get(
    "/orders/{order_id}/changes/{change_id}",
    response_description="The change",
    responses=describe_problems(401, 403, 404, 422, 429, 500, 503),
)
@limited_as(Policy.READS)
async def read_order_change(
    request: Request, order_id: OrderId, change_id: Annotated[UUID, Path(examples=[CHANGE_ID])]
) -> OrderChangeView:
    """Return a change of an order."""
    context, owner = context_of(request), caller_of(request).owner
    change = await context.read(lambda connection: read_change(connection, change_id, owner, order_id=order_id))
    return OrderChangeView.model_validate(change)


@router.post("/orders/{order_id}/cancel", response_model=OrderChangeView, responses=CHANGED | PROBLEMS)
@limited_as(Policy.WRITES)
async def cancel_order(
    request: Request, order_id: OrderId, form: CancelRequest, idempotency_key: Key, prefer: Prefer = None
) -> Response:
    """Cancel an order: what is left of the money is refunded, its units are restocked unless you say otherwise.

    Refused once something was fulfilled.
    """
    return await _change(request, order_id, form, idempotency_key, prefer)


@router.post("/orders/{order_id}/refunds", response_model=OrderChangeView, responses=CHANGED | PROBLEMS)
@limited_as(Policy.WRITES)
async def refund_order(
    request: Request, order_id: OrderId, form: RefundRequest, idempotency_key: Key, prefer: Prefer = None
) -> Response:
    """Refund all that is left, an amount, or units of lines and a part of the delivery."""
    return await _change(request, order_id, form, idempotency_key, prefer)


@router.post("/orders/{order_id}/restocks", response_model=OrderChangeView, responses=CHANGED | PROBLEMS)
@limited_as(Policy.WRITES)
async def restock_order(
    request: Request, order_id: OrderId, form: RestockRequest, idempotency_key: Key, prefer: Prefer = None
) -> Response:
    """Put units that came back into the stock of the location that sold them."""
    return await _change(request, order_id, form, idempotency_key, prefer)


@router.post("/orders/{order_id}/fulfillments", response_model=OrderChangeView, responses=CHANGED | PROBLEMS)
@limited_as(Policy.WRITES)
async def fulfill_order(
    request: Request, order_id: OrderId, form: FulfillmentRequest, idempotency_key: Key, prefer: Prefer = None
) -> Response:
    """Record what was sent to the buyer."""
    return await _change(request, order_id, form, idempotency_key, prefer)


async def _change(
    request: Request, order_id: UUID, form: ChangeRequest, idempotency_key: str, prefer: str | None
) -> Response:
    """Request a change once for its key, wait for its end if that is wanted, and return it."""
    context, caller = context_of(request), caller_of(request)
    key = read_key(idempotency_key)
    seconds = read_wait(prefer, context.settings.web_max_wait_seconds)
    orders = context.components.orders
    result = await context.run(
        lambda: orders.request(order_id, caller.owner, form, actor=f"key:{caller.key_id}", idempotency_key=key)
    )
    response = await respond_to_change(context, result.change_id, caller.owner, seconds)
    if not result.created:
        response.headers["Idempotency-Replayed"] = "true"
    return response


async def respond_to_change(context: WebContext, change_id: UUID, owner: str, seconds: int) -> Response:
    """Return the change: 200 when it is done, 202 before that and in review, a problem when it failed."""
    structlog.contextvars.bind_contextvars(change_id=str(change_id))

    async def read() -> ChangeView:
        return await context.read(lambda connection: read_change(connection, change_id, owner))

    if seconds:
        change = await context.long_polls.wait(change_id, read, lambda found: found.is_settled, seconds)
    else:
        change = await read()
    response = _render(change)
    response.headers["Location"] = f"/orders/{change.order_id}/changes/{change.id}"
    if not change.is_settled:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if seconds:
        response.headers["Preference-Applied"] = f"wait={seconds}"
    return response


def _render(change: ChangeView) -> Response:
    code = change.outcome.get("code")
    if change.state is ChangeState.FAILED and isinstance(code, str):
        facts = {name: value for name, value in change.outcome.items() if name not in {"code", "message"}}
        return render(make_problem(Code(code), str(change.outcome.get("message", "")), facts))
    body = OrderChangeView.model_validate(change).model_dump_json()
    return Response(body, 200 if change.state is ChangeState.DONE else 202, media_type="application/json")
