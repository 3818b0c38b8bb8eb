"""Inbound webhooks, stored before the response."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Now, Small, max_length, one_of
from models.states import InboxStatus


class InboxRecord(Base):
    """One verified event of a provider, once per event id. `due_at` is when to process it; null when it is settled.

    `checkout_id` is what the event's metadata names: perhaps no known checkout.
    """

    __tablename__ = "webhook_inbox"
    __table_args__ = (
        one_of("status", InboxStatus),
        max_length("event_id", 255),
        Index("webhook_inbox_event_key", "gateway", "event_id", unique=True),
        Index("webhook_inbox_due_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    gateway: Mapped[str]
    event_id: Mapped[str]
    kind: Mapped[str]
    reference: Mapped[str | None]
    checkout_id: Mapped[UUID | None]
    body: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=InboxStatus.RECEIVED.value)
    attempts: Mapped[Small] = mapped_column(server_default=text("0"))
    due_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    received_at: Mapped[Now]
    settled_at: Mapped[datetime | None]
