"""Signing in with a browser, by an API key of the scope `admin`, and out again."""

from typing import Final

import structlog
from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from pipeline.database.connections import transaction
from pipeline.operations.commands import CommandLine
from pipeline.security.admin_sessions import close_session, open_session
from pipeline.security.api_keys import Scope, find_caller, read_key_id
from workers.web.admin.authentication import LIST, SIGN_IN, SignInRoute, read_fields
from workers.web.admin.sessions import drop_cookie, needs_https, read_cookie, set_cookie
from workers.web.admin.sign_in_attempts import SignInAttempts
from workers.web.admin.templates import render_page
from workers.web.context import WebContext, context_of

log = structlog.get_logger()

router = APIRouter(route_class=SignInRoute, include_in_schema=False)

REFUSED: Final = f"This is no live key with the scope admin: make one with `{CommandLine.CREATE_ADMIN_KEY}`."


@router.get(SIGN_IN)
async def show_sign_in(request: Request) -> Response:
    """Ask for a key."""
    return _show(request, request.query_params.get("next"))


@router.post(SIGN_IN)
async def sign_in(request: Request) -> Response:
    """Open a session for a key, and lead to where one was going. Each try is counted, and logged without the key."""
    address = request.client.host if request.client is not None else ""
    attempts: SignInAttempts = request.app.state.sign_in_attempts
    attempts.count(address)
    fields = await read_fields(request)
    key, target = (fields.get(name, "").strip() for name in ("key", "next"))
    context = context_of(request)
    caller = await context.read(lambda connection: find_caller(connection, key))
    # The public half of what has the form of a key: which one is used may be logged.
    known = {"key_id": read_key_id(key), "client": address}
    if caller is None or Scope.ADMIN not in caller.scopes:
        log.warning("sign_in.refused", **known)
        return _show(request, target, objection=REFUSED)
    token = await context.run(lambda: _open(context, caller.key_id))
    log.info("sign_in.accepted", **known)
    response = RedirectResponse(_choose(target), 303)
    set_cookie(request, response, token)
    return response


@router.post("/admin/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session, here and wherever its cookie may have gone."""
    context, token = context_of(request), read_cookie(request)
    key_id = await context.run(lambda: _close(context, token))
    log.info("sign_out", key_id=key_id)
    response = RedirectResponse(SIGN_IN, 303)
    drop_cookie(request, response)
    return response


def _open(context: WebContext, key_id: str) -> str:
    with transaction(context.engine.database) as connection:
        return open_session(connection, key_id)


def _close(context: WebContext, token: str) -> str | None:
    with transaction(context.engine.database) as connection:
        return close_session(connection, token)


def _show(request: Request, target: str | None, objection: str | None = None) -> Response:
    # A browser keeps a cookie that is for https alone only if it came by https: else one signs in for ever.
    plain = needs_https(request) and request.scope["scheme"] != "https"
    facts = {"title": "Sign in", "next": _choose(target), "objection": objection, "plain": plain}
    return render_page(request, "sign_in.html", facts, status=401 if objection else 200)


def _choose(target: str | None) -> str:
    """Return where to go: to a page of the admin, and nowhere else whatever the link names."""
    is_ours = target is not None and (target == LIST or target.startswith((f"{LIST}/", f"{LIST}?")))
    return target if is_ours and target is not None else LIST
