"""PaymentIntents, refunds and errors as Stripe writes them, for tests of the adapter."""

import json
from typing import Any

import stripe
from requests.structures import CaseInsensitiveDict

from models.money import Money

REFERENCE = "pi_1"
TOTAL = Money(1000, "EUR")
SECRET = "pi_1_secret_x"


def make_intent(status: str, **others: Any) -> stripe.PaymentIntent:
    """Return an intent over 10.00 EUR in this status."""
    return stripe.PaymentIntent.construct_from(write_intent(status, **others), "sk_test")


def write_intent(status: str, **others: Any) -> dict[str, Any]:
    """Return the same as JSON of the API."""
    return {
        "id": REFERENCE,
        "object": "payment_intent",
        "amount": 1000,
        "amount_received": 1000 if status == "succeeded" else 0,
        "cancellation_reason": None,
        "client_secret": SECRET,
        "created": 1_700_000_000,
        "currency": "eur",
        "last_payment_error": None,
        "latest_charge": None,
        "metadata": {},
        "next_action": None,
        "status": status,
        **others,
    }


def write_charge(**others: Any) -> dict[str, Any]:
    """Return an expanded charge, without its refunds."""
    card = {"brand": "visa", "capture_before": None, "three_d_secure": None}
    details = {"type": "card", "card": card}
    charge = {"id": "ch_1", "object": "charge", "amount": 1000, "amount_refunded": 0}
    return {**charge, "payment_method_details": details, **others}


def write_refunds(*amounts_and_statuses: tuple[int, str], has_more: bool = False) -> dict[str, Any]:
    """Return the expanded refunds of a charge."""
    data = [
        {"id": f"re_{number}", "object": "refund", "amount": amount, "status": status}
        for number, (amount, status) in enumerate(amounts_and_statuses)
    ]
    return {"object": "list", "data": data, "has_more": has_more, "url": "/v1/refunds"}


def make_refund(status: str, **others: Any) -> stripe.Refund:
    """Return a refund in this status."""
    body = {"id": "re_1", "object": "refund", "amount": 1000, "failure_reason": None, "status": status, **others}
    return stripe.Refund.construct_from(body, "sk_test")


def make_error(status: int, **details: Any) -> stripe.StripeError:
    """Return the error that the SDK raises for this answer."""
    body = {"error": {"type": "invalid_request_error", "message": "No.", **details}}
    client = stripe.StripeClient("sk_test_x")
    try:
        client._requestor._interpret_response(
            json.dumps(body), status, CaseInsensitiveDict({"Request-Id": "req_1"}), "V1"
        )
    except stripe.StripeError as error:
        return error
    raise AssertionError(status)
