"""Outbound webhooks: the endpoints, and one row for each event and endpoint."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Now, Small, max_length, one_of
from models.limits import MAX_REFERENCE
from models.states import DeliveryStatus


class WebhookEndpointRecord(Base):
    """The address to which an owner's events are delivered, by kind. Without `owner`: events of all owners.

    `secret` signs what is sent, as Standard Webhooks has it (`whsec_` and base64); the receiver has the same.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        max_length("owner", MAX_REFERENCE),
        max_length("url", 2000),
        CheckConstraint("kinds <> '{}'", name="kinds"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner: Mapped[str | None]
    url: Mapped[str]
    secret: Mapped[str]
    kinds: Mapped[list[str]] = mapped_column(ARRAY(Text))
    active: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    created_at: Mapped[Now]


class WebhookDeliveryRecord(Base):
    """One event to one endpoint, written with the event. `due_at` is its next attempt; null once it has ended."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        one_of("status", DeliveryStatus),
        CheckConstraint("(due_at IS NULL) = (status <> 'pending')", name="due"),
        ForeignKeyConstraint(["checkout_id", "event_id"], ["events.checkout_id", "events.id"]),
        Index(None, "event_id", "endpoint_id", unique=True),
        Index("webhook_deliveries_due_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("webhook_deliveries_dead_lettered_idx", "ended_at", postgresql_where=text("status = 'dead_lettered'")),
        Index("webhook_deliveries_delivered_idx", "ended_at", postgresql_where=text("status = 'delivered'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    checkout_id: Mapped[UUID]
    event_id: Mapped[int] = mapped_column(BigInteger)
    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_endpoints.id"))
    status: Mapped[str] = mapped_column(server_default=DeliveryStatus.PENDING.value)
    attempts: Mapped[Small] = mapped_column(server_default=text("0"))
    due_at: Mapped[datetime | None] = mapped_column(server_default=text("now()"))
    last_status: Mapped[Small | None]
    last_error: Mapped[str | None]
    created_at: Mapped[Now]
    ended_at: Mapped[datetime | None]
