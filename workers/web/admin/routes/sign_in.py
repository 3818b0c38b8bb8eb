"""Sign-in of a browser with an API key of the scope `admin`, and sign-out."""

from typing import Final

import structlog
from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from pipeline.database import transaction
from pipeline.errors import Code
from pipeline.operations import CommandLine
from pipeline.security import Caller, Scope, find_callers, read_key_id
from pipeline.security.admin_sessions import close_session, open_session
from pipeline.security.tokens import refuse_token
from workers.web.admin.authentication import LIST, ORDERS, SIGN_IN, SignInRoute, read_fields
from workers.web.admin.sessions import drop_cookie, needs_https, read_cookie, set_cookie
from workers.web.admin.templates import render_page
from workers.web.context import WebContext, context_of
from workers.web.protection.policies import Policy, limited_as

log = structlog.get_logger()

router = APIRouter(route_class=SignInRoute, include_in_schema=False)

REFUSED: Final = f"This is no valid API key with the scope admin: create one with `{CommandLine.CREATE_ADMIN_KEY}`."


@router.get(SIGN_IN)
@limited_as(Policy.ANONYMOUS)
async def show_sign_in(request: Request) -> Response:
    """Return the page of the sign-in."""
    return _show(request, request.query_params.get("next"))


@router.post(SIGN_IN)
@limited_as(Policy.SIGN_INS)
async def sign_in(request: Request) -> Response:
    """Open a session for a key, and redirect to `next`. Each attempt is counted, and logged without the key."""
    context = context_of(request)
    # After the limit of the one address: an address above that takes nothing from the limit of all.
    context.rate_limits.admit(Policy.ALL_SIGN_INS, "", {})
    fields = await read_fields(request)
    key, target = (fields.get(name, "").strip() for name in ("key", "next"))
    caller = await context.read(lambda connection: find_callers(connection, [key])[0])
    # The public half of the key, if it has the form of one: it may be logged.
    known = {"key_id": read_key_id(key), "client": request.client.host if request.client is not None else ""}
    if caller is None or Scope.ADMIN not in caller.scopes:
        log.warning("sign_in.refused", **known)
        return _show(request, target, objection=_explain(caller, key, context.settings.cell))
    token = await context.run(lambda: _open(context, caller.key_id))
    log.info("sign_in.accepted", **known)
    response = RedirectResponse(_choose(target), 303)
    set_cookie(request, response, token)
    return response


@router.post("/admin/sign-out")
@limited_as(Policy.ANONYMOUS)
async def sign_out(request: Request) -> Response:
    """End the session, so that its cookie is invalid everywhere."""
    context, token = context_of(request), read_cookie(request)
    key_id = await context.run(lambda: _close(context, token))
    log.info("sign_out", key_id=key_id)
    response = RedirectResponse(SIGN_IN, 303)
    drop_cookie(request, response)
    return response


def _explain(caller: Caller | None, key: str, cell: str) -> str:
    refusal = refuse_token(key, cell)
    return str(refusal) if caller is None and refusal.code is Code.CELL_WRONG else REFUSED


def _open(context: WebContext, key_id: str) -> str:
    with transaction(context.components.database) as connection:
        return open_session(connection, key_id)


def _close(context: WebContext, token: str) -> str | None:
    with transaction(context.components.database) as connection:
        return close_session(connection, token)


def _show(request: Request, target: str | None, objection: str | None = None) -> Response:
    # A browser stores a cookie for https only if it came over https: otherwise every sign-in would lead to the next.
    plain = needs_https(request) and request.scope["scheme"] != "https"
    facts = {"title": "Sign in", "next": _choose(target), "objection": objection, "plain": plain}
    return render_page(request, "sign_in.html", facts, status=401 if objection else 200)


def _choose(target: str | None) -> str:
    """Return the target of the redirect: a page of the admin, whatever the link names."""
    for each in (LIST, ORDERS):
        if target is not None and (target == each or target.startswith((f"{each}/", f"{each}?"))):
            return target
    return LIST
