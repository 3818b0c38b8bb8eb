"""The sandbox bank's own tables, in its own schema. No other table references them: the two sides can disagree.

They are here, and not in the gateway's folder, because the engine's first migration creates them, and a test compares
the migrations with the tables of `models`.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, Currency, Minor, Now
from models.names import SANDBOX_SCHEMA


class SandboxPaymentRecord(Base):
    """The bank's payment object."""

    __tablename__ = "payments"
    __table_args__ = (
        CheckConstraint(
            "status IN ('open', 'action_required', 'authorized', 'captured', 'cancelled', 'refunded')", name="status"
        ),
        CheckConstraint("captured_minor <= authorized_minor AND refunded_minor <= captured_minor", name="amounts"),
        Index(None, "checkout_id"),
        {"schema": SANDBOX_SCHEMA},
    )

    reference: Mapped[str] = mapped_column(primary_key=True)
    checkout_id: Mapped[UUID]
    currency: Mapped[Currency]
    amount_minor: Mapped[Minor]
    status: Mapped[str]
    authorized_minor: Mapped[Minor]
    captured_minor: Mapped[Minor]
    refunded_minor: Mapped[Minor]
    authorized_until: Mapped[datetime | None]
    created_at: Mapped[Now]


class SandboxRefundRecord(Base):
    """One refund of a part of a payment. `operation_id` is the caller's key; null for one made in the dashboard."""

    __tablename__ = "refunds"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'succeeded', 'failed')", name="state"),
        CheckConstraint("amount_minor > 0", name="amount"),
        Index(None, "payment"),
        {"schema": SANDBOX_SCHEMA},
    )

    reference: Mapped[str] = mapped_column(primary_key=True)
    payment: Mapped[str] = mapped_column(ForeignKey("sandbox.payments.reference"))
    amount_minor: Mapped[Minor]
    state: Mapped[str] = mapped_column(server_default="succeeded")
    operation_id: Mapped[str | None] = mapped_column(unique=True)
    failure: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[Now]


class SandboxDisputeRecord(Base):
    """One dispute of a payment. While it is open, and when it is lost, its amount cannot be refunded."""

    __tablename__ = "disputes"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'won', 'lost')", name="state"),
        CheckConstraint("amount_minor > 0", name="amount"),
        Index(None, "payment"),
        {"schema": SANDBOX_SCHEMA},
    )

    reference: Mapped[str] = mapped_column(primary_key=True)
    payment: Mapped[str] = mapped_column(ForeignKey("sandbox.payments.reference"))
    amount_minor: Mapped[Minor]
    state: Mapped[str] = mapped_column(server_default="open")
    reason: Mapped[str]
    created_at: Mapped[Now]


class SandboxEntryRecord(Base):
    """The bank's append-only ledger: one row per movement of money or of an authorisation."""

    __tablename__ = "entries"
    __table_args__ = (Index(None, "reference"), {"schema": SANDBOX_SCHEMA})

    id: Mapped[BigId]
    reference: Mapped[str]
    kind: Mapped[str]
    amount_minor: Mapped[Minor]
    at: Mapped[Now]


class SandboxRequestRecord(Base):
    """An idempotency key that the bank has received, with its answer. Null answer: received, without effect so far."""

    __tablename__ = "requests"
    __table_args__ = ({"schema": SANDBOX_SCHEMA},)

    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    calls: Mapped[int]
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[Now]
