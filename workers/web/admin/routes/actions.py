"""Commands of an operator: release a checkout, or retry it. The reason and the key's name are stored with it."""

from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from models.states import CheckoutState
from pipeline.field_types.kinds import MAX_ACTOR
from pipeline.security import Caller
from workers.web.admin.authentication import LIST, AdminPageRoute
from workers.web.admin.routes.checkout_detail import SAID, CheckoutId
from workers.web.admin.schemas.responses import ActedView, ReasonForm
from workers.web.admin.templates import wants_page
from workers.web.context import context_of
from workers.web.protection.authentication import caller_of
from workers.web.protection.policies import Policy, limited_as
from workers.web.schemas.openapi import BEARER, describe_problems

router = APIRouter(route_class=AdminPageRoute, tags=["admin"], dependencies=[BEARER])

PROBLEMS: Final = describe_problems(401, 403, 404, 409, 413, 415, 422, 429, 500, 503)


@router.post(
    f"{LIST}/{{checkout_id}}/release",
    response_model=ActedView,
    response_description="It is being undone, or had ended already",
    responses=PROBLEMS,
)
@limited_as(Policy.WRITES)
async def release_checkout(request: Request, checkout_id: CheckoutId, form: ReasonForm) -> Response | ActedView:
    """Release a checkout: everything is undone, its cart is open again. Safe to repeat.

    Refused once the payment is being captured (`past_pivot`), and while the checkout needs review (`needs_review`).
    """
    context, actor = context_of(request), name_actor(caller_of(request))
    result = await context.run(lambda: context.service.release(checkout_id, actor=actor, reason=form.reason))
    return await _respond(request, checkout_id, "release", changed=result.changed)


@router.post(
    f"{LIST}/{{checkout_id}}/retry",
    response_model=ActedView,
    response_description="It is retried, or needed no review",
    responses=PROBLEMS,
)
@limited_as(Policy.WRITES)
async def retry_checkout(request: Request, checkout_id: CheckoutId, form: ReasonForm) -> Response | ActedView:
    """Retry a checkout that needs review, or the failed void or refund of an ended one."""
    context, actor = context_of(request), name_actor(caller_of(request))
    result = await context.run(lambda: context.service.retry(checkout_id, actor=actor, reason=form.reason))
    return await _respond(request, checkout_id, "retry", changed=result.changed)


def name_actor(caller: Caller) -> str:
    """Return the actor for the events: the API key's name, and its id, since two may have one name."""
    return f"{caller.name[:MAX_ACTOR]} (key {caller.key_id})"


async def _respond(request: Request, checkout_id: UUID, action: str, *, changed: bool) -> Response | ActedView:
    said = action if changed else "nothing"
    if wants_page(request):
        return RedirectResponse(f"{LIST}/{checkout_id}?said={said}", 303)
    context = context_of(request)
    state: CheckoutState = (await context.run(lambda: context.service.status(checkout_id=checkout_id))).state
    return ActedView(checkout_id=checkout_id, changed=changed, state=state, message=SAID[said])
