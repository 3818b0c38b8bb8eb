"""The routes of a checkout: start, pay, status, cancel."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from models.limits import MAX_TTL_SECONDS
from pipeline.errors import Code, Conflict, Invalid, NotFound
from pipeline.intake import CheckoutService, StartRequest
from pipeline.intake.starting import Start
from pipeline.security import Scope
from workers.web.context import context_of
from workers.web.headers import read_key, read_wait
from workers.web.protection.authentication import CheckoutRoute, admit_cart, caller_of, require
from workers.web.protection.load_shedding import LoadShedding
from workers.web.protection.policies import Policy, limited_as
from workers.web.responses.checkout_responses import respond_to_buyer, respond_to_cancel, settle
from workers.web.responses.serializers import view_idle_cart, view_status
from workers.web.routes.after_order import cancel_by_form, cancel_with_order
from workers.web.routes.purchase import purchase
from workers.web.schemas.examples import CART_ID, CHECKOUT_ID
from workers.web.schemas.openapi import BEARER, CHECKOUT_RESPONSES, describe_problems
from workers.web.schemas.orders import ChangeView
from workers.web.schemas.requests import CancelForm, CheckoutForm
from workers.web.schemas.responses import CheckoutView, StatusView

router = APIRouter(route_class=CheckoutRoute, tags=["checkout"], dependencies=[BEARER])

Prefer = Annotated[
    str | None,
    Header(
        alias="Prefer",
        description="`wait=N`: respond when the checkout is in a stable state, or after N seconds",
        examples=["wait=10"],
    ),
]
Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        description="unique to this purchase; quoted or bare, up to 255 characters",
        examples=["order-4711"],
    ),
]

OrderKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="with `after_order`: unique to this cancel, to try one again that has failed; quoted or bare",
        examples=["cancel-4711-2"],
    ),
]

UNDONE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        **CHECKOUT_RESPONSES[200],
        "model": CheckoutView | ChangeView,
        "description": "Everything is undone: the cart is open again, or the order is cancelled",
    },
    202: {
        **CHECKOUT_RESPONSES[202],
        "model": CheckoutView | ChangeView,
        "description": "It is being undone, or the order is being cancelled, or needs review: poll the `Location`",
    },
}


@router.get(
    "/checkout",
    response_model=CheckoutView,
    responses=CHECKOUT_RESPONSES | describe_problems(401, 402, 403, 404, 409, 422, 423, 429, 500, 503),
)
@limited_as(Policy.WRITES)
async def start_checkout(
    request: Request,
    cart_id: Annotated[UUID, Query(description="the cart to buy", examples=[CART_ID])],
    ttl_seconds: Annotated[
        int | None, Query(gt=0, le=MAX_TTL_SECONDS, description="how long to keep it unpaid", examples=[900])
    ] = None,
    prefer: Prefer = None,
) -> Response:
    """Start the checkout of a cart, or return the one that it has.

    Its stock is reserved and its prices are locked. Safe to repeat: a cart has one checkout at a time, and the payment
    of one that waits for 3-D Secure is polled again. 202 while it is in progress, 200 with the quote once it is frozen.
    """
    context, owner = context_of(request), caller_of(request).owner
    await load_shedding_of(request).admit()
    start_request = StartRequest(owner=owner, cart_id=cart_id, ttl_seconds=ttl_seconds)
    since = context.long_polls.mark()
    started = await context.groups.starts.submit(Start(start_request))
    checkout_id = started.checkout_id if started else await context.run(lambda: _start(context.service, start_request))
    seconds = read_wait(prefer, context.settings.web_max_wait_seconds)
    outcome = await settle(context, checkout_id, owner, seconds, since=since)
    return respond_to_buyer(outcome, paying=False, waited=seconds)


@router.post(
    "/checkout",
    response_model=CheckoutView,
    responses=CHECKOUT_RESPONSES | describe_problems(400, 401, 402, 403, 404, 409, 413, 415, 422, 423, 429, 500, 503),
)
@limited_as(Policy.WRITES)
async def process_checkout(
    request: Request, form: CheckoutForm, idempotency_key: Key, prefer: Prefer = None
) -> Response:
    """Pay a started checkout, or a cart at once.

    202 at once, with the address of its status; with `Prefer: wait=N` the order, or why there is none. A repeat with
    the same key and body gets the first response, for 24 hours, and never pays twice; where that was 202, a repeat
    with a wait gets what has become of the checkout.
    """
    context, caller = context_of(request), caller_of(request)
    key = read_key(idempotency_key)
    if form.cart is not None:
        form = form.model_copy(update={"cart": admit_cart(caller, form.cart)})
    if form.checkout_id is None:
        # A started checkout is not refused: its stock is reserved.
        await load_shedding_of(request).admit()
    seconds = read_wait(prefer, context.settings.web_max_wait_seconds)
    return await purchase(context, form.to_request(caller.owner, key), key, seconds)


@router.get(
    "/checkout/status",
    response_description="The status",
    responses=describe_problems(401, 403, 404, 422, 429, 500, 503),
)
@limited_as(Policy.READS)
async def read_checkout_status(
    request: Request,
    checkout_id: Annotated[
        UUID | None, Query(description="a checkout of yours, or ...", examples=[CHECKOUT_ID])
    ] = None,
    cart_id: Annotated[UUID | None, Query(description="... the cart, of which the newest checkout is returned")] = None,
) -> StatusView:
    """Return the status of a checkout, or of a cart's newest one."""
    if (checkout_id is None) == (cart_id is None):
        raise Invalid(Code.REQUEST_INVALID, reason="name either checkout_id or cart_id")
    context, owner = context_of(request), caller_of(request).owner
    return await context.run(lambda: _read_status(context.service, owner, checkout_id, cart_id))


