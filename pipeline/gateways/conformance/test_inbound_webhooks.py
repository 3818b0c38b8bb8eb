"""Inbound webhooks: accepted only with the provider's signature."""

from uuid import uuid4

import pytest

from pipeline.errors import Code, Invalid
from pipeline.gateways.conformance.purchase import AUTHORIZED, Purchase, need
from pipeline.gateways.conformance.subject import Subject, Webhook

#: Older than any provider's tolerance.
LONG_AGO_SECONDS = 24 * 3600


@pytest.fixture
def sent(purchase: Purchase) -> Webhook:
    """A valid webhook about an authorised object."""
    make_webhook = need(purchase.subject.make_webhook, "make_webhook")
    purchase.bring_to(AUTHORIZED)
    return make_webhook(purchase.reference, purchase.checkout_id)


def assert_refused(subject: Subject, sent: Webhook) -> None:
    """Assert that a webhook is refused, and that the reason does not quote it."""
    with pytest.raises(Invalid) as refusal:
        subject.gateway.read_webhook(sent.body, sent.headers)
    assert refusal.value.code is Code.WEBHOOK_INVALID
    assert 0 < len(str(refusal.value.detail["reason"])) < 300


def test_a_signed_webhook_names_its_object_and_its_checkout(purchase: Purchase, sent: Webhook) -> None:
    """The inbox finds the payment by either, also before the answer of the engine's call."""
    webhook = purchase.subject.gateway.read_webhook(sent.body, sent.headers)

    assert webhook.event_id
    assert webhook.kind
    assert (webhook.reference, webhook.checkout_id) == (purchase.reference, purchase.checkout_id)
    assert webhook.relevant


def test_a_webhook_sent_twice_is_the_same_event(subject: Subject, sent: Webhook) -> None:
    """Providers repeat webhooks: the event id identifies them."""
    first, second = (subject.gateway.read_webhook(sent.body, sent.headers) for _ in range(2))

    assert first == second


def test_two_events_have_two_ids(purchase: Purchase, sent: Webhook) -> None:
    """Two things that happened are two events."""
    make_webhook = need(purchase.subject.make_webhook, "make_webhook")
    other = make_webhook(purchase.reference, purchase.checkout_id)

    read = purchase.subject.gateway.read_webhook
    assert read(sent.body, sent.headers).event_id != read(other.body, other.headers).event_id


def test_a_kind_of_no_concern_is_not_relevant(subject: Subject) -> None:
    """A webhook that cannot concern a payment is stored and not processed."""
    make_webhook = need(subject.make_webhook, "make_webhook")
    sent = make_webhook(None, uuid4())

    webhook = subject.gateway.read_webhook(sent.body, sent.headers)

    assert webhook.event_id
    assert not webhook.relevant


def test_a_changed_body_is_refused(subject: Subject, sent: Webhook) -> None:
    """One byte more than was signed."""
    assert_refused(subject, Webhook(sent.body + b" ", sent.headers))


def test_anothers_signature_is_refused(subject: Subject, sent: Webhook) -> None:
    """The signature of another event does not fit this one."""
    make_webhook = need(subject.make_webhook, "make_webhook")
    other = make_webhook(f"{subject.missing}", uuid4())

    assert_refused(subject, Webhook(sent.body, other.headers))


def test_an_old_webhook_is_refused(purchase: Purchase) -> None:
    """A webhook cannot be replayed a day later."""
    make_webhook = need(purchase.subject.make_webhook, "make_webhook")

    assert_refused(purchase.subject, make_webhook("any", uuid4(), age_seconds=LONG_AGO_SECONDS))


@pytest.mark.parametrize("value", ["", "v1,", "nonsense", "v1,====", "t=,v1=", "\N{SNOWMAN}", "t=1,v1=1", "," * 1000])
def test_a_header_that_is_no_signature_is_refused(subject: Subject, sent: Webhook, value: str) -> None:
    """With any header, the webhook is refused and no other exception is raised."""
    assert_refused(subject, Webhook(sent.body, dict.fromkeys(sent.headers, value)))


def test_a_webhook_without_headers_is_refused(subject: Subject, sent: Webhook) -> None:
    """A webhook without a signature is refused."""
    assert_refused(subject, Webhook(sent.body, {}))


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b"\xff\xfe", b"null", b"[" * 100_000, b'"\\ud800"'])
def test_a_body_that_is_none_is_refused(subject: Subject, sent: Webhook, body: bytes) -> None:
    """With valid headers, a body of any shape is refused in the same way."""
    assert_refused(subject, Webhook(body, sent.headers))
