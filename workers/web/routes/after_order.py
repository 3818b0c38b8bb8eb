"""Cancelling a checkout whose payment is being captured: the order that it becomes is waited for, and cancelled.

Nothing is promised before it is stored. Until the order is placed there is nothing that could be: then the response is
`past_pivot`, which says what to repeat. As soon as it is, the change of the order is written, and the workers do it,
whatever becomes of this process.
"""

import asyncio
from uuid import UUID

from starlette.responses import Response

from models.states import CheckoutState
from pipeline.errors import Code, Conflict
from pipeline.intake import CheckoutService
from pipeline.orders.requests import CancelRequest
from pipeline.security import Caller
from workers.web.context import WebContext
from workers.web.responses.checkout_responses import respond_to_cancel, settle
from workers.web.responses.order_responses import respond_to_request
from workers.web.schemas.requests import CancelForm

REASON = "cancelled while the payment was being captured"


def cancel_by_form(service: CheckoutService, owner: str, form: CancelForm) -> UUID:
    """Cancel the checkout of a form and return its id; a refusal past the pivot names what may be done instead."""
    status = service.status(checkout_id=form.checkout_id, cart_id=form.cart_id, owner=owner)
    try:
        return service.cancel(status.checkout_id, owner).checkout_id
    except Conflict as refusal:
        if refusal.code is not Code.PAST_PIVOT:
            raise
        raise refuse_past_pivot(status.checkout_id) from None


def refuse_past_pivot(checkout_id: UUID) -> Conflict:
    """Return the refusal that says what to repeat."""
    return Conflict(Code.PAST_PIVOT, checkout_id=str(checkout_id), repeat="after_order")


async def cancel_with_order(
    context: WebContext, caller: Caller, form: CancelForm, key: str | None, seconds: int
) -> Response:
    """Cancel a checkout, or the order that it has become or becomes within so many seconds.

    Without a `key` the order is cancelled under one of the checkout, so that a repeat finds the same change. Raises
    Conflict while there is no order yet.
    """
    ends_at = asyncio.get_running_loop().time() + seconds
    try:
        checkout_id, is_captured = await context.run(lambda: cancel_by_form(context.service, caller.owner, form)), False
    except Conflict as refusal:
        if refusal.code is not Code.PAST_PIVOT:
            raise
        checkout_id, is_captured = UUID(refusal.detail["checkout_id"]), True
    outcome = await settle(context, checkout_id, caller.owner, seconds)
    order = outcome.status.order
    if order is None:
        if is_captured and outcome.status.state is CheckoutState.NEEDS_REVIEW:
            raise Conflict(Code.NEEDS_REVIEW, checkout_id=str(checkout_id))
        if is_captured and outcome.status.state is CheckoutState.RUNNING:
            raise refuse_past_pivot(checkout_id)
        return respond_to_cancel(outcome, waited=seconds)
    result = await context.run(
        lambda: context.orders.request(
            order.id,
            caller.owner,
            CancelRequest(reason=REASON),
            actor=f"key:{caller.key_id}",
            idempotency_key=key or f"cancel:{checkout_id}",
        )
    )
    left = max(0.0, ends_at - asyncio.get_running_loop().time())
    return await respond_to_request(context, result, caller.owner, left, granted=seconds)