@router.post(
    "/checkout/cancel",
    response_model=CheckoutView | ChangeView,
    responses=UNDONE | describe_problems(400, 401, 402, 403, 404, 409, 413, 415, 422, 429, 500, 503),
)
@limited_as(Policy.WRITES)
async def cancel_checkout(
    request: Request, form: CancelForm, idempotency_key: OrderKey = None, prefer: Prefer = None
) -> Response:
    """Cancel a checkout: everything is undone, the cart is open again. Safe to repeat.

    Refused once the payment is being captured (`past_pivot`), and of one that has become an order. With `after_order`
    (which needs the scope `orders` too) and `Prefer: wait`, the order is waited for and cancelled: then the response is
    the change of the order. While there is no order yet it is `past_pivot`, and nothing is promised: repeat it.
    """
    context, caller = context_of(request), caller_of(request)
    seconds = read_wait(prefer, context.settings.web_max_wait_seconds)
    if form.after_order:
        require(caller, Scope.ORDERS, "after_order cancels an order")
        key = None if idempotency_key is None else read_key(idempotency_key)
        return await cancel_with_order(context, caller, form, key, seconds)
    checkout_id = await context.run(lambda: cancel_by_form(context.service, caller.owner, form))
    return respond_to_cancel(await settle(context, checkout_id, caller.owner, seconds), waited=seconds)


def load_shedding_of(request: Request) -> LoadShedding:
    """Return the load shedding of this process."""
    load_shedding = request.app.state.load_shedding
    assert isinstance(load_shedding, LoadShedding)  # noqa: S101 (the application is built in one place)
    return load_shedding


def _start(service: CheckoutService, start_request: StartRequest) -> UUID:
    try:
        result = service.start(start_request)
    except Conflict as refusal:
        if refusal.code is not Code.CART_COMPLETED:
            raise
        # A page that is refreshed after the purchase shows the order; another owner's is not shown.
        try:
            return service.status(cart_id=start_request.cart_id, owner=start_request.owner).checkout_id
        except NotFound:
            raise refusal from None
    if not result.changed:
        service.resume(result.checkout_id, start_request.owner)
    return result.checkout_id


def _read_status(service: CheckoutService, owner: str, checkout_id: UUID | None, cart_id: UUID | None) -> StatusView:
    try:
        return view_status(service.status(checkout_id=checkout_id, cart_id=cart_id, owner=owner))
    except NotFound:
        if cart_id is None:
            raise
        return view_idle_cart(service.read_cart(owner, cart_id))
