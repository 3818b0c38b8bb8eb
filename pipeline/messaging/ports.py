"""Ports to the broker: the pipeline sends messages and reads queues without knowing which broker it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

INTAKE: Final = "checkout.intake"
UNWIND: Final = "checkout.unwind"
RESOLVE: Final = "checkout.resolve"
WEBHOOKS: Final = "checkout.webhooks"
DELIVERIES: Final = "checkout.deliveries"
ORDER_CHANGES: Final = "checkout.order_changes"
SWEEP: Final = "checkout.sweep"


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message to be sent. `sent_at` is the database's time of the transaction before it.

    `subject_id` is the id of what its queue processes: a checkout, an inbound webhook, a delivery or an order change.
    """

    queue: str
    subject_id: UUID
    sent_at: datetime


class Publisher(Protocol):
    """Sends messages. Called after commit, never inside a transaction."""

    def send(self, messages: Sequence[OutgoingMessage]) -> bool:
        """Send all in one round trip, best effort: return False (with a log line) if that failed; never raise.

        A message that was not sent is not lost: the checkout's `due_at` makes the sweep send it.
        """


@dataclass(frozen=True, slots=True)
class Head:
    """When the oldest waiting message of a queue was sent (None if it does not say), and how many wait in all."""

    sent_at: datetime | None
    waiting: int


class Backlog(Protocol):
    """Reads the queues."""

    def heads(self, queues: Sequence[str]) -> Mapping[str, Head] | None:
        """Return the head of each queue that is not empty, or None when the broker cannot be reached."""
