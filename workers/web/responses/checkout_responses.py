"""Responses for a checkout: its body, with the HTTP status and headers of its state."""

from collections.abc import Awaitable
from typing import Final, assert_never
from uuid import UUID

import structlog
from starlette.responses import Response

from models.states import ENDINGS, CheckoutState
from pipeline.errors import Code, Conflict
from workers.web.context import WebContext
from workers.web.responses.outcomes import HttpOutcome
from workers.web.responses.problem_details import make_problem, render
from workers.web.responses.serializers import view_checkout

#: When to poll a checkout in progress again: all phases together take tenths of a second.
RETRY_AFTER_SECONDS: Final = 1


async def settle(
    context: WebContext, checkout_id: UUID, owner: str, seconds: int, *, since: int | None = None
) -> HttpOutcome:
    """Wait until a checkout is in a stable state, for at most so many seconds, and return it.

    `since` is as for `LongPolls.wait`.
    """
    structlog.contextvars.bind_contextvars(checkout_id=str(checkout_id))

    def read() -> Awaitable[HttpOutcome]:
        return context.groups.outcomes.submit((checkout_id, owner))

    if not seconds:
        return await read()
    return await context.long_polls.wait(checkout_id, read, lambda found: found.is_stable, seconds, since=since)


def respond_to_buyer(outcome: HttpOutcome, *, paying: bool, waited: int) -> Response:
    """Return the response with the order or the quote, the reason why there is none, or the status.

    200: it is in a stable, good state. 202: it is in progress, or awaits 3-D Secure or review. Else a problem.
    """
    status = outcome.status
    failed = status.state in ENDINGS or (paying and outcome.was_declined)
    if failed and status.failure is not None:
        failure = status.failure
        problem = make_problem(
            Code(failure.code),
            failure.message,
            failure.detail,
            checkout_id=status.checkout_id,
            phase=failure.phase,
        )
        return _with_headers(render(problem), outcome, waited)
    return _with_headers(_show(outcome, _choose_status(status.state, paying=paying)), outcome, waited)


def respond_to_cancel(outcome: HttpOutcome, *, waited: int) -> Response:
    """Return the response with the cancelled checkout's status: 200 once all is undone, 202 before that and in review.

    Raises Conflict for one with an order, also when it was placed just before the cancellation.
    """
    status = outcome.status
    if status.order is not None:
        raise Conflict(Code.CHECKOUT_ENDED, checkout_id=str(status.checkout_id), state=status.state)
    return _with_headers(_show(outcome, 200 if status.state in ENDINGS else 202), outcome, waited)


def _choose_status(state: CheckoutState, *, paying: bool) -> int:
    match state:
        case CheckoutState.COMPLETED | CheckoutState.AWAITING_PAYMENT:
            return 200
        case CheckoutState.ACTION_REQUIRED:
            return 202 if paying else 200
        case CheckoutState.RUNNING | CheckoutState.UNWINDING | CheckoutState.NEEDS_REVIEW:
            return 202
        case CheckoutState.FAILED | CheckoutState.CANCELLED | CheckoutState.EXPIRED:
            return 200
        case _:
            assert_never(state)


def _show(outcome: HttpOutcome, status: int) -> Response:
    body = view_checkout(outcome.status, outcome.quote).model_dump_json()
    return Response(body, status, media_type="application/json")


def _with_headers(response: Response, outcome: HttpOutcome, waited: int) -> Response:
    response.headers["Location"] = f"/checkout/status?checkout_id={outcome.status.checkout_id}"
    if not outcome.is_stable:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if waited:
        response.headers["Preference-Applied"] = f"wait={waited}"
    return response
