"""Responses about changes of orders: the body, with the HTTP status and headers of the change's state."""

from collections.abc import Awaitable
from typing import Final
from uuid import UUID

import structlog
from starlette.responses import Response

from models.states import ChangeState
from pipeline.errors import Code
from pipeline.orders import ChangeResult
from pipeline.orders.reading import ChangeView, read_change
from workers.web.context import WebContext
from workers.web.responses.order_serializers import find_failure, view_change
from workers.web.responses.problem_details import make_problem, render

#: When to poll a change in progress again: one without the provider takes tenths of a second, one with it some seconds.
RETRY_AFTER_SECONDS: Final = 1


async def wait_for_change(
    context: WebContext, change_id: UUID, owner: str | None, seconds: float, *, order_id: UUID | None = None
) -> ChangeView:
    """Wait until a change has ended or needs review, for at most so many seconds, and return it.

    `owner` is None for operators. Raises NotFound (CHANGE_UNKNOWN), also for one of another order than the named one.
    """
    structlog.contextvars.bind_contextvars(change_id=str(change_id))

    def read() -> Awaitable[ChangeView]:
        return context.read(lambda connection: read_change(connection, change_id, owner, order_id=order_id))

    if seconds <= 0:
        return await read()
    return await context.long_polls.wait(change_id, read, lambda found: found.is_settled, seconds)


def find_status(change: ChangeView) -> int:
    """Return the HTTP status of a change: 200 when it has ended, 202 while it is in progress or in review."""
    return 200 if change.ended_at is not None else 202


async def respond_to_request(
    context: WebContext, result: ChangeResult, owner: str, seconds: float, *, granted: int | None = None
) -> Response:
    """Return the response to the request of a change: 200 done, 202 recorded or in review, else why it failed.

    `granted` is the wait that the caller was granted, if a part of it is over.
    """
    change = await wait_for_change(context, result.change_id, owner, seconds)
    failure = find_failure(change)
    if change.state is ChangeState.FAILED and failure is not None:
        detail = {**failure.detail, "change_id": str(change.id)}
        response = render(make_problem(Code(failure.code), failure.message, detail, checkout_id=change.checkout_id))
    else:
        response = Response(view_change(change).model_dump_json(), find_status(change), media_type="application/json")
    response.headers["Location"] = f"/orders/{change.order_id}/changes/{change.id}"
    if not change.is_settled:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if waited := round(seconds) if granted is None else granted:
        response.headers["Preference-Applied"] = f"wait={waited}"
    if not result.created:
        response.headers["Idempotency-Replayed"] = "true"
    return response
