"""Translates a PaymentIntent or a refund into an answer. Pure."""

from datetime import UTC, datetime
from typing import Any, Final

import stripe

from models.money import Money
from models.states import PaymentStatus
from pipeline.gateways.gateway import (
    ALREADY_CAPTURED,
    AUTHORIZATION_EXPIRED,
    PAYMENT_CANCELLED,
    ActionRequired,
    Answer,
    Declined,
    Succeeded,
    Unknown,
    Verb,
)
from pipeline.gateways.stripe.amounts import to_stripe

#: `processing` may end either way: it maps to no status.
_STATUSES: Final = {
    "requires_payment_method": PaymentStatus.OPEN,
    "requires_confirmation": PaymentStatus.OPEN,
    "requires_action": PaymentStatus.ACTION_REQUIRED,
    "requires_capture": PaymentStatus.AUTHORIZED,
    "succeeded": PaymentStatus.CAPTURED,
    "canceled": PaymentStatus.CANCELLED,
}

#: The codes with which a verb is declined when the intent has one of these statuses.
_REFUSALS: Final[dict[Verb, dict[PaymentStatus, str]]] = {
    Verb.OPEN: {},
    Verb.AUTHORIZE: {PaymentStatus.CANCELLED: PAYMENT_CANCELLED},
    Verb.CAPTURE: {
        PaymentStatus.OPEN: "not_authorized",
        PaymentStatus.ACTION_REQUIRED: "not_authorized",
        PaymentStatus.REFUNDED: "already_refunded",
        PaymentStatus.CANCELLED: PAYMENT_CANCELLED,
    },
    Verb.CANCEL: {PaymentStatus.CAPTURED: ALREADY_CAPTURED, PaymentStatus.REFUNDED: ALREADY_CAPTURED},
    Verb.REFUND: {
        PaymentStatus.OPEN: "not_captured",
        PaymentStatus.ACTION_REQUIRED: "not_captured",
        PaymentStatus.AUTHORIZED: "not_captured",
        PaymentStatus.CANCELLED: "not_captured",
    },
    Verb.RETRIEVE: {},
}

#: The statuses in which a verb has had its effect. In any other status that is no refusal it is not finished.
_GOALS: Final[dict[Verb, frozenset[PaymentStatus]]] = {
    Verb.OPEN: frozenset({PaymentStatus.OPEN}),
    Verb.AUTHORIZE: frozenset({PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURED, PaymentStatus.REFUNDED}),
    Verb.CAPTURE: frozenset({PaymentStatus.CAPTURED}),
    Verb.CANCEL: frozenset({PaymentStatus.CANCELLED}),
    Verb.REFUND: frozenset({PaymentStatus.REFUNDED}),
    Verb.RETRIEVE: frozenset(PaymentStatus) - {PaymentStatus.NEW},
}

#: Why Stripe itself cancelled an intent whose authorisation expired (`automatic` before API version 2025-03-31).
_EXPIRED: Final = "expired"
#: Refunds in these states moved nothing, or their money was returned to the shop.
_FAILED_REFUNDS: Final = frozenset({"failed", "canceled"})
#: The buyer failed or refused 3-D Secure.
AUTHENTICATION_FAILED: Final = "payment_intent_authentication_failure"


def describe(intent: stripe.PaymentIntent) -> PaymentStatus | None:
    """Return the status of the intent; None while Stripe has not decided it.

    It is `refunded` when refunds that did not fail cover the captured amount, which only an intent with its charge and
    refunds shows.
    """
    status = _STATUSES.get(intent.status)
    if status is PaymentStatus.CAPTURED and 0 < intent.amount_received <= sum_refunds(intent):
        return PaymentStatus.REFUNDED
    return status


def sum_refunds(intent: stripe.PaymentIntent) -> int:
    """Return what was refunded, or is being refunded, in Stripe's unit."""
    charge = _charge_of(intent)
    # Stripe sends them only on request.
    refunds = getattr(charge, "refunds", None)
    if charge is None or refunds is None:
        return 0
    if refunds.has_more:
        # More than one page: Stripe's own sum, which may include a refund that has failed since.
        return charge.amount_refunded
    return sum(each.amount for each in refunds.data if each.status not in _FAILED_REFUNDS)


