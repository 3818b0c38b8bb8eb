"""The bank's webhooks, delivered when and in the order that a test chooses, and forged ones."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Engine
from standardwebhooks.webhooks import Webhook

from models.states import CheckoutState
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.gateways.sandbox.invariants import BankTotals
from pipeline.gateways.sandbox.settings import SandboxSettings
from pipeline.gateways.sandbox.webhook_events import SandboxEvent
from pipeline.settings import Settings
from pipeline.webhooks.inbound import Received
from tests.support.harness import Shelf, Works
from tests.support.workbench import Spy, build_audited, start_many, take_snapshot

GATEWAY: Final = "sandbox"

#: What the bank has of a checkout of `start_many` that was paid once.
PAID: Final = BankTotals(0, 700, 0)
#: A checkout of another database.
OTHER_CHECKOUT: Final = UUID(int=7)


class Mail:
    """The bank's webhooks to one engine."""

    def __init__(self, works: Works, bank: SandboxGateway, spy: Spy) -> None:
        """Begin with the first event. The engine makes its calls through the spy."""
        self.works = works
        self.bank = bank
        self.spy = spy
        self._last = 0

    def collect(self) -> list[SandboxEvent]:
        """Return the events since the last call."""
        events = self.bank.events(self._last)
        self._last = max((each.id for each in events), default=self._last)
        return events

    def deliver(self, events: Sequence[SandboxEvent]) -> list[Received]:
        """Put these events in the inbox."""
        return [self.works.service.receive_webhook(GATEWAY, each.body, each.headers) for each in events]

    def deliver_new(self) -> list[Received]:
        """Put the events since the last call into the inbox; assert that there are some."""
        events = self.collect()
        assert events
        return self.deliver(events)

    def write(self, event_id: str, *, reference: str, checkout_id: UUID, kind: str = "payment.authorized") -> Received:
        """Put an event into the inbox that the bank never sent."""
        body = make_body(reference=reference, checkout_id=checkout_id, kind=kind)
        return self.works.service.receive_webhook(GATEWAY, body, sign(self.works.settings, event_id, body))


def make_body(
    *, reference: Any = "sbx_1", checkout_id: Any = OTHER_CHECKOUT, kind: Any = "payment.authorized"
) -> bytes:
    """Return an event as the bank writes it."""
    data = {"reference": reference, "checkout_id": str(checkout_id)}
    return json.dumps({"type": kind, "timestamp": "2026-11-23T12:00:00Z", "data": data}).encode()


def sign(
    settings: Settings, event_id: str, body: bytes, *, at: datetime | None = None, secret: str | None = None
) -> dict[str, str]:
    """Return the headers of a webhook sent now, at another time, or with another secret."""
    moment = at or datetime.now(UTC)
    stamp = Webhook(secret or SandboxSettings.read(settings).webhook_secret.get_secret_value())
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": stamp.sign(event_id, moment, body.decode("utf-8", "replace")),
    }


@contextmanager
def open_mail(engine: Engine, settings: Settings) -> Iterator[Mail]:
    """Yield the bank's webhooks, with an engine whose calls are recorded. The audit must be clean at the end.

    No message counts as lost, however slow the machine is: `make_due` makes webhooks due.
    """
    settings = settings.model_copy(update={"redeliver_after_seconds": 100})
    bank = SandboxGateway(settings)
    spy = Spy(bank)
    with build_audited(engine, settings, spy) as works:
        yield Mail(works, bank, spy)


def start_challenged(works: Works, shelf: Shelf) -> tuple[UUID, str]:
    """Start a checkout of 700 that needs 3-D Secure; return it and its object at the bank."""
    [checkout_id] = start_many(works, shelf, 1, "tok_action_required")
    works.pump()
    assert works.status(checkout_id).state is CheckoutState.ACTION_REQUIRED
    return checkout_id, read_reference(shelf, checkout_id)


def approve_many(mail: Mail, shelf: Shelf, count: int) -> list[UUID]:
    """Start checkouts whose buyers have approved at the bank; their webhooks are stored and not processed."""
    ids = start_many(mail.works, shelf, count, "tok_action_required")
    mail.works.pump()
    for id_ in ids:
        mail.bank.approve(read_reference(shelf, id_))
    assert len(mail.deliver_new()) == count
    return ids


def count_retrievals(spy: Spy) -> int:
    """Return how often a payment was retrieved from the bank."""
    return sum(verb == "retrieve" for verb, _ in spy.calls)


def read_inbox(shelf: Shelf) -> list[tuple[str, str, int, str | None]]:
    """Return event id, status, attempts and last error of every webhook, in order of arrival."""
    return [
        (event_id, status, attempts, error)
        for event_id, status, attempts, error in shelf.rows(
            "SELECT event_id, status, attempts, last_error FROM webhook_inbox ORDER BY id"
        )
    ]


def read_statuses(shelf: Shelf) -> list[str]:
    """Return the status of every webhook, in order of arrival."""
    return [status for _, status, _, _ in read_inbox(shelf)]


def read_reference(shelf: Shelf, checkout_id: UUID) -> str:
    """Return the provider's object of a checkout."""
    return str(shelf.row("SELECT reference FROM payments WHERE checkout_id = :id", id=checkout_id).reference)


def picture(engine: Engine) -> dict[str, list[str]]:
    """Return every row of every table except the inbox."""
    return {table: rows for table, rows in take_snapshot(engine).items() if table != "webhook_inbox"}


def make_due(shelf: Shelf) -> None:
    """Make the next attempt of every waiting webhook due."""
    shelf.run("UPDATE webhook_inbox SET due_at = now() WHERE due_at IS NOT NULL")
