"""`POST /checkout`: one payment for one idempotency key, and the stored response for every repeat."""

from typing import Final
from uuid import UUID

from starlette.responses import Response

from pipeline.errors import Code, Refused
from pipeline.intake import ProcessRequest, StartRequest
from pipeline.intake.idempotency import IdempotentRequest, StoredResponse
from pipeline.intake.requests import fingerprint
from workers.web.context import WebContext
from workers.web.responses.checkout_responses import respond_to_buyer, settle
from workers.web.responses.problem_details import explain_refusal, render

#: A lease ends this much after its wait: enough for slow transactions before and after it. When a process crashes,
#: repeats of its requests get `idempotency_running` for no longer.
LEASE_MARGIN_SECONDS: Final = 10

#: Unless it is committed, a refusal with one of these is not stored: it is about the key, or about another request in
#: progress. When that has failed, the same key can buy.
_NOT_STORED: Final = frozenset(
    {
        Code.KEY_CONFLICT,
        Code.KEY_RUNNING,
        Code.CHECKOUT_ACTIVE,
        Code.CHECKOUT_BUSY,
        Code.CART_LOCKED,
        Code.PRICE_CHANGED,
    }
)


async def purchase(context: WebContext, request: StartRequest | ProcessRequest, key: str, seconds: int) -> Response:
    """Pay and return the response; or return the stored response of this key."""
    idempotent = IdempotentRequest(request.owner, key, fingerprint(request))
    leased = True
    try:
        result = await context.run(
            lambda: context.service.purchase(request, idempotent, seconds + LEASE_MARGIN_SECONDS)
        )
        if isinstance(result, StoredResponse):
            return _replay(result)
        response = await _finish(context, result.checkout_id, request.owner, seconds)
    except Refused as refusal:
        if refusal.code in _NOT_STORED and not refusal.committed:
            raise
        leased = refusal.committed
        response = render(explain_refusal(refusal))
    stored = StoredResponse(response.status_code, dict(response.headers), bytes(response.body).decode())
    await context.run(lambda: context.service.keep_response(idempotent, stored, leased=leased))
    return response


async def _finish(context: WebContext, checkout_id: UUID, owner: str, seconds: int) -> Response:
    return respond_to_buyer(await settle(context, checkout_id, owner, seconds), paying=True, waited=seconds)


def _replay(stored: StoredResponse) -> Response:
    headers = {name: value for name, value in stored.headers.items() if name != "content-length"}
    return Response(stored.body, stored.status, headers={**headers, "Idempotency-Replayed": "true"})
