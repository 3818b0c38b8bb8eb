"""The AsyncAPI document: the messages of the queues, and the outbound webhooks. Generated from the models."""

from typing import Any, Final

from pydantic.json_schema import models_json_schema

from pipeline.errors import Code, sentence
from pipeline.intake import StartRequest
from pipeline.messaging import DELIVERIES, INTAKE, RESOLVE, SWEEP, UNWIND, WEBHOOKS
from pipeline.messaging.ports import ORDER_CHANGES
from pipeline.operations.statistics import list_queues
from pipeline.saga import find_phase, get_chain
from pipeline.webhooks.outbound.payloads import (
    CheckoutActionRequired,
    CheckoutCancelled,
    CheckoutCompleted,
    CheckoutExpired,
    CheckoutFailed,
    CheckoutNeedsReview,
    CheckoutPhaseCompleted,
    CheckoutStarted,
    OrderCancelled,
    OrderDisputed,
    OrderFulfilled,
    OrderPlaced,
    OrderRefunded,
    OrderRefundFailed,
    OrderRestocked,
    WebhookEvent,
)
from workers.web.schemas.examples import CART, CART_ID, CHANGE_ID, CHECKOUT, CHECKOUT_ID, ORDER_ID, pick_facts

EVENTS: Final[tuple[type[WebhookEvent], ...]] = (
    CheckoutStarted,
    CheckoutPhaseCompleted,
    CheckoutActionRequired,
    CheckoutCompleted,
    CheckoutFailed,
    CheckoutCancelled,
    CheckoutExpired,
    CheckoutNeedsReview,
    OrderPlaced,
    OrderCancelled,
    OrderRefunded,
    OrderRefundFailed,
    OrderRestocked,
    OrderFulfilled,
    OrderDisputed,
)

_REF: Final = "#/components/schemas/{model}"

#: What the id on each queue names, for queues that are not a phase's.
PURPOSES: Final[dict[str, str]] = {
    UNWIND: "A checkout that is being undone.",
    RESOLVE: "A checkout with a payment of unknown outcome.",
    WEBHOOKS: "An inbound webhook, by its id in `webhook_inbox`.",
    ORDER_CHANGES: "A change of a placed order, by its id in `order_changes`.",
    DELIVERIES: "An outbound webhook, by its id in `webhook_deliveries`.",
}

EXAMPLE_REQUEST: Final[dict[str, Any]] = {
    "owner": "shop-1",
    "idempotency_key": "order-4711",
    "reference": "4711",
    "cart": {"id": CART_ID, **CART},
    "payment": {"token": "tok_ok"},
}

#: The data of the webhooks' examples; their reasons are in `REASONS`.
EXAMPLE_DATA: Final[dict[str, Any]] = {
    "checkout_id": CHECKOUT_ID,
    "cart_id": CART_ID,
    "owner": "shop-1",
    "reference": "4711",
    "currency": "EUR",
    "phase": find_phase(3).name,
    "action": {"type": "redirect", "url": "https://bank.example/authenticate/4711"},
    "order_number": 1001,
    "total_minor": 3900,
    "order": {
        "id": ORDER_ID,
        "number": 1001,
        "state": "placed",
        "reference": "4711",
        "customer": None,
        **CHECKOUT["totals"],
        "lines": [
            {
                "line": 1,
                "sku": "kettle",
                "title": "Kettle",
                "quantity": 1,
                "unit_price_minor": 3900,
                "total_minor": 3900,
            }
        ],
        "line_count": 1,
        "url": f"/orders/{ORDER_ID}",
    },
}
#: The changes of the webhooks' examples, beside what all of them have.
CHANGES: Final[dict[type[WebhookEvent], dict[str, Any]]] = {
    OrderCancelled: {"kind": "cancel", "amount_minor": 3900},
    OrderRefunded: {"kind": "refund", "amount_minor": 1900},
    OrderRefundFailed: {"kind": "refund", "amount_minor": 1900},
    OrderRestocked: {"kind": "restock"},
    OrderFulfilled: {"kind": "fulfillment", "carrier": "Royal Mail", "tracking": "RM1"},
    OrderDisputed: {
        "kind": "dispute",
        "amount_minor": 3900,
        "actor": "provider",
        "reference": "dp_1",
        "state": "open",
        "reason": "fraudulent",
    },
}
UNITS: Final = frozenset({OrderCancelled, OrderRestocked, OrderFulfilled})
REASONS: Final[dict[type[WebhookEvent], tuple[Code, str | None]]] = {
    CheckoutFailed: (Code.OUT_OF_STOCK, find_phase(2).name),
    CheckoutCancelled: (Code.CANCELLED, None),
    CheckoutExpired: (Code.EXPIRED, None),
    CheckoutNeedsReview: (Code.PAYMENT_UNRESOLVED, find_phase(6).name),
}


def build_document() -> dict[str, Any]:
    """Return the document (AsyncAPI 3.0)."""
    models: list[Any] = [(model, "validation") for model in (StartRequest, *EVENTS)]
    _, schemas = models_json_schema(models, ref_template=_REF)
    channels = {queue: _describe_queue(queue) for queue in list_queues()}
    channels["webhooks"] = {
        "address": None,
        "description": "Your endpoint: `POST`, signed as in Standard Webhooks, at least once.",
        "messages": {_name(event): {"$ref": f"#/components/messages/{_name(event)}"} for event in EVENTS},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Checkout engine",
            "version": "1",
            "description": "Queues in Redis, with dramatiq's keys, and webhooks over HTTP.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            "startCheckout": {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{INTAKE}"},
                "summary": "Start a checkout: the only queue to which an upstream writes.",
            },
            "deliverWebhook": {
                "action": "send",
                "channel": {"$ref": "#/channels/webhooks"},
                "summary": "Deliver events to endpoints.",
            },
        },
        "components": {
            "messages": {_name(event): _describe_event(event) for event in EVENTS},
            "schemas": schemas["$defs"] | {"Envelope": _envelope()},
        },
    }


