"""The routes of a cart, for storefronts that keep their carts here."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from pipeline.carts import Cart
from workers.web.context import context_of
from workers.web.protection.authentication import CheckoutRoute, admit_cart, caller_of
from workers.web.protection.policies import Policy, limited_as
from workers.web.responses.serializers import view_cart
from workers.web.schemas.examples import CART_ID
from workers.web.schemas.openapi import BEARER, describe_problems
from workers.web.schemas.requests import CartForm
from workers.web.schemas.responses import CartView

router = APIRouter(route_class=CheckoutRoute, tags=["carts"], dependencies=[BEARER])

CartId = Annotated[UUID, Path(description="the cart's id, of your choice", examples=[CART_ID])]

CREATED: dict[int | str, dict[str, Any]] = {201: {"model": CartView, "description": "The cart is new"}}


@router.put(
    "/carts/{cart_id}",
    response_description="The cart that was there is replaced",
    responses=CREATED | describe_problems(401, 403, 404, 409, 413, 415, 422, 423, 429, 500, 503),
)
@limited_as(Policy.WRITES)
async def put_cart(request: Request, response: Response, cart_id: CartId, form: CartForm) -> CartView:
    """Write a whole cart, with an id of your choice (a UUID). 423 while a checkout locks it."""
    context, caller = context_of(request), caller_of(request)
    cart = Cart(id=cart_id, **dict(admit_cart(caller, form)))
    if await context.run(lambda: context.service.put_cart(caller.owner, cart)):
        response.status_code = 201
    return await context.run(lambda: view_cart(context.service.read_cart(caller.owner, cart_id), caller.owner))


@router.get(
    "/carts/{cart_id}",
    response_description="The cart",
    responses=describe_problems(401, 403, 404, 422, 429, 500, 503),
)
@limited_as(Policy.READS)
async def read_cart(request: Request, cart_id: CartId) -> CartView:
    """Return a cart, also a locked one: `locked_by` and `expires_at` are the owner and the end of the cart lock."""
    context, owner = context_of(request), caller_of(request).owner
    return await context.run(lambda: view_cart(context.service.read_cart(owner, cart_id), owner))
