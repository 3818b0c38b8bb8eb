"""Signing in with a browser, by an API key of the scope `admin`, and out again."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from pipeline.keys import Scope, find_caller
from workers.web.admin.guard import LIST, SIGN_IN, DoorRoute, read_fields
from workers.web.admin.pages import render_page
from workers.web.edge import edge_of

router = APIRouter(route_class=DoorRoute, include_in_schema=False)

REFUSED: Final = "This is no live key with the scope admin: make one with `keys create --scope admin`."


@router.get(SIGN_IN)
async def show_sign_in(request: Request) -> Response:
    """Ask for a key."""
    return _show(request, request.query_params.get("next"))


@router.post(SIGN_IN)
async def sign_in(request: Request) -> Response:
    """Open a session for a key, and lead to where one was going."""
    fields = await read_fields(request)
    token, target = (fields.get(name, "").strip() for name in ("key", "next"))
    edge = edge_of(request)
    caller = await edge.read(lambda connection: find_caller(connection, token))
    if caller is None or Scope.ADMIN not in caller.scopes:
        return _show(request, target, objection=REFUSED)
    response = RedirectResponse(_choose(target), 303)
    edge.sessions.open(request, response, caller.key_id)
    return response


@router.post("/admin/sign-out")
async def sign_out(request: Request) -> Response:
    """Close the session."""
    response = RedirectResponse(SIGN_IN, 303)
    edge_of(request).sessions.close(response)
    return response


def _show(request: Request, target: str | None, objection: str | None = None) -> Response:
    facts = {"title": "Sign in", "next": _choose(target), "objection": objection}
    return render_page(request, "sign_in.html", facts, status=401 if objection else 200)


def _choose(target: str | None) -> str:
    """Return where to go: to a page of ours, and nowhere else whatever the link has said."""
    is_ours = target is not None and (target == LIST or target.startswith((f"{LIST}/", f"{LIST}?")))
    return target if is_ours and target is not None else LIST
