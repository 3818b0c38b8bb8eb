"""`GET /admin/checkout-locks/{id}`: everything about one checkout, and what to do about it."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Request
from sqlalchemy import Connection
from starlette.responses import Response

from pipeline.operations import CheckoutDetail, advise, read_detail
from pipeline.operations.advice import can_release, can_retry, describe
from pipeline.saga import get_chain
from workers.web.admin.authentication import LIST, AdminPageRoute
from workers.web.admin.schemas.responses import CheckoutDetailView
from workers.web.admin.templates import render_page, wants_page
from workers.web.context import context_of
from workers.web.protection.policies import Policy, limited_as
from workers.web.schemas.examples import CHECKOUT_ID
from workers.web.schemas.openapi import BEARER, PAGE, describe_problems

router = APIRouter(route_class=AdminPageRoute, tags=["admin"], dependencies=[BEARER])

CheckoutId = Annotated[UUID, Path(description="the checkout", examples=[CHECKOUT_ID])]

#: The message of the page after a form was sent from it.
SAID: Final = {
    "release": "It is released: everything is being undone.",
    "retry": "It is retried.",
    "nothing": "There was nothing to do: nothing was changed.",
}


@router.get(
    f"{LIST}/{{checkout_id}}",
    response_model=CheckoutDetailView,
    response_description="Everything about the checkout",
    responses=PAGE | describe_problems(401, 403, 404, 422, 429, 500, 503),
)
@limited_as(Policy.READS)
async def read_checkout(request: Request, checkout_id: CheckoutId) -> Response | CheckoutDetailView:
    """Return everything about a checkout: cart, reservations, price lock, payment, order, events, and advice."""
    context = context_of(request)

    def read(connection: Connection) -> CheckoutDetail:
        return read_detail(connection, checkout_id)

    detail = await context.read(read)
    advice = advise(detail, context.settings)
    if not wants_page(request):
        return CheckoutDetailView.model_validate(describe(detail, advice))
    facts: dict[str, Any] = {
        "title": f"Checkout {checkout_id}",
        "status": detail.status,
        "phases": len(get_chain()),
        "standing": detail.standing,
        "events": detail.section("events").records,
        "tables": [each for each in detail.sections if each.rows and each.title != "events"],
        "advice": advice,
        "can_release": can_release(detail),
        "can_retry": can_retry(detail),
        "said": SAID.get(request.query_params.get("said", "")),
    }
    return render_page(request, "checkout_detail.html", facts)
