"""The forms of an order's page: each is shown once more with its amounts, and done once for its idempotency key."""

from typing import Any, Final
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from pipeline.errors import Code, Invalid
from pipeline.orders.reading import ChangeView, OrderView, read_change, read_order
from pipeline.orders.requests import Resolution
from workers.web.admin.authentication import ORDERS, AdminPageRoute
from workers.web.admin.order_forms import Action, read_reason, read_request
from workers.web.admin.routes.actions import name_actor
from workers.web.admin.routes.order_detail import RESOLUTIONS, OrderId
from workers.web.admin.templates import render_page, wants_page
from workers.web.context import context_of
from workers.web.headers import read_key
from workers.web.protection.authentication import caller_of
from workers.web.protection.policies import Policy, limited_as
from workers.web.responses.order_responses import find_status, wait_for_change
from workers.web.responses.order_serializers import view_change

router = APIRouter(route_class=AdminPageRoute, include_in_schema=False)

#: The page waits so long for the end of a change; after that it says that the change is in progress.
WAIT_SECONDS: Final = 8

TITLES: Final[dict[Action, str]] = {
    "cancel": "Cancel order",
    "refund": "Refund order",
    "restock": "Restock units of order",
    "fulfill": "Record what was sent of order",
}


@router.post(f"{ORDERS}/{{order_id}}/settle")
@limited_as(Policy.WRITES)
async def settle_change(request: Request, order_id: OrderId, fields: dict[str, str]) -> Response:
    """Settle a change that needs review, as a person has found out. A second form is refused: it is settled."""
    context, reason = context_of(request), read_reason(fields)
    try:
        change_id, resolution = UUID(fields.get("change", "")), Resolution(fields.get("resolution", ""))
    except ValueError:
        raise Invalid(Code.REQUEST_INVALID, reason="resolution: choose what you have found out") from None

    def read(connection: Connection) -> tuple[OrderView, ChangeView]:
        order = read_order(connection, owner=None, order_id=order_id)
        return order, read_change(connection, change_id, None, order_id=order_id)

    order, change = await context.read(read)
    if _must_confirm(request, fields):
        asked = RESOLUTIONS[resolution]
        return _confirm(request, order, change, "settle", f"Settle a change of order {order.number}", fields, asked)
    actor = f"operator:{name_actor(caller_of(request))}"
    await context.run(lambda: context.components.orders.settle(change_id, resolution, actor=actor, reason=reason))
    return await _respond(request, change_id, order_id)


@router.post(f"{ORDERS}/{{order_id}}/{{action}}")
@limited_as(Policy.WRITES)
async def change_order(request: Request, order_id: OrderId, action: Action, fields: dict[str, str]) -> Response:
    """Cancel, refund, restock or fulfill: the first form is answered with what it would do, the second does it."""
    context = context_of(request)
    order = await context.read(lambda connection: read_order(connection, owner=None, order_id=order_id))
    asked = read_request(action, fields, order.currency)
    orders = context.components.orders
    if _must_confirm(request, fields):
        draft = await context.run(lambda: orders.preview(order_id, None, asked))
        return _confirm(request, order, draft, action, f"{TITLES[action]} {order.number}", fields)
    actor, key = f"operator:{name_actor(caller_of(request))}", read_key(fields.get("key", ""))
    result = await context.run(lambda: orders.request(order_id, None, asked, actor=actor, idempotency_key=key))
    return await _respond(request, result.change_id, order_id)


def _must_confirm(request: Request, fields: dict[str, str]) -> bool:
    """Return whether a person has not seen the amounts yet; a program asks once."""
    return wants_page(request) and fields.get("confirmed") != "yes"


def _confirm(
    request: Request,
    order: OrderView,
    draft: ChangeView,
    action: str,
    title: str,
    fields: dict[str, str],
    asked: str | None = None,
) -> Response:
    kept = {name: value for name, value in fields.items() if name not in {"confirmed", "key"}}
    facts: dict[str, Any] = {
        "title": title,
        "order": order,
        "draft": draft,
        "action": action,
        "asked": asked,
        "reason": fields.get("reason", ""),
        # The same form sent twice has the same key: it is done once.
        "fields": {**kept, "key": f"admin-{uuid4()}", "confirmed": "yes"},
    }
    return render_page(request, "order_confirm.html", facts)


async def _respond(request: Request, change_id: UUID, order_id: UUID) -> Response:
    context = context_of(request)
    seconds = min(WAIT_SECONDS, context.settings.web_max_wait_seconds)
    change = await wait_for_change(context, change_id, None, seconds, order_id=order_id)
    if wants_page(request):
        return RedirectResponse(f"{ORDERS}/{order_id}?change={change_id}", 303)
    return Response(view_change(change).model_dump_json(), find_status(change), media_type="application/json")
