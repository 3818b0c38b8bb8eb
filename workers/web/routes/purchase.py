"""`POST /checkout`: one payment for one idempotency key, and the stored response for every repeat."""

import json
from typing import Final
from uuid import UUID

from starlette.responses import Response

from pipeline.errors import Code, Refused
from pipeline.intake import ProcessRequest, StartRequest
from pipeline.intake.idempotency import IdempotentRequest, StoredResponse
from pipeline.intake.requests import fingerprint
from pipeline.intake.result import CommandResult
from pipeline.intake.starting import Start, may_be_grouped
from workers.web.context import WebContext
from workers.web.responses.checkout_responses import respond_to_buyer, settle
from workers.web.responses.problem_details import explain_refusal, render

#: A lease ends this much after its wait: enough for slow transactions before and after it. When a process crashes,
#: repeats of its requests get `idempotency_running` for no longer.
LEASE_MARGIN_SECONDS: Final = 10

#: The status of a checkout that was in progress, or waited for somebody, when its response was stored.
IN_PROGRESS: Final = 202

#: Unless it is committed, a refusal with one of these is not stored: it is about the key, or about another request in
#: progress. When that has failed, the same key can buy.
_NOT_STORED: Final = frozenset(
    {
        Code.KEY_CONFLICT,
        Code.KEY_RUNNING,
        Code.CHECKOUT_ACTIVE,
        Code.CHECKOUT_BUSY,
        Code.CART_LOCKED,
        Code.OWNER_MOVING,
        Code.CELL_WRONG,
        Code.PRICE_CHANGED,
    }
)


async def purchase(context: WebContext, request: StartRequest | ProcessRequest, key: str, seconds: int) -> Response:
    """Pay and return the response; or return the stored response of this key."""
    idempotent = IdempotentRequest(request.owner, key, fingerprint(request))
    since = context.long_polls.mark()
    leased = True
    try:
        result = await _run(context, request, idempotent, seconds + LEASE_MARGIN_SECONDS)
        if isinstance(result, StoredResponse):
            return await _replay(context, request.owner, result, seconds)
        outcome = await settle(context, result.checkout_id, request.owner, seconds, since=since)
        response = respond_to_buyer(outcome, paying=True, waited=seconds)
    except Refused as refusal:
        if refusal.code in _NOT_STORED and not refusal.committed:
            raise
        leased = refusal.committed
        response = render(explain_refusal(refusal))
    stored = StoredResponse(response.status_code, dict(response.headers), bytes(response.body).decode())
    if leased:
        await context.groups.responses.submit((idempotent, stored))
    else:
        await context.run(lambda: context.service.keep_responses([(idempotent, stored)], leased=False))
    return response


async def _run(
    context: WebContext, request: StartRequest | ProcessRequest, idempotent: IdempotentRequest, lease_seconds: float
) -> CommandResult | StoredResponse:
    """Run a request in a group if it may be plain, and by itself otherwise."""
    if isinstance(request, StartRequest) and may_be_grouped(request):
        start = Start(request, lease=idempotent, lease_seconds=lease_seconds)
        if (result := await context.groups.starts.submit(start)) is not None:
            return result
    return await context.run(lambda: context.service.purchase(request, idempotent, lease_seconds))


async def _replay(context: WebContext, owner: str, stored: StoredResponse, seconds: int) -> Response:
    """Return the stored response; for one of a checkout in progress, with a wait, what has become of it since."""
    if stored.status == IN_PROGRESS and seconds:
        checkout_id = UUID(json.loads(stored.body)["checkout_id"])
        outcome = await settle(context, checkout_id, owner, seconds)
        response = respond_to_buyer(outcome, paying=True, waited=seconds)
    else:
        headers = {name: value for name, value in stored.headers.items() if name != "content-length"}
        response = Response(stored.body, stored.status, headers=headers)
    response.headers["Idempotency-Replayed"] = "true"
    return response
