"""Checks of a request before its body is read: API key, rate limit, scope, size and media type."""

import time
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final, TypeVar

import structlog
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from models.states import MoveState
from pipeline.carts.cart_input import CartContent
from pipeline.catalog.batches.forms import PriceBatch, StockBatch, TransferBatch, VariantBatch
from pipeline.checkouts.moving import explain_move
from pipeline.errors import Code, Refused
from pipeline.orders.requests import FulfillmentRequest, RefundRequest, RestockRequest
from pipeline.security import Caller, Scope
from pipeline.security.tokens import refuse_token
from pipeline.settings import Settings
from workers.web.context import context_of
from workers.web.protection.client_networks import find_network
from workers.web.protection.policies import Policy, policy_of
from workers.web.protection.request_body import BoundedRequest
from workers.web.responses.problem_details import HEADERS, Problem, explain, render
from workers.web.schemas.requests import CartForm, CheckoutForm

log = structlog.get_logger()

Content = TypeVar("Content", bound=CartContent)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


#: Forms with a cart, with lines of an order, or with rows of the catalog.
CARRIERS: Final = (
    *(CartForm, CheckoutForm, RefundRequest, RestockRequest, FulfillmentRequest),
    *(VariantBatch, PriceBatch, StockBatch, TransferBatch),
)
#: All other bodies have some hundred bytes.
MAX_FORM_BYTES: Final = 16 * 1024
#: In logs and metrics, as in nginx's, for a request that its client has not sent completely.
CLIENT_GONE: Final = 499


class OpenRoute(APIRoute):
    """A public route: an error becomes a problem, and each request logs one line."""

    scope_needed: ClassVar[Scope | None] = None
    media_types: ClassVar[frozenset[str]] = frozenset({"application/json"})
    #: Largest body; a form with a cart or with lines has a setting instead.
    max_bytes: ClassVar[int] = MAX_FORM_BYTES

    def get_route_handler(self) -> Handler:
        """Return the handler with the checks before it."""
        handler = super().get_route_handler()
        # A route without a mark does not start.
        policy_of(self.endpoint)

        async def handle(request: Request) -> Response:
            structlog.contextvars.clear_contextvars()
            began = time.monotonic()
            headers = dict(HEADERS)
            try:
                with context_of(request).load.count():
                    response = await handler(await self.admit(request, headers))
            except Exception as error:  # noqa: BLE001 (explained to the caller, and logged when unexpected)
                if ClientDisconnect in {type(error), type(error.__cause__)}:
                    # The client is gone.
                    response = Response(status_code=CLIENT_GONE)
                else:
                    response = self.refuse(explain(error, request), request)
            for name, value in headers.items():
                response.headers.setdefault(name, value)
            seconds = round(time.monotonic() - began, 4)
            log.info("request.answered", method=request.method, route=self.path, status=response.status_code, s=seconds)
            return response

        return handle

    async def admit(self, request: Request, headers: dict[str, str]) -> Request:
        """Return the request if it passes the checks; add the headers that its response must have to `headers`."""
        context, policy = context_of(request), policy_of(self.endpoint)
        if self.scope_needed is not None:
            caller = await self._identify_limited(request, headers)
            request.state.caller = caller
            structlog.contextvars.bind_contextvars(key_id=caller.key_id)
            if policy is not None:
                context.rate_limits.admit(policy, caller.key_id, headers)
            require(caller, self.scope_needed, "this address needs it")
            if caller.cell is not None and caller.move is MoveState.CLOSED and policy is Policy.WRITES:
                raise explain_move(caller.cell, caller.move)
        elif policy is not None:
            context.rate_limits.admit(policy, find_network(request), headers)
        if self.body_field is not None and read_media_type(request) not in self.media_types:
            raise Refused(Code.MEDIA_TYPE)
        return BoundedRequest(request, self.find_limit(context.settings), context.settings.web_body_seconds)

    def find_limit(self, settings: Settings) -> int:
        """Return the largest body, in bytes, that this route reads."""
        form = None if self.body_field is None else self.body_field.field_info.annotation
        return settings.web_max_body_bytes if form in CARRIERS else min(self.max_bytes, settings.web_max_body_bytes)

    async def _identify_limited(self, request: Request, headers: dict[str, str]) -> Caller:
        """Return the caller; without known credentials, only while the client's address is within its rate limit.

        Counted before the credentials are looked up, so that guesses beyond the limit cost no query.
        """
        context = context_of(request)
        if not context.known_credentials.include(request):
            context.rate_limits.admit(Policy.ANONYMOUS, find_network(request), headers)
        try:
            caller = await self.identify(request)
        except Refused:
            context.known_credentials.discard(request)
            raise
        context.known_credentials.add(request)
        return caller

    async def identify(self, request: Request) -> Caller:
        """Return the caller."""
        return await identify(request)

    def refuse(self, problem: Problem, request: Request) -> Response:  # noqa: ARG002 (subclasses use the request)
        """Return the response to a refused request."""
        return render(problem)


class CheckoutRoute(OpenRoute):
    """A route for keys with the scope `checkout`."""

    scope_needed = Scope.CHECKOUT


class OrdersRoute(OpenRoute):
    """A route for keys with the scope `orders`."""

    scope_needed = Scope.ORDERS


class EventsRoute(OpenRoute):
    """A route for keys with the scope `events`."""

    scope_needed = Scope.EVENTS


class CatalogRoute(OpenRoute):
    """A route for keys with the scope `catalog`."""

    scope_needed = Scope.CATALOG


class AdminRoute(OpenRoute):
    """A route for keys with the scope `admin`."""

    scope_needed = Scope.ADMIN


async def identify(request: Request) -> Caller:
    """Return the API key of the request; Refused when it has no valid one, or one of another cell."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    token = rest.strip()
    if scheme.lower() != "bearer" or not token:
        raise Refused(Code.API_KEY_INVALID)
    context = context_of(request)
    caller = await context.groups.callers.submit(token)
    if caller is None:
        raise refuse_token(token, context.settings.cell)
    if caller.cell is not None and caller.move is MoveState.MOVED:
        raise explain_move(caller.cell, caller.move)
    return caller


def caller_of(request: Request) -> Caller:
    """Return the caller, on a route that needs an API key."""
    caller = request.state.caller
    assert isinstance(caller, Caller)  # noqa: S101 (`admit` has set it)
    return caller


def require(caller: Caller, scope: Scope, why: str) -> None:
    """Refuse a key without this scope."""
    if scope not in caller.scopes:
        raise Refused(Code.SCOPE_MISSING, scope=scope.value, why=why)


def admit_cart(caller: Caller, cart: Content) -> Content:
    """Return a cart as this key may write it: amounts need the scope `prices`, and without it titles are the catalog's.

    A title changes no amount, and storefronts send the one that they show: it is dropped, and not refused.
    """
    if Scope.PRICES in caller.scopes:
        return cart
    if cart.has_external_amounts:
        require(caller, Scope.PRICES, "the cart names amounts")
    return cart.without_titles()


def read_media_type(request: Request) -> str:
    """Return the media type of the request's body."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
