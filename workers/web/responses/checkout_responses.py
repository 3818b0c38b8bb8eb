"""Responses for a checkout: its body, with the HTTP status and headers of its state."""

from dataclasses import dataclass
from functools import partial
from typing import Final, assert_never
from uuid import UUID

import structlog
from sqlalchemy import Connection
from starlette.responses import Response

from models.states import ENDINGS, CheckoutState
from pipeline.errors import Code, Conflict
from pipeline.intake import STABLE, Status, read_status
from pipeline.pricing import Quote, read_quotes
from workers.web.context import WebContext
from workers.web.responses.problem_details import make_problem, render
from workers.web.responses.serializers import view_checkout

#: When to poll a checkout in progress again: all phases together take tenths of a second.
RETRY_AFTER_SECONDS: Final = 1


@dataclass(frozen=True, slots=True)
class HttpOutcome:
    """A checkout when it became stable, or when its caller's wait ended."""

    status: Status
    quote: tuple[Quote, str] | None

    @property
    def is_stable(self) -> bool:
        """Whether it is in a stable state."""
        return self.status.state in STABLE

    @property
    def was_declined(self) -> bool:
        """Whether it awaits another card."""
        return self.status.state is CheckoutState.AWAITING_PAYMENT and self.status.failure is not None


async def settle(context: WebContext, checkout_id: UUID, owner: str, seconds: int) -> HttpOutcome:
    """Wait until a checkout is in a stable state, for at most so many seconds, and return it."""
    structlog.contextvars.bind_contextvars(checkout_id=str(checkout_id))

    def read(connection: Connection) -> Status:
        return read_status(connection, checkout_id=checkout_id, owner=owner)

    def read_outcome(connection: Connection) -> HttpOutcome:
        return HttpOutcome(read(connection), read_quotes(connection, [checkout_id]).get(checkout_id))

    if seconds:
        await context.long_polls.wait(
            checkout_id, partial(context.read, read), lambda status: status.state in STABLE, seconds
        )
    return await context.read(read_outcome)


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
