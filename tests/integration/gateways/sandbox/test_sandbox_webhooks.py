"""The bank's webhooks: one for each line of its ledger, signed, and read again."""

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from standardwebhooks.webhooks import Webhook

from models.states import PaymentStatus
from pipeline.errors import Invalid
from pipeline.gateways.gateway import InboundWebhook
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.gateways.sandbox.webhook_events import Stamp
from pipeline.settings import Settings, SettingsError
from tests.conftest import SANDBOX_SECRET
from tests.integration.gateways.sandbox.customer import Customer


def reason_of(bank: SandboxGateway, body: bytes, headers: dict[str, str]) -> str:
    with pytest.raises(Invalid) as refusal:
        bank.read_webhook(body, headers)
    return str(refusal.value.detail["reason"])


def test_every_line_of_the_ledger_is_an_event_in_its_order(bank: SandboxGateway, engine: Engine) -> None:
    paid, dropped = Customer(bank, engine).bring_to(PaymentStatus.REFUNDED), Customer(bank, engine)
    dropped.bring_to(PaymentStatus.CANCELLED)
    shy = Customer(bank, engine).bring_to(PaymentStatus.ACTION_REQUIRED)
    bank.refuse(shy.reference or "")

    events = bank.events()

    webhooks = [bank.read_webhook(event.body, event.headers) for event in events]
    assert [(webhook.kind, webhook.reference, webhook.checkout_id) for webhook in webhooks] == [
        ("payment.authorized", paid.reference, paid.id),
        ("payment.captured", paid.reference, paid.id),
        ("payment.refunded", paid.reference, paid.id),
        ("payment.refused", shy.reference, shy.id),
    ]
    assert [webhook.event_id for webhook in webhooks] == [f"evt_{event.id}" for event in events]
    assert all(webhook.relevant for webhook in webhooks)


def test_events_come_after_the_one_that_was_seen(bank: SandboxGateway, engine: Engine) -> None:
    Customer(bank, engine).bring_to(PaymentStatus.CAPTURED)
    first, second = bank.events()

    assert [event.id for event in bank.events(first.id)] == [second.id]
    assert [event.id for event in bank.events(limit=1)] == [first.id]
    assert bank.events(second.id) == []


def test_the_body_says_what_happened_to_what(bank: SandboxGateway, engine: Engine) -> None:
    customer = Customer(bank, engine).bring_to(PaymentStatus.AUTHORIZED)

    (event,) = bank.events()

    body = json.loads(event.body)
    assert body["type"] == "payment.authorized"
    assert body["data"] == {"reference": customer.reference, "checkout_id": str(customer.id)}
    assert set(event.headers) == {"webhook-id", "webhook-timestamp", "webhook-signature"}


def test_any_library_of_the_standard_verifies_it(bank: SandboxGateway, engine: Engine, patient: Settings) -> None:
    Customer(bank, engine).bring_to(PaymentStatus.AUTHORIZED)
    (event,) = bank.events()

    verified = Webhook(SANDBOX_SECRET.get_secret_value()).verify(event.body, event.headers)

    assert verified == json.loads(event.body)


def test_another_secrets_signature_is_refused(bank: SandboxGateway, engine: Engine, patient: Settings) -> None:
    Customer(bank, engine).bring_to(PaymentStatus.AUTHORIZED)
    secret = SecretStr(f"whsec_{b64encode(b'of another bank').decode()}")
    other = SandboxGateway(patient.with_gateway_options(webhook_secret=secret))
    (event,) = other.events()

    assert other.read_webhook(event.body, event.headers).kind == "payment.authorized"
    assert reason_of(bank, event.body, event.headers) == "no matching signature found"
    other.close()


@pytest.mark.parametrize(
    ("age", "reason"),
    [(timedelta(minutes=6), "message timestamp too old"), (timedelta(minutes=-6), "message timestamp too new")],
)
def test_a_webhook_has_its_time(bank: SandboxGateway, patient: Settings, age: timedelta, reason: str) -> None:
    headers = Stamp(SANDBOX_SECRET).sign("evt_1", "{}", at=datetime.now(UTC) - age)

    assert reason_of(bank, b"{}", headers) == reason


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_without_one_of_its_headers_it_is_nobodys(bank: SandboxGateway, patient: Settings, missing: str) -> None:
    headers = Stamp(SANDBOX_SECRET).sign("evt_1", "{}", at=datetime.now(UTC))
    del headers[missing]

    assert reason_of(bank, b"{}", headers) == "missing required headers"


CAPTURED = '{{"type": "payment.captured", "timestamp": "{}", "data": {}}}'


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="nothing"),
        pytest.param("[]", id="list"),
        pytest.param("{}", id="no-type"),
        pytest.param(CAPTURED.format("2026-11-23T12:00:00Z", "{}"), id="no-subject"),
        pytest.param(CAPTURED.format("2026-11-23T12:00:00Z", '{"reference": "a", "checkout_id": 1}'), id="no-uuid"),
        pytest.param(CAPTURED.format("yesterday", "{}"), id="no-time"),
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_a_signed_body_of_another_form_is_refused_without_repeating_it(
    bank: SandboxGateway, patient: Settings, body: str
) -> None:
    headers = Stamp(SANDBOX_SECRET).sign("evt_1", body, at=datetime.now(UTC))

    assert reason_of(bank, body.encode(), headers) == "it cannot be read"


def test_a_kind_that_the_bank_does_not_have_is_of_no_concern(bank: SandboxGateway, patient: Settings) -> None:
    body = '{"type": "statement.ready", "timestamp": "2026-11-23T12:00:00Z", "data": {"reference": 7}}'
    headers = Stamp(SANDBOX_SECRET).sign("evt_1", body, at=datetime.now(UTC))

    webhook = bank.read_webhook(body.encode(), headers)

    assert webhook == InboundWebhook("evt_1", "statement.ready", None, None, relevant=False)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_x", "\N{SNOWMAN}"])
def test_a_secret_that_is_none_is_said_at_the_start(secret: str) -> None:
    with pytest.raises(SettingsError, match="CHECKOUT_SANDBOX_WEBHOOK_SECRET") as refusal:
        Stamp(SecretStr(secret))
    assert secret in {"", "whsec_"} or secret not in str(refusal.value)


def test_a_webhook_of_another_systems_object_is_read_too(bank: SandboxGateway, patient: Settings) -> None:
    checkout_id = uuid4()
    body = (
        '{"type": "payment.captured", "timestamp": "2026-11-23T12:00:00Z",'
        f' "data": {{"reference": "sbx_unheard_of", "checkout_id": "{checkout_id}", "more": [1]}}, "more": 2}}'
    )
    headers = Stamp(SANDBOX_SECRET).sign("evt_1", body, at=datetime.now(UTC))

    assert bank.read_webhook(body.encode(), headers) == InboundWebhook(
        "evt_1", "payment.captured", "sbx_unheard_of", checkout_id
    )
