"""Metrics of this process: requests and their durations, by route, method and status."""

import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: A request without a wait takes milliseconds, one with `Prefer: wait` up to its cap.
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

#: Addresses that machines poll every few seconds: they would dominate the figures.
UNMEASURED: Final = frozenset({"/health/checkout", "/metrics"})
#: One series for all unknown addresses, and one for all unknown methods: clients cannot create new ones.
UNKNOWN: Final = "unknown"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestMeasures:
    """ASGI middleware that counts requests."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        """Count the responses of `app` in this registry."""
        self._app = app
        labels = ("route", "method", "status")
        self._requests = Counter("checkout_http_requests", "Requests answered", labels, registry=registry)
        self._seconds = Histogram(
            "checkout_http_request_seconds",
            "Duration of requests, waits included",
            ("route", "method"),
            registry=registry,
            buckets=BUCKETS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve and count one request."""
        if scope["type"] != "http" or scope["path"] in UNMEASURED:
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def observe_start(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, observe_start)
        finally:
            route = getattr(scope.get("route"), "path", UNKNOWN)
            method = scope["method"] if route != UNKNOWN and scope["method"] in METHODS else UNKNOWN
            self._requests.labels(route, method, str(status)).inc()
            self._seconds.labels(route, method).observe(time.monotonic() - began)
