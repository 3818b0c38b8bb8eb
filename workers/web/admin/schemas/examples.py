"""The examples of the admin API in the documents: the purchase of one kettle, as an operator sees it."""

from typing import Any, Final

from pipeline.operations import CommandLine
from pipeline.saga import find_phase
from workers.web.schemas.examples import CART_ID, CHECKOUT_ID, WAITING_AFTER

ENTRY: Final[dict[str, Any]] = {
    "id": CHECKOUT_ID,
    "cart_id": CART_ID,
    "owner": "shop-1",
    "reference": "4711",
    "state": "awaiting_payment",
    "phases_completed": WAITING_AFTER.number,
    "phases_to_undo": None,
    "currency": "EUR",
    "total_minor": 3900,
    "order_number": None,
    "failure_code": None,
    "created_at": "2026-11-26T12:00:00Z",
    "expires_at": "2026-11-26T12:15:00Z",
    "ended_at": None,
}

STATISTICS: Final[dict[str, Any]] = {
    "at": "2026-11-26T12:05:00Z",
    "hours": 24,
    "states": {"awaiting_payment": 1, "completed": 3, "failed": 1},
    "success_rate": 0.75,
    "failures": {"out_of_stock": 1},
    "duration": {"p50_seconds": 0.06, "p95_seconds": 0.11, "average_seconds": 0.07},
    "steps": [{"name": find_phase(1).name, "checkouts": 0, "oldest_seconds": None, "per_minute": 4}],
    "expired": 0,
    "stuck": 0,
    "needs_review": 0,
    "held_lines": 1,
    "held_units": 1,
    "coupons_held": 0,
    "payments_unknown": 0,
    "deliveries_pending": 0,
    "deliveries_dead_lettered": 0,
    "rejected_messages": 0,
    "redelivered": 0,
    "redelivered_slow": 0,
    "orders": {
        "changes_to_do": 1,
        "oldest_seconds": 0.4,
        "changes_stuck": 0,
        "changes_need_review": 0,
        "refunds_returned": 0,
        "disputes_open": 1,
        "disputed_minor": {"EUR": 3900},
        "ended": {"refund": {"done": 2}},
    },
    "queues": [
        {"queue": find_phase(1).queue, "waiting": 0, "in_flight": 0, "dead_lettered": 0, "oldest_seconds": None},
    ],
    "gateway": "stripe (real money)",
    "standby": {"lag_seconds": 0.4},
}

DETAIL: Final[dict[str, Any]] = {
    "checkout": {"checkout_id": CHECKOUT_ID, "cart_id": CART_ID, "owner": "shop-1", "state": "awaiting_payment"},
    "standing": {"due_at": None, "attempts": 0, "pivot_at": None},
    "cart": [{"line": 1, "sku": "kettle", "quantity": 1, "own_price_minor": None, "cart_state": "open"}],
    "reservations": [{"line": 1, "sku": "kettle", "location": "main", "quantity": 1, "state": "held"}],
    "price_lock": [{"subtotal_minor": 3900, "tax_minor": 650, "total_minor": 3900, "currency": "EUR"}],
    "coupons": [],
    "payment": [],
    "payment_operations": [],
    "order": [],
    "events": [{"at": "2026-11-26T12:00:00Z", "kind": "checkout.started", "phase": None, "data": {}}],
    "providers_webhooks": [],
    "outbound_webhooks": [],
    "advice": [
        {
            "sentence": "It awaits payment and holds its stock until 2026-11-26 12:15:00 UTC; release it to free the"
            " stock now.",
            "command": CommandLine.RELEASE.of(CHECKOUT_ID),
        }
    ],
}

REASON: Final[dict[str, Any]] = {"reason": "The buyer called: she wants another colour."}

ACTED: Final[dict[str, Any]] = {
    "checkout_id": CHECKOUT_ID,
    "changed": True,
    "state": "unwinding",
    "message": "It is released: everything is being undone.",
}
