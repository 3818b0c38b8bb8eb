"""The bank's webhooks: made from its ledger, signed as Standard Webhooks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, SecretStr
from sqlalchemy import Engine, text
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook, WebhookVerificationError

from pipeline.errors import Code, Invalid
from pipeline.gateways.gateway import InboundWebhook
from pipeline.settings import SettingsError

#: The event kinds of the ledger's lines.
KINDS: Final = {
    "authorize": "payment.authorized",
    "capture": "payment.captured",
    "cancel": "payment.cancelled",
    "refund": "payment.refunded",
    "refuse": "payment.refused",
    "refund_failed": "refund.failed",
    "dispute_opened": "dispute.opened",
    "dispute_won": "dispute.won",
    "dispute_lost": "dispute.lost",
}

READ_ENTRIES: Final = text(
    "SELECT e.id, e.kind, e.at, reference, p.checkout_id"
    " FROM sandbox.entries e JOIN sandbox.payments p USING (reference)"
    " WHERE e.id > :after_id ORDER BY e.id LIMIT :limit"
)


@dataclass(frozen=True, slots=True)
class SandboxEvent:
    """One webhook, ready to be sent. `id` is the ledger line's, the event is `evt_<id>`; header names in lower case."""

    id: int
    body: bytes
    headers: dict[str, str]


class _Subject(BaseModel):
    reference: str
    checkout_id: UUID


class _Event(BaseModel):
    type: str
    timestamp: datetime
    data: dict[str, Any]


class Stamp:
    """Signs webhooks and verifies them, with the secret of the settings."""

    def __init__(self, secret: SecretStr) -> None:
        """Take the secret: base64, with or without the prefix `whsec_`."""
        try:
            self._webhook = Webhook(secret.get_secret_value())
        except (ValueError, EmptyWebhookSecretError):
            raise SettingsError("Set CHECKOUT_SANDBOX_WEBHOOK_SECRET to whsec_ and some base64.") from None

    def sign(self, event_id: str, body: str, *, at: datetime) -> dict[str, str]:
        """Return the headers with which this body is sent at this time."""
        return {
            "webhook-id": event_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": self._webhook.sign(event_id, at, body),
        }

    def read(self, body: bytes, headers: Mapping[str, str]) -> InboundWebhook:
        """Return a verified webhook. Raises Invalid when it is not the bank's, or is older than five minutes."""
        try:
            self._webhook.verify(body, dict(headers), json_parse=False)
            event = _Event.model_validate_json(body)
            is_known = event.type in KINDS.values()
            subject = _Subject.model_validate(event.data) if is_known else None
        except WebhookVerificationError as error:
            reason = str(error)
            raise Invalid(Code.WEBHOOK_INVALID, reason=reason[:1].lower() + reason[1:]) from error
        except ValueError as error:
            # Not UTF-8, no signature, or a body of another form. The reason does not quote it: it may contain anything.
            raise Invalid(Code.WEBHOOK_INVALID, reason="it cannot be read") from error
        event_id = headers["webhook-id"]
        if subject is None:
            return InboundWebhook(event_id, event.type, None, None, relevant=False)
        return InboundWebhook(event_id, event.type, subject.reference, subject.checkout_id)


def list_events(engine: Engine, stamp: Stamp, after_id: int, limit: int) -> list[SandboxEvent]:
    """Return the events after this one, oldest first, signed now."""
    with engine.connect() as connection:
        rows = connection.execute(READ_ENTRIES, {"after_id": after_id, "limit": limit}).all()
    return [_make_event(stamp, *row) for row in rows]


def _make_event(
    stamp: Stamp, entry_id: int, kind: str, at: datetime, reference: str, checkout_id: UUID
) -> SandboxEvent:
    subject = _Subject(reference=reference, checkout_id=checkout_id)
    event = _Event(type=KINDS[kind], timestamp=at, data=subject.model_dump(mode="json"))
    body = event.model_dump_json()
    return SandboxEvent(entry_id, body.encode(), stamp.sign(f"evt_{entry_id}", body, at=datetime.now(UTC)))
