"""The examples of the documents: one purchase of one kettle throughout."""

from string import Formatter
from typing import Any, Final

from pipeline.errors import Code
from pipeline.errors.tree import SENTENCES
from pipeline.saga import Phase, get_chain

ADDRESS: Final[dict[str, Any]] = {
    "name": "Ada Lovelace",
    "line1": "12 St James's Square",
    "city": "London",
    "country": "GB",
}
CART: Final[dict[str, Any]] = {
    "currency": "EUR",
    "lines": [{"sku": "kettle", "quantity": 1}],
    "shipping_address": ADDRESS,
}
CART_ID: Final = "0190f3c1-5a5e-7cc2-9d1e-6f0b3a0c4d11"
CHECKOUT_ID: Final = "0190f3c1-6b70-7d2a-8c15-0f3b2a9d4e22"
ORDER_ID: Final = "0190f3c1-7c81-7e3b-9d26-1a4c3bae5f33"
CHANGE_ID: Final = "0190f3c2-0d92-7f4c-8e37-2b5d4cbf6a44"
HASH: Final = "88fb140cd74362f226427c14d7094e5359b31246f67a604dc34dd66dbe40b471"

STORED_CART: Final[dict[str, Any]] = {
    **CART,
    "id": CART_ID,
    "state": "open",
    "locked": True,
    "locked_by": "shop-1",
    "checkout_id": CHECKOUT_ID,
    "expires_at": "2026-11-26T12:15:00Z",
    "created_at": "2026-11-26T11:58:00Z",
    "updated_at": "2026-11-26T11:59:00Z",
}

#: The phase after which the purchase awaits payment.
WAITING_AFTER: Final[Phase] = next(phase for phase in get_chain() if phase.awaits_payment)

STATUS: Final[dict[str, Any]] = {
    "cart_id": CART_ID,
    "locked": True,
    "can_checkout": False,
    "can_resume": True,
    "message": "Stock and prices are held until 2026-11-26T12:15:00+00:00: pay, or cancel.",
    "checkout_id": CHECKOUT_ID,
    "state": "awaiting_payment",
    "state_name": "Waiting for payment",
    "phases_completed": WAITING_AFTER.number,
    "phases_to_undo": None,
    "phase_name": WAITING_AFTER.name,
    "reference": "4711",
    "currency": "EUR",
    "totals": {
        "subtotal_minor": 3900,
        "discount_minor": 0,
        "shipping_minor": 0,
        "tax_minor": 650,
        "total_minor": 3900,
    },
    "quote_hash": HASH,
    "expires_at": "2026-11-26T12:15:00Z",
    "created_at": "2026-11-26T12:00:00Z",
    "ended_at": None,
    "action": None,
    "payment_attempts": None,
    "order_number": None,
    "failure": None,
}

CHECKOUT: Final[dict[str, Any]] = {
    **STATUS,
    "quote": {
        "hash": HASH,
        "lines": [
            {
                "line": 1,
                "sku": "kettle",
                "title": "Kettle",
                "quantity": 1,
                "unit_price_minor": 3900,
                "tax_included": True,
                "subtotal_minor": 3900,
                "discount_minor": 0,
                "tax_minor": 650,
                "total_minor": 3900,
                "discounts": [],
                "taxes": [{"name": "VAT", "amount_minor": 650, "rate": "0.2"}],
            }
        ],
        "shipping": None,
        "exchange": None,
    },
    "order": None,
}

#: The facts in the examples of error sentences.
FACTS: Final[dict[str, Any]] = {
    "promotion_id": 7,
    "ends": "2026-11-27T12:00:00+00:00",
    "actor": "ada",
    "allowed": "GET, POST",
    "amount": "39.00 EUR",
    "attempts": 5,
    "available": 0,
    "base": "EUR",
    "begins": "2026-11-26T12:00:00+00:00",
    "cap_seconds": 3600,
    "cart_currency": "EUR",
    "cart_id": CART_ID,
    "change_id": CHANGE_ID,
    "checkout_id": CHECKOUT_ID,
    "code": "TEN",
    "counted_at": "2026-11-26T09:00:00+00:00",
    "currency": "EUR",
    "disputed": "20.00 EUR",
    "error": "TimeoutError",
    "expected": 7,
    "expected_total_minor": 3800,
    "expires_at": "2026-11-26T12:15:00+00:00",
    "gateway": "stripe",
    "headers": 100,
    "hint": "there is berlin",
    "locked_by": f"checkout {CHECKOUT_ID}",
    "key": "order-4711",
    "kind": "capture",
    "left": "19.00 EUR",
    "limit": 1000,
    "line": 1,
    "lines": 1200,
    "location": "main",
    "method": "DELETE",
    "names": "VAT",
    "number": 1001,
    "observed_at": "2026-11-19",
    "order_id": ORDER_ID,
    "path": 2048,
    "cell": "eu1",
    "policy": "writes",
    "on_hand": 5,
    "phase": get_chain()[-2].name,
    "place": "GB",
    "price": "1.90 HUF",
    "quantity": 1,
    "query": 8192,
    "quote": "USD",
    "country": "US",
    "reason": "card_declined",
    "requested": 1,
    "reserved": 2,
    "scope": "prices",
    "seconds": 12,
    "sku": "kettle",
    "state": "expired",
    "total_minor": 3900,
    "unit_price_minor": -1,
    "units": 1,
    "where": "line 1",
    "why": "the cart names amounts",
}


def pick_facts(code: Code) -> dict[str, Any]:
    """Return the facts that this code's sentence names."""
    return {name: FACTS[name] for _, name, _, _ in Formatter().parse(SENTENCES[code]) if name}
