"""The routes of placed orders: list, read, cancel, refund, restock, fulfill."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Body, Header, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from models.states import OrderState
from pipeline.field_types import Reference
from pipeline.field_types.cursors import MAX_CURSOR
from pipeline.field_types.kinds import Customer
from pipeline.orders.reading import OrderFilter, list_orders, read_order
from pipeline.orders.reading.listing import MAX_NUMBER, MAX_PAGE, USUAL_PAGE
from pipeline.orders.requests import (
    CancelRequest,
    ChangeRequest,
    FulfillmentRequest,
    RefundRequest,
    RestockRequest,
)
from workers.web.context import context_of
from workers.web.headers import read_key, read_wait
from workers.web.protection.authentication import OrdersRoute, caller_of
from workers.web.protection.policies import Policy, limited_as
from workers.web.responses.order_responses import respond_to_request, wait_for_change
from workers.web.responses.order_serializers import view_change, view_order, view_orders
from workers.web.schemas.examples import CHANGE_ID, ORDER_ID
from workers.web.schemas.moments import Moment
from workers.web.schemas.openapi import BEARER, CHANGE_RESPONSES, describe_problems
from workers.web.schemas.order_examples import CURSOR
from workers.web.schemas.orders import ChangeView, OrderDetailView, OrderListView, ShownState

router = APIRouter(route_class=OrdersRoute, tags=["orders"], dependencies=[BEARER])

OrderId = Annotated[UUID, Path(description="an order of yours", examples=[ORDER_ID])]
ChangeId = Annotated[UUID, Path(description="a change of this order", examples=[CHANGE_ID])]
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
        description="unique to this change among all of yours; quoted or bare, up to 255 characters",
        examples=["refund-4711-1"],
    ),
]

READ: Final = describe_problems(401, 403, 404, 422, 429, 500, 503)
WRITTEN: Final[dict[int | str, dict[str, Any]]] = CHANGE_RESPONSES | describe_problems(
    *(400, 401, 402, 403, 404, 409, 413, 415, 422, 429, 500, 503)
)


class OrderQuery(BaseModel):
    """Parameters of the list. A misspelt filter is refused: else the list would show all orders."""

    model_config = ConfigDict(extra="forbid")

    number: int | None = Field(None, ge=1, le=MAX_NUMBER, description="only this one", examples=[1001])
    reference: Reference | None = Field(None, description="only those with this number of yours", examples=["4711"])
    customer: Customer | None = Field(None, description="only this customer's, as their carts name it")
    state: ShownState | None = Field(None, description="only these")
    since: Moment | None = Field(None, description="only those written since then (UTC)")
    until: Moment | None = Field(None, description="only those written before then (UTC)")
    after: str | None = Field(
        None, max_length=MAX_CURSOR, description="`next_after` of the page before", examples=[CURSOR]
    )
    limit: int = Field(USUAL_PAGE, ge=1, le=MAX_PAGE, description="at most so many")


@router.get("/orders", response_description="A page of orders", responses=READ)
@limited_as(Policy.READS)
async def list_own_orders(request: Request, wanted: Annotated[OrderQuery, Query()]) -> OrderListView:
    """List your orders, newest first. Every page costs the same, however many orders there are."""
    context, owner = context_of(request), caller_of(request).owner
    filters = OrderFilter(
        number=wanted.number,
        reference=wanted.reference,
        customer=wanted.customer,
        state=None if wanted.state is None else OrderState(wanted.state),
        since=wanted.since,
        until=wanted.until,
    )
    return await context.read(
        lambda connection: view_orders(
            list_orders(connection, filters, owner=owner, after=wanted.after, limit=wanted.limit)
        )
    )


@router.get("/orders/{order_id}", response_description="The order", responses=READ)
@limited_as(Policy.READS)
async def read_own_order(request: Request, order_id: OrderId) -> OrderDetailView:
    """Return a placed order: its frozen amounts, its payment, its changes, and what can still be done."""
    context, owner = context_of(request), caller_of(request).owner
    return await context.read(lambda connection: view_order(read_order(connection, owner=owner, order_id=order_id)))


@router.get("/orders/{order_id}/changes/{change_id}", response_description="The change", responses=READ)
@limited_as(Policy.READS)
async def read_own_change(
    request: Request, order_id: OrderId, change_id: ChangeId, prefer: Prefer = None
) -> ChangeView:
    """Return a change of an order; with `Prefer: wait=N` once it has ended or needs review."""
    context, owner = context_of(request), caller_of(request).owner
    seconds = read_wait(prefer, context.settings.web_max_wait_seconds)
    return view_change(await wait_for_change(context, change_id, owner, seconds, order_id=order_id))


@router.post("/orders/{order_id}/cancel", response_model=ChangeView, responses=WRITTEN)
@limited_as(Policy.WRITES)
async def cancel_order(
    request: Request,
    order_id: OrderId,
    form: Annotated[CancelRequest, Body(examples=[{"reason": "the buyer has changed their mind"}])],
    idempotency_key: Key,
    prefer: Prefer = None,
) -> Response:
    """Cancel an order of which nothing was sent: all that is left is refunded, and its units are restocked.

    `restock: false` leaves the stock as it is. The order keeps its number.
    """
    return await _change(request, order_id, form, idempotency_key, prefer)


@router.post("/orders/{order_id}/refunds", response_model=ChangeView, responses=WRITTEN)
@limited_as(Policy.WRITES)
async def refund_order(
    request: Request,
    order_id: OrderId,
    form: Annotated[
        RefundRequest,
        Body(examples=[{"lines": [{"line": 1, "quantity": 1}], "reason": "a crack"}, {"amount_minor": 450}]),
    ],
    idempotency_key: Key,
    prefer: Prefer = None,
) -> Response:
    """Refund `all` that is left, an amount, or lines with their units and an amount of the delivery.

    A line's refund has its share of taxes and discounts. A repeat with the same key is the same refund.
    """
    return await _change(request, order_id, form, idempotency_key, prefer)


@router.post("/orders/{order_id}/restocks", response_model=ChangeView, responses=WRITTEN)
@limited_as(Policy.WRITES)
async def restock_order(
    request: Request,
    order_id: OrderId,
    form: Annotated[RestockRequest, Body(examples=[{"lines": [{"line": 1, "quantity": 1, "location": "main"}]}])],
    idempotency_key: Key,
    prefer: Prefer = None,
) -> Response:
    """Put units that came back into stock again, where they were sold."""
    return await _change(request, order_id, form, idempotency_key, prefer)


@router.post("/orders/{order_id}/fulfillments", response_model=ChangeView, responses=WRITTEN)
@limited_as(Policy.WRITES)
async def fulfill_order(
    request: Request,
    order_id: OrderId,
    form: Annotated[
        FulfillmentRequest,
        Body(examples=[{"lines": [{"line": 1, "quantity": 1}], "carrier": "Royal Mail", "tracking": "RM1"}]),
    ],
    idempotency_key: Key,
    prefer: Prefer = None,
) -> Response:
    """Record what was sent to the buyer, and tell it on. The engine sends nothing itself."""
    return await _change(request, order_id, form, idempotency_key, prefer)


async def _change(
    request: Request, order_id: UUID, form: ChangeRequest, idempotency_key: str, prefer: str | None
) -> Response:
    context, caller = context_of(request), caller_of(request)
    key = read_key(idempotency_key)
    seconds = read_wait(prefer, context.settings.web_max_wait_seconds)
    result = await context.run(
        lambda: context.orders.request(order_id, caller.owner, form, actor=f"key:{caller.key_id}", idempotency_key=key)
    )
    return await respond_to_request(context, result, caller.owner, seconds)
