"""The HTTP application, built once in each process."""

import asyncio
import select
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry
from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pipeline.database import connect_reader
from pipeline.settings import Settings
from workers.bootstrap import build_components
from workers.broker.queue_stats import name_wake_ups
from workers.broker.redis_client import open_redis_async
from workers.web.admin.routes import actions, order_changes, order_detail, order_list, sign_in, statistics
from workers.web.admin.routes import checkout_detail as details
from workers.web.admin.routes import checkout_list as listing
from workers.web.admin.sessions import COOKIE
from workers.web.context import CatalogDesk, WebContext
from workers.web.groups import Load, build_groups
from workers.web.health_check import HealthChecker
from workers.web.long_poll import CLIENT_NAME, LongPolls
from workers.web.protection.known_credentials import KnownCredentials
from workers.web.protection.load_shedding import LoadShedding
from workers.web.protection.rate_limits import RateLimits, read_limits
from workers.web.protection.request_bounds import RequestBounds
from workers.web.protection.shared_counts import SharedCounts
from workers.web.request_metrics import RequestMeasures
from workers.web.responses.problem_details import HEADERS, explain, render
from workers.web.routes import availability, carts, catalog, events, health, metrics, orders, webhooks
from workers.web.routes import checkouts as checkout
from workers.web.schemas.openapi import complete, name_operation

#: A client waits meanwhile: when the database does not answer within these pauses, the response is a 503.
WAITS: Final = (0.02, 0.1, 0.5)

#: Connections to CHECKOUT_READ_URL, and threads: some people look at lists, and one list takes milliseconds.
READER_CONNECTIONS: Final = 2

ROUTE_MODULES: Final = (
    *(checkout, carts, orders, events, catalog, availability, webhooks, health, metrics),
    *(listing, statistics, details, actions, order_list, order_detail, order_changes, sign_in),
)

DESCRIPTION: Final = (
    "Turns a cart into exactly one paid order, or into nothing at all. Amounts are integers in minor units of an"
    " ISO 4217 currency. Errors are problem details (RFC 9457) with a stable `code`."
)


class Application(FastAPI):
    """FastAPI, with a complete OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = complete(super().openapi())
        return self.openapi_schema


def build_app(settings: Settings) -> FastAPI:
    """Build the application. It connects when it is started, and serves also while PostgreSQL or Redis is away."""
    # No Swagger page: it loads scripts of others, and users paste keys into it. And no redirect for a slash too many:
    # it would send a key, and a payment, to the scheme and host that the request's own header names.
    app = Application(
        title="Checkout engine",
        version="1",
        description=DESCRIPTION,
        lifespan=_live,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=name_operation,
    )
    app.state.context = build_context(settings)
    app.state.health_check = HealthChecker(app.state.context)
    app.state.load_shedding = LoadShedding(app.state.context)
    app.state.registry = CollectorRegistry()
    # The last one added runs first: refused requests are counted too.
    app.add_middleware(RequestBounds, cookie=COOKIE)
    app.add_middleware(RequestMeasures, registry=app.state.registry)
    for module in ROUTE_MODULES:
        app.include_router(module.router)
    app.state.routes = [route for module in ROUTE_MODULES for route in module.router.routes]
    app.add_exception_handler(HTTPException, _respond_to_error)
    app.add_exception_handler(RequestValidationError, _respond_to_error)
    return app


def build_context(settings: Settings) -> WebContext:
    """Build the parts that all requests share."""
    own = settings.model_copy(update={"pool_size": settings.web_connections})
    components = build_components(own, "web", waits=WAITS)
    broker = components.broker
    event.listen(components.database, "checkout", _refuse_ended)
    threads, load = ThreadPoolExecutor(settings.web_connections, thread_name_prefix="web"), Load()
    reader = connect_reader(
        own, application_name="web.reader", pool_size=READER_CONNECTIONS, primary=components.database
    )
    if reader.is_apart:
        event.listen(reader.engine, "checkout", _refuse_ended)
    return WebContext(
        settings=own,
        components=components,
        long_polls=LongPolls(
            lambda: open_redis_async(settings.redis_url.get_secret_value(), name=CLIENT_NAME),
            name_wake_ups(broker.namespace, broker.client),
        ),
        rate_limits=RateLimits(read_limits(own), SharedCounts(broker.client, broker.namespace)),
        known_credentials=KnownCredentials(),
        threads=threads,
        groups=build_groups(components, threads, load, settings.batch_wait_share),
        load=load,
        catalog=CatalogDesk(own, waits=WAITS),
        reader=reader,
        reader_threads=ThreadPoolExecutor(READER_CONNECTIONS, "reader") if reader.is_apart else threads,
    )


@asynccontextmanager
async def _live(app: FastAPI) -> AsyncIterator[None]:
    context: WebContext = app.state.context
    listening = asyncio.create_task(context.long_polls.run())
    try:
        yield
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        app.state.health_check.close()
        context.rate_limits.close()
        context.threads.shutdown()
        context.reader_threads.shutdown()
        context.reader.close()
        context.catalog.close()
        context.components.close()


def _refuse_ended(connection: psycopg.Connection[Any], *_pool: object) -> None:
    """Have the pool open new connections when the server has ended this one, so that no request fails.

    Reads are not repeated as transactions are, and the first request after a restart would fail. An idle connection
    has no query: anything that can be read from it is its end. The poll takes microseconds, and no round trip.
    """
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    if poller.poll(0):
        raise InvalidatePoolError


async def _respond_to_error(request: Request, error: Exception) -> Response:
    """Return the response to an error outside all routes: an unknown address or method."""
    response = render(explain(error, request))
    response.headers.update(HEADERS)
    return response