def read_intent(verb: Verb, intent: stripe.PaymentIntent, expected: Money) -> Answer:
    """Return the answer to a verb after which the intent is as given."""
    status = describe(intent)
    if status is None:
        return Unknown(f"the intent is {intent.status}")
    if refusal := _REFUSALS[verb].get(status):
        return Declined(AUTHORIZATION_EXPIRED if verb is Verb.CAPTURE and _has_expired(intent) else refusal)
    if status is PaymentStatus.ACTION_REQUIRED and verb in (Verb.AUTHORIZE, Verb.RETRIEVE):
        return _ask_buyer(intent)
    if status is PaymentStatus.OPEN and (error := _find_decline(verb, intent)) is not None:
        return _decline(error)
    if status not in _GOALS[verb]:
        return Unknown(f"the intent is still {intent.status}")
    if status is PaymentStatus.CAPTURED and intent.amount_received != to_stripe(expected):
        # Another amount than requested: the checkout cannot go on, and a repeat would not fix it.
        return Unknown(
            f"{intent.amount_received} {intent.currency} were captured, in Stripe's unit, and not {expected}"
        )
    return Succeeded(intent.id, status, _read_end(intent) if status is PaymentStatus.AUTHORIZED else None)


def read_refund(refund: stripe.Refund, reference: str) -> Answer:
    """Return the answer to a refund: it succeeds when Stripe accepts it, though the bank may need days."""
    if refund.status in _FAILED_REFUNDS:
        return Declined("refund_failed", refund.failure_reason or "")
    return Succeeded(reference, PaymentStatus.REFUNDED)


def _charge_of(intent: stripe.PaymentIntent) -> stripe.Charge | None:
    """Return the charge if Stripe has sent it, and not only its id."""
    return intent.latest_charge if isinstance(intent.latest_charge, stripe.Charge) else None


def _has_expired(intent: stripe.PaymentIntent) -> bool:
    return intent.cancellation_reason == _EXPIRED


def _ask_buyer(intent: stripe.PaymentIntent) -> Answer:
    """Return what the storefront needs. Stripe names no window: its challenges end when the intent is cancelled."""
    action = intent.next_action
    if action is not None and action.type == "redirect_to_url" and action.redirect_to_url is not None:
        return ActionRequired(intent.id, {"type": "redirect", "url": action.redirect_to_url.url})
    return ActionRequired(intent.id, {"type": "client_secret", "client_secret": intent.client_secret})


def _find_decline(verb: Verb, intent: stripe.PaymentIntent) -> stripe.PaymentIntent.LastPaymentError | None:
    """Return the error of the last attempt. A retrieval returns it only if the attempt's own call could not: the buyer
    was at the bank's page.
    """
    error, charge = intent.last_payment_error, _charge_of(intent)
    if error is None or verb is Verb.AUTHORIZE:
        return error
    refused = error.to_dict().get("code") == AUTHENTICATION_FAILED
    authenticated = charge is not None and _card_of(charge).get("three_d_secure") is not None
    return error if verb is Verb.RETRIEVE and (refused or authenticated) else None


def _decline(error: stripe.PaymentIntent.LastPaymentError) -> Declined:
    details = error.to_dict()
    return Declined(
        details.get("decline_code") or details.get("code") or "payment_failed", details.get("message") or ""
    )


def _read_end(intent: stripe.PaymentIntent) -> datetime | None:
    charge = _charge_of(intent)
    end = _card_of(charge).get("capture_before") if charge is not None else None
    return datetime.fromtimestamp(end, tz=UTC) if end is not None else None


def _card_of(charge: stripe.Charge) -> dict[str, Any]:
    """Return what is known of the card payment."""
    details: dict[str, Any] = charge.to_dict().get("payment_method_details") or {}
    return details.get("card") or {}
