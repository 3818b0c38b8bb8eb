"""Receives inbound webhooks: they are verified, and stored before they are answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text
from uuid_utils.compat import uuid7

from pipeline.errors import Code, Invalid
from pipeline.gateways import Gateway
from pipeline.gateways.gateway import InboundWebhook
from pipeline.messaging import WEBHOOKS, OutgoingMessage
from pipeline.security.redaction import redact
from pipeline.settings import Settings

#: Largest body: an event is one object as JSON, some kilobytes. The bound comes before the signature, so that a sender
#: that finds the address cannot have megabytes hashed.
MAX_BODY: Final = 256 * 1024
#: Longest event id, kind and reference; those of the providers we know have about 30 characters.
MAX_NAME: Final = 255

# Two at once with one event id: the second waits for the first's commit and then does nothing.
STORE: Final = text("""
    INSERT INTO webhook_inbox (id, gateway, event_id, kind, reference, checkout_id, body, status, due_at, settled_at)
    VALUES (:id, :gateway, :event_id, :kind, :reference, :checkout_id, :body,
            CASE WHEN :relevant THEN 'received' ELSE 'ignored' END,
            CASE WHEN :relevant THEN now() + make_interval(secs => :redeliver_after_seconds) END,
            CASE WHEN :relevant THEN NULL ELSE now() END)
    ON CONFLICT (gateway, event_id) DO NOTHING
    RETURNING received_at
""")

FIND: Final = text("SELECT id FROM webhook_inbox WHERE gateway = :gateway AND event_id = :event_id")


@dataclass(frozen=True, slots=True)
class VerifiedWebhook:
    """A webhook whose signature is right and whose every text PostgreSQL can store; its body without secrets.

    The provider's objects carry the `client_secret` with which a buyer pays, and nothing of a body is ever used.
    """

    gateway: str
    webhook: InboundWebhook
    body: str


@dataclass(frozen=True, slots=True)
class Received:
    """A webhook that is stored. `created` is False when its event had come before."""

    id: UUID
    created: bool
    messages: Sequence[OutgoingMessage] = ()


def verify_webhook(name: str, gateway: Gateway, body: bytes, headers: Mapping[str, str]) -> VerifiedWebhook:
    """Verify a webhook; needs no database. Raises Invalid(WEBHOOK_INVALID) for what cannot be accepted."""
    if len(body) > MAX_BODY:
        raise Invalid(Code.WEBHOOK_INVALID, reason=f"it has {len(body)} bytes, and at most {MAX_BODY} are read")
    try:
        written = body.decode()
    except UnicodeDecodeError:
        raise Invalid(Code.WEBHOOK_INVALID, reason="its body is not UTF-8") from None
    webhook = gateway.read_webhook(body, {header.lower(): value for header, value in headers.items()})
    names = {"event id": webhook.event_id, "kind": webhook.kind}
    if webhook.reference is not None:
        names["reference"] = webhook.reference
    for what, value in names.items():
        if not 1 <= len(value) <= MAX_NAME:
            raise Invalid(Code.WEBHOOK_INVALID, reason=f"its {what} has {len(value)} characters")
    for what, value in {"body": written, **names}.items():
        if not _is_storable(value):
            raise Invalid(Code.WEBHOOK_INVALID, reason=f"its {what} has characters that are not text")
    return VerifiedWebhook(name, webhook, redact(written, limit=MAX_BODY))


def receive(connection: Connection, verified: VerifiedWebhook, settings: Settings) -> Received:
    """Store a webhook once per event id. One that cannot concern us is stored as ignored, and nothing is due for it."""
    webhook, webhook_id = verified.webhook, uuid7()
    received_at = connection.execute(
        STORE,
        {
            "id": webhook_id,
            "gateway": verified.gateway,
            "event_id": webhook.event_id,
            "kind": webhook.kind,
            "reference": webhook.reference,
            "checkout_id": webhook.checkout_id,
            "body": verified.body,
            "relevant": webhook.relevant,
            "redeliver_after_seconds": settings.redeliver_after_seconds,
        },
    ).scalar_one_or_none()
    if received_at is None:
        known = {"gateway": verified.gateway, "event_id": webhook.event_id}
        return Received(connection.execute(FIND, known).scalar_one(), created=False)
    messages = [OutgoingMessage(WEBHOOKS, webhook_id, received_at)] if webhook.relevant else []
    return Received(webhook_id, created=True, messages=messages)


def _is_storable(value: str) -> bool:
    """No NUL, and no half of a surrogate pair, which JSON can spell and UTF-8 cannot."""
    try:
        return b"\x00" not in value.encode()
    except UnicodeEncodeError:
        return False
