"""Bounds of every request before anything reads it: its address, its headers, its cookies.

An ASGI middleware in front of all routes, and of the responses without a route: 404, 405, the documents.
"""

from typing import Final

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.errors import Code, Refused
from workers.web.responses.problem_details import HEADERS, explain_refusal, render

log = structlog.get_logger()

#: Request line and headers together. Those of programs and browsers have one to four kilobytes.
MAX_HEAD_BYTES: Final = 16 * 1024
#: Browsers behind two proxies send some forty.
MAX_HEADERS: Final = 100
MAX_PATH_BYTES: Final = 2048
MAX_QUERY_BYTES: Final = 8192
MAX_PARAMETERS: Final = 100
#: A header of cookies beyond this is not read: the session cookie has 43 characters.
MAX_COOKIE_BYTES: Final = 4096


class RequestBounds:
    """ASGI middleware that refuses what is too long, and removes cookies that are not safe to parse.

    Python before 3.11.10 and 3.12.6 takes quadratic time for the backslashes of a quoted cookie: 60 kB block a process
    for eight seconds, and FastAPI parses the cookies of every request.
    """

    def __init__(self, app: ASGIApp, cookie: str) -> None:
        """Protect `app`, which reads the one cookie of this name."""
        self._app = app
        self._cookie = cookie.encode("latin-1")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = find_excess(scope)
        if refusal is not None:
            response = render(explain_refusal(refusal))
            response.headers.update(HEADERS)
            # The rest of the request is not read.
            response.headers["Connection"] = "close"
            log.info("request.refused", code=refusal.code, status=response.status_code)
            await response(scope, receive, send)
            return
        # In the same scope: middleware before this one reads what routes write into it.
        scope["headers"] = keep_cookie(scope["headers"], self._cookie)
        await self._app(scope, receive, send)


def find_excess(scope: Scope) -> Refused | None:
    """Return the refusal of a request for its address or its headers; None when both are within bounds."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    size = sum(len(name) + len(value) + 4 for name, value in headers)
    if len(headers) > MAX_HEADERS or size > MAX_HEAD_BYTES:
        return Refused(Code.HEADERS_TOO_LARGE, limit=MAX_HEAD_BYTES, headers=MAX_HEADERS)
    path, query = scope.get("raw_path") or scope["path"].encode(), scope["query_string"]
    parameters = query.count(b"&") + query.count(b";") + 1
    if len(path) > MAX_PATH_BYTES or len(query) > MAX_QUERY_BYTES or parameters > MAX_PARAMETERS:
        return Refused(Code.ADDRESS_TOO_LONG, path=MAX_PATH_BYTES, query=MAX_QUERY_BYTES, limit=MAX_PARAMETERS)
    return None


def keep_cookie(headers: list[tuple[bytes, bytes]], name: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers without any cookie except the named one, and with that only if it is safe to parse.

    A header of more than `MAX_COOKIE_BYTES`, and a value with a quote or a backslash, count as no cookie.
    """
    if all(key != b"cookie" for key, _ in headers):
        return headers
    kept = [(key, value) for key, value in headers if key != b"cookie"]
    for key, value in headers:
        if key != b"cookie" or len(value) > MAX_COOKIE_BYTES:
            continue
        for pair in value.split(b";"):
            own, _, content = pair.strip().partition(b"=")
            if own == name and b'"' not in content and b"\\" not in content:
                kept.append((key, name + b"=" + content))
    return kept
