"""Variants, their prices, and their stock: levels, ledger and reservations."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.base import BY_CHECKOUT, Base, Big, BigId, Currency, Minor, Now, max_length, one_of
from models.states import MovementKind, ReservationState


class VariantRecord(Base):
    """One sellable thing. `backorder_policy` says whether it may be sold beyond what is on hand.

    A trigger normalises `sku` and `category` (models/identifiers/) and writes `look_alike`, which is equal for skus
    that can be confused.
    """

    __tablename__ = "variants"
    __table_args__ = (
        CheckConstraint("backorder_policy IN ('deny', 'continue')", name="backorder_policy"),
        max_length("sku", 255),
        CheckConstraint("sku <> ''", name="sku"),
        max_length("title", 1000),
        Index(None, "look_alike"),
    )

    id: Mapped[BigId]
    sku: Mapped[str] = mapped_column(unique=True)
    look_alike: Mapped[str]
    title: Mapped[str]
    category: Mapped[str | None]
    backorder_policy: Mapped[str] = mapped_column(server_default="deny")
    active: Mapped[bool] = mapped_column(server_default=text("true"))


class DerivedSkuRecord(Base):
    """Which variant stands for a handle and options whose sku was derived from them.

    By the variant's id: a renamed variant keeps its sku. `digest` is of handle and options, in one form.
    """

    __tablename__ = "derived_skus"
    __table_args__ = (CheckConstraint("digest ~ '^[0-9a-f]{64}$'", name="digest"), max_length("handle", 255))

    digest: Mapped[str] = mapped_column(primary_key=True)
    handle: Mapped[str]
    options: Mapped[list[str]] = mapped_column(ARRAY(Text))
    variant_id: Mapped[int] = mapped_column(ForeignKey("variants.id", ondelete="CASCADE"), unique=True)
    created_at: Mapped[Now]


class PriceRecord(Base):
    """A list price, valid from `valid_from` until before `valid_until`.

    Of the valid rows, one with an end precedes the base price, which has none; of two alike, the one that began later.
    """

    __tablename__ = "prices"
    __table_args__ = (
        CheckConstraint("amount_minor >= 0", name="amount"),
        CheckConstraint("valid_until > valid_from", name="range"),
        Index(None, "variant_id", "currency", "valid_from", unique=True),
    )

    id: Mapped[BigId]
    variant_id: Mapped[int] = mapped_column(ForeignKey("variants.id", ondelete="CASCADE"))
    currency: Mapped[Currency]
    amount_minor: Mapped[Minor]
    tax_included: Mapped[bool] = mapped_column(server_default=text("true"))
    valid_from: Mapped[Now]
    valid_until: Mapped[datetime | None]


class LocationRecord(Base):
    """A place with stock. A trigger normalises `code`: `Main` and `main` are one."""

    __tablename__ = "locations"
    __table_args__ = (CheckConstraint("code <> ''", name="code"),)

    id: Mapped[BigId]
    code: Mapped[str] = mapped_column(unique=True)


class StockLevelRecord(Base):
    """Units of a variant at a location. The check is invariant 1: never more units reserved than on hand.

    `backorderable` is copied from the variant's policy when stock is set, so that the check needs no other table.
    """

    __tablename__ = "stock_levels"
    __table_args__ = (
        CheckConstraint("reserved >= 0 AND (backorderable OR reserved <= on_hand)", name="no_oversell"),
        # Every sale rewrites the row: room on the page keeps the update in place (HOT) and the indexes untouched.
        {"postgresql_with": {"fillfactor": 50}},
    )

    variant_id: Mapped[int] = mapped_column(ForeignKey("variants.id"), primary_key=True)
    location_id: Mapped[int] = mapped_column(ForeignKey("locations.id"), primary_key=True)
    on_hand: Mapped[Minor]
    reserved: Mapped[Minor] = mapped_column(server_default=text("0"))
    backorderable: Mapped[bool] = mapped_column(server_default=text("false"))


class StockMovementRecord(Base):
    """Append-only ledger: on_hand = sum(receive, adjust, restock, sell, balance); reserved = the rest, and sell.

    A `balance` is the sum of what was sold in a month whose movements are detached. `change_id` is the order change of
    a restock, or the batch of the catalog (models/catalog_change.py) of what was set by hand.
    """

    __tablename__ = "stock_movements"
    __mapper_args__ = {"primary_key": ["id"]}  # noqa: RUF012 (read by SQLAlchemy)
    __table_args__ = (
        one_of("kind", MovementKind),
        CheckConstraint(
            "quantity <> 0 AND CASE kind WHEN 'receive' THEN quantity > 0 WHEN 'reserve' THEN quantity > 0"
            " WHEN 'restock' THEN quantity > 0"
            " WHEN 'release' THEN quantity < 0 WHEN 'sell' THEN quantity < 0 ELSE true END",
            name="sign",
        ),
        CheckConstraint(
            "(checkout_id IS NULL) = (kind IN ('receive', 'adjust', 'balance', 'restock'))", name="checkout"
        ),
        CheckConstraint(
            "CASE kind WHEN 'restock' THEN change_id IS NOT NULL WHEN 'receive' THEN true WHEN 'adjust' THEN true"
            " ELSE change_id IS NULL END",
            name="change",
        ),
        ForeignKeyConstraint(["variant_id", "location_id"], ["stock_levels.variant_id", "stock_levels.location_id"]),
        # Not a primary key, which has no column that may be null.
        UniqueConstraint("checkout_id", "id", postgresql_nulls_not_distinct=True),
        Index(None, "variant_id", "location_id"),
        # A change restocks once, however often it is run.
        Index(
            "stock_movements_restock_key",
            *("checkout_id", "change_id", "variant_id", "location_id"),
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("kind = 'restock'"),
        ),
        {"postgresql_partition_by": BY_CHECKOUT},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    variant_id: Mapped[Big]
    location_id: Mapped[Big]
    kind: Mapped[str]
    quantity: Mapped[Minor]
    checkout_id: Mapped[UUID | None] = mapped_column(ForeignKey("checkouts.id"))
    at: Mapped[Now]
    change_id: Mapped[UUID | None]


class ReservationRecord(Base):
    """Units held for one line at one location. A line may be split over locations."""

    __tablename__ = "reservations"
    __table_args__ = (
        one_of("state", ReservationState),
        CheckConstraint("quantity > 0", name="quantity"),
        ForeignKeyConstraint(["variant_id", "location_id"], ["stock_levels.variant_id", "stock_levels.location_id"]),
        Index(None, "checkout_id", "line", "location_id", unique=True),
        # By checkout: with another column, a plan made while few rows were held would read the whole index.
        Index("reservations_held_checkout_idx", "checkout_id", postgresql_where=text("state = 'held'")),
    )

    id: Mapped[BigId]
    checkout_id: Mapped[UUID] = mapped_column(ForeignKey("checkouts.id"))
    line: Mapped[int]
    variant_id: Mapped[Big]
    location_id: Mapped[Big]
    quantity: Mapped[int]
    state: Mapped[str] = mapped_column(server_default=ReservationState.HELD.value)
