"""Checkouts: their lines, idempotency keys and events; and rejected messages."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, PrimaryKeyConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import BY_CHECKOUT, Base, Big, BigId, Currency, Moment, Now, Small, TransactionId, max_length, one_of
from models.limits import MAX_REFERENCE
from models.states import ACTIVE_SQL, ENDINGS, CheckoutState, DueReason

#: A range is 128 kB, some 1,500 events: a minute of a busy shop is a few of them.
BRIN = {"pages_per_range": 16, "autosummarize": "on"}


class CheckoutRecord(Base):
    """A checkout. `phase` counts completed phases; while unwinding, the phases still to undo.

    `fence` rises with every change of direction: a result with an older one is late. `pivot_at` is set with the intent
    to capture: before it the checkout can be undone, after it the engine finishes it. `ending` is the state in which an
    unwind will end. `sent_at` is when its message was last sent, `due_at` when the sweep may act, `due_reason` why.
    `attempts` counts delivered runs that committed nothing, and undos that failed. `line_count` is the number of lines
    of its cart, its weight in a batch. `failure_*` say why it unwinds, `review` what an operator must settle.
    """

    __tablename__ = "checkouts"
    __table_args__ = (
        one_of("state", CheckoutState),
        one_of("due_reason", DueReason),
        one_of("ending", ENDINGS),
        CheckConstraint("phase >= 0", name="phase"),
        CheckConstraint("state <> 'completed' OR phase > 0", name="completed"),
        CheckConstraint("state NOT IN ('failed', 'cancelled', 'expired') OR phase = 0", name="undone"),
        CheckConstraint("(ended_at IS NULL) = (state IN (" + ACTIVE_SQL + "))", name="ended"),
        CheckConstraint("(due_at IS NULL) = (due_reason IS NULL)", name="due"),
        CheckConstraint("line_count >= 0", name="line_count"),
        CheckConstraint("(review IS NOT NULL) = (state = 'needs_review')", name="review"),
        max_length("owner", MAX_REFERENCE),
        max_length("reference", MAX_REFERENCE),
        # Invariant 2: a cart has one active checkout.
        Index("checkouts_active_cart_key", "cart_id", unique=True, postgresql_where=text(f"state IN ({ACTIVE_SQL})")),
        Index("checkouts_cart_id_idx", "cart_id"),
        # For the sweep: active rows only, so that ten million ended checkouts cost it nothing.
        Index("checkouts_stalled_idx", "state", "phase", "sent_at", postgresql_where=text("due_reason = 'stalled'")),
        Index("checkouts_scheduled_idx", "due_at", postgresql_where=text("due_reason = 'scheduled'")),
        Index(
            "checkouts_expiring_idx",
            "expires_at",
            postgresql_where=text("pivot_at IS NULL AND state IN ('running', 'awaiting_payment', 'action_required')"),
        ),
        Index("checkouts_ended_at_idx", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
        # For lists, newest first: ids are in time's order.
        Index("checkouts_state_id_idx", "state", "id"),
        Index("checkouts_owner_id_idx", "owner", "id"),
        {"postgresql_with": {"fillfactor": 70}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    cart_id: Mapped[UUID] = mapped_column(ForeignKey("carts.id"))
    owner: Mapped[str]
    reference: Mapped[str | None]
    currency: Mapped[Currency]
    line_count: Mapped[int] = mapped_column(server_default=text("1"))
    state: Mapped[str] = mapped_column(server_default=CheckoutState.RUNNING.value)
    phase: Mapped[Small] = mapped_column(server_default=text("0"))
    fence: Mapped[int] = mapped_column(server_default=text("0"))
    straight_through: Mapped[bool]
    payment_given: Mapped[bool] = mapped_column(server_default=text("false"))
    expected_total_minor: Mapped[int | None] = mapped_column(BigInteger)
    expected_hash: Mapped[str | None]
    expected_lines: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    expires_at: Mapped[Moment]
    pivot_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    due_reason: Mapped[str | None]
    attempts: Mapped[Small] = mapped_column(server_default=text("0"))
    last_error: Mapped[str | None]
    ending: Mapped[str | None]
    failure_code: Mapped[str | None]
    failure_phase: Mapped[str | None]
    failure_message: Mapped[str | None]
    failure_detail: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    review: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[Now]
    updated_at: Mapped[Now]
    ended_at: Mapped[datetime | None]


class CheckoutLineRecord(Base):
    """Which variant a line of a checkout is: decided once, by the first phase, and never again.

    Every later phase uses it. A sku is looked up nowhere else: another variant may get it at any moment.
    `variant_id` is not a foreign key: it would lock the variant's row in each checkout, and a variant with a
    reservation cannot be deleted anyway.
    """

    __tablename__ = "checkout_lines"

    checkout_id: Mapped[UUID] = mapped_column(ForeignKey("checkouts.id"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    variant_id: Mapped[Big]


class IdempotencyKeyRecord(Base):
    """An idempotency key of an owner. It is kept for ever: a message can be redelivered after any number of days."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (max_length("key", MAX_REFERENCE), Index(None, "checkout_id"))

    owner: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    action: Mapped[str]
    fingerprint: Mapped[str]
    checkout_id: Mapped[UUID] = mapped_column(ForeignKey("checkouts.id"))
    created_at: Mapped[Now]


class EventRecord(Base):
    """One thing that happened to a checkout. The table is the audit trail: append-only."""

    __tablename__ = "events"
    __table_args__ = (
        # By checkout first: the partitions are those of its month, and a checkout's events are in their order.
        PrimaryKeyConstraint("checkout_id", "id"),
        # For the monitor: what the sweep redelivered. A healthy engine writes no such row.
        Index("events_redelivered_idx", "at", postgresql_where=text("kind = 'sweep.redelivered'")),
        # For rates of the last minute. Rows come in time's order, so that this index is some pages for millions.
        # For the feed of an owner. By transaction: an id can commit after a higher one, a transaction below the oldest
        # running one cannot.
        Index("events_feed_idx", "owner", "transaction_id", "id"),
        Index("events_at_idx", "at", postgresql_using="brin", postgresql_with=BRIN),
        {"postgresql_partition_by": BY_CHECKOUT},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    checkout_id: Mapped[UUID] = mapped_column(ForeignKey("checkouts.id"))
    kind: Mapped[str]
    phase: Mapped[str | None]
    data: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    at: Mapped[Now]
    owner: Mapped[str]
    transaction_id: Mapped[str] = mapped_column(TransactionId, server_default=text("pg_current_xact_id()"))


class RejectedMessageRecord(Base):
    """A message that no actor can accept, with the reason, for an operator."""

    __tablename__ = "rejected_messages"

    id: Mapped[BigId]
    queue: Mapped[str]
    body: Mapped[str]
    code: Mapped[str]
    message: Mapped[str]
    received_at: Mapped[Now] = mapped_column(index=True)
