"""The route of inbound webhooks: verified by their signature, and stored before the response."""

from typing import Annotated, ClassVar

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict

from pipeline.webhooks.inbound import MAX_BODY
from workers.web.context import context_of
from workers.web.protection.authentication import OpenRoute
from workers.web.protection.policies import limited_as
from workers.web.schemas.openapi import describe_problems


class WebhookRoute(OpenRoute):
    """The route to which providers send their webhooks."""

    max_bytes: ClassVar[int] = MAX_BODY


router = APIRouter(route_class=WebhookRoute, tags=["webhooks"])


class ReceivedView(BaseModel):
    """The webhook is stored, for the first time or again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"received": True}]})

    received: bool = True


@router.post(
    "/webhooks/{gateway}",
    response_description="The webhook is stored",
    responses=describe_problems(400, 404, 413, 422, 500, 503),
    openapi_extra={
        "requestBody": {
            "description": "the body as the provider sent it, to the byte",
            "required": True,
            "content": {"application/json": {"schema": {}, "example": {"type": "payment.captured"}}},
        }
    },
)
# No rate limit: a provider sends thousands from few addresses, and repeats a refused one after minutes or hours. One
# without its signature costs a hash of at most `MAX_BODY` bytes, and no query.
@limited_as(None)
async def receive_webhook(
    request: Request, gateway: Annotated[str, Path(description="the payment provider", examples=["sandbox"])]
) -> ReceivedView:
    """Receive an inbound webhook of the payment provider. It needs no API key: its signature identifies the sender."""
    context = context_of(request)
    body, headers = await request.body(), dict(request.headers)
    await context.run(lambda: context.service.receive_webhook(gateway, body, headers))
    return ReceivedView()
