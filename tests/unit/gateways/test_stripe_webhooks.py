"""Stripe's webhooks: their signatures, and the payment of each."""

import json
import time
from typing import Any
from uuid import UUID

import pytest
import stripe

from pipeline.errors import Code, Invalid
from pipeline.gateways.gateway import InboundWebhook
from pipeline.gateways.stripe.webhook_events import read_webhook

SECRET = "whsec_one"
CHECKOUT = UUID("0192f3c4-0000-7000-8000-000000000001")
NAMED = {"checkout_id": str(CHECKOUT)}


def write_event(kind: str, subject: dict[str, Any]) -> str:
    return json.dumps({"id": "evt_1", "object": "event", "type": kind, "data": {"object": subject}})


INTENT = write_event("payment_intent.succeeded", {"id": "pi_1", "object": "payment_intent", "metadata": NAMED})


def sign(body: str, *, secret: str = SECRET, age_seconds: float = 0) -> dict[str, str]:
    signed_at = int(time.time() - age_seconds)
    return {"stripe-signature": stripe.WebhookSignature.generate_signature_header(body, secret, signed_at)}


def read(body: str, *, secrets: str = SECRET) -> InboundWebhook:
    return read_webhook(body.encode(), sign(body), secrets)


def refuse(body: bytes, headers: dict[str, str], secrets: str = SECRET) -> str:
    with pytest.raises(Invalid) as refusal:
        read_webhook(body, headers, secrets)
    assert refusal.value.code is Code.WEBHOOK_INVALID
    assert SECRET not in str(refusal.value)
    return str(refusal.value.detail["reason"])


@pytest.mark.parametrize(
    ("kind", "subject", "reference", "checkout_id", "relevant"),
    [
        ("payment_intent.succeeded", {"id": "pi_1", "metadata": NAMED}, "pi_1", CHECKOUT, True),
        ("payment_intent.canceled", {"id": "pi_1", "metadata": {}}, "pi_1", None, True),
        ("payment_intent.of_another_version", {"id": "pi_1", "metadata": NAMED}, "pi_1", CHECKOUT, True),
        ("charge.captured", {"id": "ch_1", "payment_intent": "pi_1", "metadata": NAMED}, "pi_1", CHECKOUT, True),
        ("charge.refunded", {"id": "ch_1", "payment_intent": {"id": "pi_1"}, "metadata": {}}, "pi_1", None, True),
        ("charge.dispute.created", {"id": "dp_1", "payment_intent": "pi_1", "metadata": {}}, "pi_1", None, True),
        ("charge.refund.updated", {"id": "re_1", "payment_intent": "pi_1", "metadata": NAMED}, "pi_1", CHECKOUT, True),
        ("refund.failed", {"id": "re_1", "payment_intent": "pi_1", "metadata": NAMED}, "pi_1", CHECKOUT, True),
        ("charge.succeeded", {"id": "ch_1", "payment_intent": None, "metadata": {}}, None, None, False),
        ("customer.updated", {"id": "cus_1", "metadata": {}}, None, None, False),
        ("checkout.session.completed", {"id": "cs_1", "payment_intent": "pi_9", "metadata": {}}, "pi_9", None, False),
        ("payout.paid", {"id": "po_1"}, None, None, False),
        ("payment_intent.created", {"id": "pi_1", "metadata": {"checkout_id": "theirs"}}, "pi_1", None, True),
        ("payment_intent.created", {"id": "pi_1", "metadata": None}, "pi_1", None, True),
    ],
)
def test_each_kind_names_its_payment(
    *, kind: str, subject: dict[str, Any], reference: str | None, checkout_id: UUID | None, relevant: bool
) -> None:
    assert read(write_event(kind, subject)) == InboundWebhook("evt_1", kind, reference, checkout_id, relevant=relevant)


def test_while_a_secret_is_replaced_both_are_good() -> None:
    assert read(INTENT, secrets=" whsec_two , whsec_one ").reference == "pi_1"
    assert read(INTENT, secrets="whsec_one,").reference == "pi_1"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (INTENT.encode(), sign(INTENT, secret="whsec_other")),
        (INTENT.encode(), sign(INTENT, age_seconds=301)),
        (INTENT.encode() + b" ", sign(INTENT)),
        (INTENT.encode(), {"stripe-signature": "t=1,v1="}),
        (INTENT.encode(), {"stripe-signature": "v1"}),
        (INTENT.encode(), {"stripe-signature": f"t={int(time.time())},v1=\xe9"}),
        (INTENT.encode(), {"stripe-signature": f"t={'9' * 5000},v1=00"}),
        (b"\xff\xfe", sign(INTENT)),
        (b"", sign(INTENT)),
    ],
    ids=[
        "other_secret",
        "too_old",
        "changed",
        "no_signature",
        "no_time",
        "not_ascii",
        "long_time",
        "not_utf8",
        "empty",
    ],
)
def test_what_stripe_did_not_sign_just_now_is_refused(body: bytes, headers: dict[str, str]) -> None:
    assert refuse(body, headers) == "its signature is wrong, or older than 300 s"


def test_a_delivery_of_four_minutes_ago_is_still_good() -> None:
    assert read_webhook(INTENT.encode(), sign(INTENT, age_seconds=240), SECRET).event_id == "evt_1"


def test_a_missing_header_is_named() -> None:
    assert refuse(INTENT.encode(), {}) == "it has no Stripe-Signature header"


@pytest.mark.parametrize("secrets", ["", " , "])
def test_a_missing_secret_is_named(secrets: str) -> None:
    with pytest.raises(Invalid, match="CHECKOUT_STRIPE_WEBHOOK_SECRET is not set"):
        read_webhook(INTENT.encode(), sign(INTENT), secrets)


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        "null",
        '"text"',
        "{}",
        '{"id": 7, "type": "payment_intent.succeeded", "data": {"object": {"id": "pi_1"}}}',
        '{"id": "", "type": "payment_intent.succeeded", "data": {"object": {"id": "pi_1"}}}',
        '{"id": "evt_1", "type": null, "data": {"object": {"id": "pi_1"}}}',
        '{"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": {"id": 7}}}',
        '{"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": null}}',
        '{"id": "evt_1", "type": "payment_intent.succeeded", "data": []}',
        '{"id": "evt_1", "type": "charge.captured", "data": {"object": "pi_1"}}',
        "[" * 100_000,
    ],
)
def test_what_is_signed_and_no_event_is_refused(body: str) -> None:
    assert refuse(body.encode(), sign(body)) == "it is not an event of Stripe"
