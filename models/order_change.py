"""What happens to an order after it was placed: its changes, their lines, and the refunds at the provider."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, Minor, Now, Small, max_length, one_of
from models.limits import MAX_REASON, MAX_REFERENCE
from models.states import ChangeKind, ChangeState, LinePurpose, RefundStatus


class OrderChangeRecord(Base):
    """One change of a placed order. Rows are never removed; what was asked for never changes.

    Changes of one order are worked on one at a time, in the order of their ids (UUIDv7). `amount_minor` is what a
    refund or a cancel pays back, or what is disputed; `delivery_minor` is the part of it that is for the delivery.
    `actor` asked for it: `key:<id>`, `operator:<name>` or `provider`. `idempotency_key` is the request's; the
    provider's changes have the `reference` of its own object instead. `options` are facts of the request (carrier,
    tracking, restock or not), `outcome` facts of the end (code, message, state of the dispute). `sent_at` is when its
    message was last sent, `due_at` when the sweep may send it again.
    """

    __tablename__ = "order_changes"
    __table_args__ = (
        one_of("kind", ChangeKind),
        one_of("state", ChangeState),
        # Zero: of a cancel when all is refunded already, and of units whose share of their line rounds to nothing.
        CheckConstraint(
            "(amount_minor > 0 OR amount_minor = 0 AND kind IN ('cancel', 'refund'))"
            " AND delivery_minor BETWEEN 0 AND amount_minor",
            name="amount",
        ),
        CheckConstraint("(amount_minor IS NOT NULL) = (kind IN ('refund', 'cancel', 'dispute'))", name="amount_given"),
        CheckConstraint("(idempotency_key IS NULL) = (fingerprint IS NULL)", name="key"),
        CheckConstraint("(ended_at IS NOT NULL) = (state IN ('done', 'failed'))", name="ended"),
        CheckConstraint("due_at IS NULL OR state IN ('requested', 'running')", name="due"),
        max_length("owner", MAX_REFERENCE),
        max_length("actor", MAX_REFERENCE),
        max_length("idempotency_key", MAX_REFERENCE),
        max_length("reason", MAX_REASON),
        Index(None, "owner", "idempotency_key", unique=True, postgresql_where=text("idempotency_key IS NOT NULL")),
        Index(None, "reference", unique=True, postgresql_where=text("reference IS NOT NULL")),
        Index(None, "order_id", "id"),
        Index("order_changes_due_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("order_changes_review_idx", "id", postgresql_where=text("state = 'needs_review'")),
        Index("order_changes_dispute_idx", "id", postgresql_where=text("kind = 'dispute' AND state = 'running'")),
        Index("order_changes_ended_idx", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
        # An order is cancelled once.
        Index(
            "order_changes_cancel_key",
            "order_id",
            unique=True,
            postgresql_where=text("kind = 'cancel' AND state <> 'failed'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"))
    checkout_id: Mapped[UUID] = mapped_column(ForeignKey("checkouts.id"))
    owner: Mapped[str]
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=ChangeState.REQUESTED.value)
    amount_minor: Mapped[int | None] = mapped_column(BigInteger)
    delivery_minor: Mapped[Minor] = mapped_column(server_default=text("0"))
    reason: Mapped[str] = mapped_column(server_default="")
    actor: Mapped[str]
    idempotency_key: Mapped[str | None]
    fingerprint: Mapped[str | None]
    reference: Mapped[str | None]
    options: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    outcome: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    attempts: Mapped[Small] = mapped_column(server_default=text("0"))
    last_error: Mapped[str | None]
    sent_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]
    ended_at: Mapped[datetime | None]


class OrderChangeLineRecord(Base):
    """Units of one line of the order in a change. A restock has the location, a fulfillment may have one.

    A trigger bounds the units that are not of failed changes: of a line what was ordered, of a restock what was sold at
    its location. `amount_minor` is what is refunded for them.
    """

    __tablename__ = "order_change_lines"
    __table_args__ = (
        one_of("purpose", LinePurpose),
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint("amount_minor >= 0 AND (purpose = 'refund' OR amount_minor = 0)", name="amount"),
        CheckConstraint("purpose <> 'restock' OR location_id IS NOT NULL", name="location"),
        Index(
            "order_change_lines_key",
            *("change_id", "purpose", "line", "location_id"),
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
    )

    id: Mapped[BigId]
    change_id: Mapped[UUID] = mapped_column(ForeignKey("order_changes.id"))
    purpose: Mapped[str]
    line: Mapped[int]
    location_id: Mapped[int | None] = mapped_column(ForeignKey("locations.id"))
    quantity: Mapped[int]
    amount_minor: Mapped[Minor] = mapped_column(server_default=text("0"))


class RefundRecord(Base):
    """One refund of a part of a captured payment, from its intent on.

    The key names the intent (`<checkout>:refund_amount:<n>`): a repeat keeps it. A refund that was made at the provider
    has none, only the provider's `reference`. What is intended, unknown or succeeded is never more than what was
    captured: a trigger adds it up. One refund of a change is not settled at a time.
    """

    __tablename__ = "refunds"
    __table_args__ = (
        one_of("status", RefundStatus),
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint("idempotency_key IS NOT NULL OR reference IS NOT NULL", name="named"),
        Index(None, "checkout_id", "n", unique=True),
        Index(
            "refunds_unsettled_key",
            "change_id",
            unique=True,
            postgresql_where=text("status IN ('intended', 'unknown')"),
        ),
        Index(None, "change_id"),
    )

    id: Mapped[BigId]
    change_id: Mapped[UUID] = mapped_column(ForeignKey("order_changes.id"))
    checkout_id: Mapped[UUID] = mapped_column(ForeignKey("payments.checkout_id"))
    n: Mapped[Small]
    idempotency_key: Mapped[str | None] = mapped_column(unique=True)
    amount_minor: Mapped[Minor]
    status: Mapped[str] = mapped_column(server_default=RefundStatus.INTENDED.value)
    reference: Mapped[str | None] = mapped_column(unique=True)
    leased_until: Mapped[datetime | None]
    attempts: Mapped[Small] = mapped_column(server_default=text("0"))
    code: Mapped[str | None]
    last_error: Mapped[str | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]
