"""The route of the payment provider's webhooks: verified by their signature, stored, then answered."""

from fastapi import APIRouter, Request
from pydantic import BaseModel

from pipeline.errors import Code, Refused
from pipeline.notices import MAX_BODY
from workers.web.documents import describe_problems
from workers.web.edge import edge_of
from workers.web.guard import OpenRoute

router = APIRouter(route_class=OpenRoute, tags=["webhooks"])


class ReceivedView(BaseModel):
    """The webhook is stored, for the first time or again."""

    received: bool = True


@router.post(
    "/webhooks/{gateway}",
    responses=describe_problems(400, 404, 413, 422, 500, 503),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": {}}}}},
)
async def receive_webhook(request: Request, gateway: str) -> ReceivedView:
    """Take a webhook of the payment provider. It needs no key: its signature says whose it is."""
    edge = edge_of(request)
    body, headers = await request.body(), dict(request.headers)
    if len(body) > MAX_BODY:
        raise Refused(Code.BODY_TOO_LARGE, limit=MAX_BODY)
    await edge.run(lambda: edge.door.receive_notice(gateway, body, headers))
    return ReceivedView()
