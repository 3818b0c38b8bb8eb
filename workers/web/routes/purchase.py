"""`POST /checkout`: one payment for one idempotency key, and the same answer for as often as it is asked."""

from typing import Final
from uuid import UUID

from starlette.responses import Response

from pipeline.errors import Code, Refused
from pipeline.intake.idempotency import IdempotentRequest, StoredResponse
from pipeline.intake.requests import ProcessRequest, StartRequest, fingerprint
from workers.web.context import WebContext
from workers.web.responses.checkout_responses import answer_buyer, settle
from workers.web.responses.problem_details import explain_refusal, render

#: A lease outlives its wait by this much: the transactions before and after it, on a bad day. A process that dies
#: leaves its caller's repeats at `idempotency_running` for no longer.
LEASE_MARGIN_SECONDS: Final = 10

#: Unless it is committed, a refusal for one of these is no answer to the request: it is about its key, or about another
#: request that is under way. When that has come to nothing, the same key buys.
_NOT_KEPT: Final = frozenset(
    {
        Code.KEY_CONFLICT,
        Code.KEY_RUNNING,
        Code.CHECKOUT_ACTIVE,
        Code.CHECKOUT_BUSY,
        Code.CART_LOCKED,
        Code.PRICE_CHANGED,
    }
)


async def purchase(context: WebContext, intent: StartRequest | ProcessRequest, key: str, seconds: int) -> Response:
    """Pay and answer; the first answer of this key if it has had one."""
    asked = IdempotentRequest(intent.owner, key, fingerprint(intent))
    leased = True
    try:
        admitted = await context.run(lambda: context.service.purchase(intent, asked, seconds + LEASE_MARGIN_SECONDS))
        if isinstance(admitted, StoredResponse):
            return _replay(admitted)
        response = await _finish(context, admitted.checkout_id, intent.owner, seconds)
    except Refused as refusal:
        if refusal.code in _NOT_KEPT and not refusal.committed:
            raise
        leased = refusal.committed
        response = render(explain_refusal(refusal))
    answer = StoredResponse(response.status_code, dict(response.headers), bytes(response.body).decode())
    await context.run(lambda: context.service.keep_response(asked, answer, leased=leased))
    return response


async def _finish(context: WebContext, checkout_id: UUID, owner: str, seconds: int) -> Response:
    return answer_buyer(await settle(context, checkout_id, owner, seconds), paying=True, waited=seconds)


def _replay(stored: StoredResponse) -> Response:
    headers = {name: value for name, value in stored.headers.items() if name != "content-length"}
    return Response(stored.body, stored.status, headers={**headers, "Idempotency-Replayed": "true"})
