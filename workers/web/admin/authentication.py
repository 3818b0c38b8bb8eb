"""Authentication of the admin pages: an API key with the scope `admin`, or a browser session opened with one."""

import json
from typing import ClassVar, Final
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Message

from pipeline.errors import Code, Invalid, Refused
from pipeline.security import Caller
from pipeline.security.admin_sessions import find_session
from workers.web.admin.sessions import read_cookie
from workers.web.admin.templates import render_page, wants_page
from workers.web.context import context_of
from workers.web.protection.authentication import AdminRoute, OpenRoute, identify, read_media_type
from workers.web.responses.problem_details import Problem, render

FORM: Final = "application/x-www-form-urlencoded"
SIGN_IN: Final = "/admin/sign-in"
LIST: Final = "/admin/checkout-locks"
ORDERS: Final = "/admin/orders"
#: The forms of an order have a field for each of 100 lines, or for each location that sold units of them; no other form
#: has more than five.
MAX_FIELDS: Final = 1000


class SignInRoute(OpenRoute):
    """A route for sign-in and sign-out. Forms of other sites are refused."""

    async def admit(self, request: Request, headers: dict[str, str]) -> Request:
        """Refuse forms of other sites."""
        if request.method != "GET":
            check_origin(request)
        return await super().admit(request, headers)

    def refuse(self, problem: Problem, request: Request) -> Response:
        """Return the refusal, as a page if the request wants one."""
        return _refuse(problem, request)


class AdminPageRoute(AdminRoute):
    """A page for a browser session, JSON for an API key; with the same addresses and rules."""

    media_types: ClassVar[frozenset[str]] = frozenset({"application/json", FORM})
    #: MAX_FIELDS of them, with the codes of locations in their names.
    max_bytes: ClassVar[int] = 64 * 1024

    async def admit(self, request: Request, headers: dict[str, str]) -> Request:
        """Return the request, with a form's fields as JSON, and without empty ones: they were not filled in."""
        headers["Vary"] = "Accept"
        if wants_page(request):
            fields = [
                (name, value)
                for name, value in parse_qsl(request.scope["query_string"].decode("latin-1"))
                if value.strip()
            ]
            request = Request({**request.scope, "query_string": urlencode(fields).encode()}, request.receive)
        admitted = await super().admit(request, headers)
        return await _read_form(admitted) if read_media_type(admitted) == FORM else admitted

    async def identify(self, request: Request) -> Caller:
        """Return the API key of the request or of its session."""
        if "authorization" in request.headers:
            return await identify(request)
        token = read_cookie(request)
        caller = await context_of(request).read(lambda found: find_session(found, token)) if token else None
        if caller is None:
            raise Refused(Code.API_KEY_INVALID)
        if request.method != "GET":
            check_origin(request)
        return caller

    def refuse(self, problem: Problem, request: Request) -> Response:
        """Return the refusal, as a page if the request wants one; without a session, redirect to sign-in."""
        if problem.code is Code.API_KEY_INVALID and wants_page(request):
            query: str = request.scope["query_string"].decode("latin-1")
            path: str = request.scope["path"]
            lists = ORDERS if path.startswith(ORDERS) else LIST
            here = path + (f"?{query}" if query else "") if request.method == "GET" else lists
            return RedirectResponse(f"{SIGN_IN}?next={quote(here)}", 303)
        return _refuse(problem, request)


def check_origin(request: Request) -> None:
    """Refuse a form of another site. A browser names the origin of a form; a client without one is no browser.

    A browser sends a strict cookie with no form of another site, but with forms of other hosts of the same site.
    """
    host = request.headers.get("origin", "").partition("://")[2]
    if not host or host != request.headers.get("host"):
        raise Refused(Code.ORIGIN_FOREIGN)


def _refuse(problem: Problem, request: Request) -> Response:
    if not wants_page(request):
        return render(problem)
    # From a form, back to its checkout or order.
    path: str = request.scope["path"]
    lists = ORDERS if path.startswith(ORDERS) else LIST
    back = path.rpartition("/")[0] if request.method == "POST" else lists
    facts = {"title": problem.title, "problem": problem, "back": back}
    return render_page(request, "problem.html", facts, status=problem.status)


async def read_fields(request: Request) -> dict[str, str]:
    """Return the fields of a form; Invalid when it has too many."""
    try:
        return dict(parse_qsl((await request.body()).decode("utf-8", "replace"), max_num_fields=MAX_FIELDS))
    except ValueError:
        raise Invalid(Code.REQUEST_INVALID, reason=f"the form has more than {MAX_FIELDS} fields") from None


async def _read_form(request: Request) -> Request:
    """Return the request with its fields as a JSON object."""
    body = json.dumps(await read_fields(request)).encode()
    scope = {**request.scope, "headers": list(request.scope["headers"])}
    MutableHeaders(scope=scope)["content-type"] = "application/json"

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(scope, receive)