def _describe_queue(queue: str) -> dict[str, Any]:
    key = f"dramatiq:{queue}"
    return {
        "address": queue,
        "description": f"HSET {key}.msgs ID MESSAGE, then RPUSH {key} ID, then RPUSH {key}.wake 1.",
        "messages": {queue.removeprefix("checkout."): _describe_message(queue)},
    }


def _describe_ids(queue: str) -> str:
    phase = next((each for each in get_chain() if each.queue == queue), None)
    return PURPOSES[queue] if phase is None else f"A checkout whose phase {phase.number}, {phase.name}, is next."


def _describe_message(queue: str) -> dict[str, Any]:
    if queue == INTAKE:
        # A message must have it; over HTTP it is a header.
        argument: dict[str, Any] = {
            "allOf": [{"$ref": _REF.format(model="StartRequest")}],
            "properties": {"idempotency_key": {"type": "string"}},
            "required": ["idempotency_key"],
        }
        summary = "A request to start a checkout; `idempotency_key` is required."
        example: Any = EXAMPLE_REQUEST
    elif queue == SWEEP:
        argument, summary, example = {"type": "object"}, "A run of the sweep, for operators.", {}
    else:
        argument = {"type": "string", "format": "uuid"}
        summary, example = _describe_ids(queue), CHECKOUT_ID
    return {
        "summary": summary,
        "payload": {"allOf": [{"$ref": _REF.format(model="Envelope")}, _narrow(queue, argument)]},
        "examples": [{"payload": wrap(queue, example)}],
    }


def _narrow(queue: str, argument: dict[str, Any]) -> dict[str, Any]:
    return {
        "properties": {
            "queue_name": {"const": queue},
            "actor_name": {"const": queue.removeprefix("checkout.")},
            # `prefixItems` would mean the same for one item, but AsyncAPI's schemas are older (draft 7).
            "args": {"type": "array", "items": argument, "minItems": 1, "maxItems": 1},
        }
    }


def wrap(queue: str, argument: Any) -> dict[str, Any]:
    """Return the message with this argument, in the seven fields of dramatiq's messages."""
    id_ = "6b1c2f1e-8a55-4c59-9d36-2f0f3b1a7c11"
    return {
        "queue_name": queue,
        "actor_name": queue.removeprefix("checkout."),
        "args": [argument],
        "kwargs": {},
        "options": {"redis_message_id": id_},
        "message_id": id_,
        "message_timestamp": 1764000000000,
    }


def _envelope() -> dict[str, Any]:
    fields: dict[str, Any] = {
        "queue_name": {"type": "string"},
        "actor_name": {"type": "string"},
        "args": {"type": "array", "minItems": 1, "maxItems": 1},
        "kwargs": {"type": "object", "maxProperties": 0},
        "options": {"type": "object", "properties": {"redis_message_id": {"type": "string"}}},
        "message_id": {"type": "string"},
        "message_timestamp": {"type": "integer", "description": "milliseconds since 1970"},
    }
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def _describe_event(event: type[WebhookEvent]) -> dict[str, Any]:
    kind = event.model_fields["type"].default
    return {
        "name": kind,
        "title": kind,
        "summary": (event.__doc__ or "").strip(),
        "headers": {
            "type": "object",
            "properties": {
                "webhook-id": {"type": "string", "description": "the event's id, the same at each repeat"},
                "webhook-timestamp": {"type": "string", "description": "seconds since 1970, of this attempt"},
                "webhook-signature": {"type": "string", "description": "`v1,` and the HMAC-SHA256 in base64"},
            },
            "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
        },
        "payload": {"$ref": _REF.format(model=event.__name__)},
        "examples": [{"payload": _example(event)}],
    }


def _example(event: type[WebhookEvent]) -> dict[str, Any]:
    data = EXAMPLE_DATA
    if event in REASONS:
        code, phase = REASONS[event]
        facts = pick_facts(code)
        reason = {"code": code, "phase": phase, "message": sentence(code, facts), "detail": facts}
        data = data | {"failure": reason, "review": reason}
    if event in CHANGES:
        data = data | {"change": _example_change(event)}
    return event.model_validate({"timestamp": "2026-11-26T12:00:01Z", "data": data}).model_dump(mode="json")


def _example_change(event: type[WebhookEvent]) -> dict[str, Any]:
    own: dict[str, Any] = {"id": CHANGE_ID, "actor": "key:7q2m4x9k1c3d", "reason": "the lid is dented"}
    if event in UNITS:
        amount_minor = 3900 if event is OrderCancelled else 0
        own |= {"lines": [{"line": 1, "sku": "kettle", "quantity": 1, "amount_minor": amount_minor}], "line_count": 1}
    if event is OrderRefundFailed:
        facts = pick_facts(Code.REFUND_RETURNED)
        message = sentence(Code.REFUND_RETURNED, facts)
        own |= {"failure": {"code": Code.REFUND_RETURNED, "message": message, "detail": facts}}
    return own | CHANGES[event] | {"url": f"/orders/{ORDER_ID}/changes/{CHANGE_ID}"}


def _name(event: type[WebhookEvent]) -> str:
    return str(event.model_fields["type"].default)
