"""Stripe's webhooks: verified by the SDK, then read only for the payment that they are about."""

import json
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import stripe

from pipeline.errors import Code, Invalid
from pipeline.gateways.gateway import InboundWebhook

#: Stripe's own default. Stripe signs every delivery anew, repeats included.
TOLERANCE_SECONDS: Final = 300
HEADER: Final = "stripe-signature"
NO_SECRET: Final = "CHECKOUT_STRIPE_WEBHOOK_SECRET is not set"  # noqa: S105 - a sentence, not a secret


def read_webhook(body: bytes, headers: Mapping[str, str], secrets: str) -> InboundWebhook:
    """Verify a webhook and return the payment it is about. `secrets` are separated by commas: two during a rotation.

    Raises Invalid(WEBHOOK_INVALID) for one that Stripe did not sign in the last five minutes, or that is no event.
    """
    known = [each.strip() for each in secrets.split(",") if each.strip()]
    if not known:
        raise Invalid(Code.WEBHOOK_INVALID, reason=NO_SECRET)
    header = headers.get(HEADER)
    if not header:
        raise Invalid(Code.WEBHOOK_INVALID, reason="it has no Stripe-Signature header")
    if not any(_fits(body, header, secret) for secret in known):
        raise Invalid(Code.WEBHOOK_INVALID, reason=f"its signature is wrong, or older than {TOLERANCE_SECONDS} s")
    try:
        return _read(json.loads(body))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        # Signed, but no event. The text of the error could quote it.
        raise Invalid(Code.WEBHOOK_INVALID, reason="it is not an event of Stripe") from None


def _fits(body: bytes, header: str, secret: str) -> bool:
    try:
        return bool(stripe.WebhookSignature.verify_header(body, header, secret, TOLERANCE_SECONDS))
    except (stripe.SignatureVerificationError, ValueError, TypeError):
        # ValueError: a body that is not UTF-8. TypeError: a signature that is not ASCII.
        return False


def _read(event: dict[str, Any]) -> InboundWebhook:
    kind, subject = _text(event["type"]), event["data"]["object"]
    reference = _id(subject) if kind.startswith("payment_intent.") else _id(subject.get("payment_intent"))
    relevant = reference is not None and kind.startswith(("payment_intent.", "charge.", "refund."))
    checkout_id = find_checkout(subject.get("metadata"))
    return InboundWebhook(_text(event["id"]), kind, reference, checkout_id, relevant=relevant)


def _id(found: Any) -> str | None:
    """Return the id of an object, given as the object or as its id."""
    if found is None:
        return None
    return _text(found["id"] if isinstance(found, dict) else found)


def _text(found: Any) -> str:
    if not isinstance(found, str) or not found:
        raise TypeError("no text")
    return found


def find_checkout(metadata: Mapping[str, Any] | None) -> UUID | None:
    """Return the checkout that the metadata names, or None."""
    try:
        return UUID((metadata or {})["checkout_id"])
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
