"""The examples of orders, their changes and events: the kettle of the other examples, bought and sent back."""

from typing import Any, Final

from workers.web.schemas.examples import ADDRESS, CART_ID, CHANGE_ID, CHECKOUT, CHECKOUT_ID, ORDER_ID

#: As the cursors of lists look: opaque.
CURSOR: Final = "AZDzwXyBfjudJhpMO65fMw"

ENTRY: Final[dict[str, Any]] = {
    "id": ORDER_ID,
    "checkout_id": CHECKOUT_ID,
    "number": 1001,
    "state": "placed",
    "reference": "4711",
    "customer": None,
    "currency": "EUR",
    "total_minor": 3900,
    "created_at": "2026-11-26T12:00:01Z",
    "placed_at": "2026-11-26T12:00:01Z",
    "cancelled_at": None,
}

CHANGE: Final[dict[str, Any]] = {
    "id": CHANGE_ID,
    "order_id": ORDER_ID,
    "kind": "refund",
    "state": "done",
    "amount_minor": 1900,
    "delivery_minor": 0,
    "currency": "EUR",
    "reason": "the lid is dented",
    "actor": "key:7q2m4x9k1c3d",
    "reference": None,
    "restock": None,
    "carrier": None,
    "tracking": None,
    "dispute_state": None,
    "failure": None,
    "lines": [],
    "refunds": [
        {
            "n": 1,
            "status": "succeeded",
            "amount_minor": 1900,
            "reference": "re_1",
            "code": None,
            "created_at": "2026-11-27T09:30:00Z",
        }
    ],
    "created_at": "2026-11-27T09:30:00Z",
    "ended_at": "2026-11-27T09:30:01Z",
}

ORDER: Final[dict[str, Any]] = {
    **ENTRY,
    "cart_id": CART_ID,
    "totals": CHECKOUT["totals"],
    "shipping": None,
    "shipping_address": ADDRESS,
    "billing_address": None,
    "refundable_minor": 2000,
    "delivery_refundable_minor": 0,
    "can_cancel": True,
    "payment": {
        "gateway": "stripe",
        "reference": "pi_1",
        "status": "captured",
        "captured_minor": 3900,
        "refunded_minor": 1900,
        "disputed_minor": 0,
    },
    "lines": [
        {
            **CHECKOUT["quote"]["lines"][0],
            "refunded": 0,
            "refunded_minor": 0,
            "refundable": 1,
            "refundable_minor": 3900,
            "restocked": 0,
            "restockable": 1,
            "fulfilled": 0,
            "fulfillable": 1,
            "allocations": [{"location": "main", "sold": 1, "restocked": 0, "restockable": 1}],
        }
    ],
    "changes": [CHANGE],
}

EVENTS: Final[dict[str, Any]] = {
    "events": [
        {
            "id": 94,
            "kind": "order.placed",
            "at": "2026-11-26T12:00:01Z",
            "checkout_id": CHECKOUT_ID,
            "order_id": ORDER_ID,
            "order_number": 1001,
            "phase": None,
            "data": {},
        }
    ],
    "next_after": "eyJ0IjoiNzYxIiwiaSI6OTR9",
    "has_more": False,
    "detached_until": None,
}
