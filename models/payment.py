"""Payments: one for each checkout, and every call to the provider, written before it is made."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, Minor, Now, Small, max_length, one_of
from models.states import OperationKind, OperationStatus, PaymentStatus


class PaymentRecord(Base):
    """The payment of one checkout. `token` is the provider's opaque payment method, never a card number.

    `attempts` counts payment attempts (a second card is a second attempt); `action` is what the buyer must do.
    `review` says what an operator must settle for a checkout that has ended: money that no rule could void or refund.
    Once the order is placed, `charge_due_at` is when the captured payment is read again with its refunds and disputes
    (None: nothing is expected), and until `charge_leased_until` only the worker with the lease reads it.
    """

    __tablename__ = "payments"
    __table_args__ = (
        one_of("status", PaymentStatus),
        max_length("token", 255),
        Index("payments_review_idx", "checkout_id", postgresql_where=text("review IS NOT NULL")),
        Index("payments_charge_due_idx", "charge_due_at", postgresql_where=text("charge_due_at IS NOT NULL")),
    )

    checkout_id: Mapped[UUID] = mapped_column(ForeignKey("checkouts.id"), primary_key=True)
    gateway: Mapped[str]
    token: Mapped[str]
    attempts: Mapped[Small] = mapped_column(server_default=text("1"))
    reference: Mapped[str | None] = mapped_column(unique=True)
    status: Mapped[str] = mapped_column(server_default=PaymentStatus.NEW.value)
    action: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    authorized_until: Mapped[datetime | None]
    review: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    charge_due_at: Mapped[datetime | None]
    charge_leased_until: Mapped[datetime | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class PaymentOperationRecord(Base):
    """One call to the provider, from its intent on.

    The key names the intent (`<checkout>:<kind>:<n>`): a repeat keeps it, a new attempt is n+1. Until `leased_until`
    only the worker with the lease calls. `fence` is the checkout's when the call was last leased: an answer under
    another is late.
    """

    __tablename__ = "payment_operations"
    __table_args__ = (
        one_of("kind", OperationKind),
        one_of("status", OperationStatus),
        CheckConstraint("amount_minor >= 0", name="amount"),
        Index(None, "checkout_id", "kind", "n", unique=True),
        Index(
            "payment_operations_unsettled_idx",
            "checkout_id",
            postgresql_where=text("status IN ('intended', 'unknown')"),
        ),
        # One charge a checkout: a second successful capture or refund cannot be stored.
        Index(
            "payment_operations_once_key",
            "checkout_id",
            "kind",
            unique=True,
            postgresql_where=text("status = 'succeeded' AND kind IN ('capture', 'refund')"),
        ),
    )

    id: Mapped[BigId]
    checkout_id: Mapped[UUID] = mapped_column(ForeignKey("payments.checkout_id"))
    kind: Mapped[str]
    n: Mapped[Small]
    idempotency_key: Mapped[str] = mapped_column(unique=True)
    amount_minor: Mapped[Minor]
    status: Mapped[str] = mapped_column(server_default=OperationStatus.INTENDED.value)
    fence: Mapped[int]
    leased_until: Mapped[datetime | None]
    attempts: Mapped[Small] = mapped_column(server_default=text("0"))
    code: Mapped[str | None]
    last_error: Mapped[str | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]
