"""Price locks: the frozen amounts of a checkout and of its lines."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.dialects.postgresql import CHAR, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Currency, Json, Minor, Now


class PriceLockRecord(Base):
    """The frozen amounts of one checkout. Never changed; only `voided_at` may be set, once."""

    __tablename__ = "price_locks"
    __table_args__ = (CheckConstraint("total_minor >= 0", name="total"),)

    checkout_id: Mapped[UUID] = mapped_column(ForeignKey("checkouts.id"), primary_key=True)
    currency: Mapped[Currency]
    subtotal_minor: Mapped[Minor]
    discount_minor: Mapped[Minor]
    shipping_minor: Mapped[Minor]
    tax_minor: Mapped[Minor]
    total_minor: Mapped[Minor]
    shipping: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    base_currency: Mapped[str | None] = mapped_column(CHAR(3))
    exchange_rate: Mapped[str | None]
    exchange_source: Mapped[str | None]
    exchange_at: Mapped[str | None]
    tax_id: Mapped[str | None]
    tax_id_validated: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    rounding: Mapped[str]
    shipping_address: Mapped[Json]
    billing_address: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    hash: Mapped[str]
    locked_at: Mapped[Now]
    voided_at: Mapped[datetime | None]


class PriceLockLineRecord(Base):
    """One frozen line. `price_source` is `list` (our price list) or `external` (the upstream's own)."""

    __tablename__ = "price_lock_lines"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint(
            "unit_price_minor >= 0 AND "
            "subtotal_minor = unit_price_minor * quantity AND discount_minor BETWEEN 0 AND subtotal_minor"
            " AND tax_minor >= 0"
            " AND total_minor = subtotal_minor - discount_minor + CASE WHEN tax_included THEN 0 ELSE tax_minor END",
            name="total",
        ),
        CheckConstraint("price_source IN ('list', 'external')", name="price_source"),
    )

    checkout_id: Mapped[UUID] = mapped_column(ForeignKey("price_locks.checkout_id"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    variant_id: Mapped[int] = mapped_column(ForeignKey("variants.id"))
    sku: Mapped[str]
    title: Mapped[str]
    quantity: Mapped[int]
    unit_price_minor: Mapped[Minor]
    tax_included: Mapped[bool]
    subtotal_minor: Mapped[Minor]
    discount_minor: Mapped[Minor]
    tax_minor: Mapped[Minor]
    total_minor: Mapped[Minor]
    discounts: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    taxes: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    price_source: Mapped[str]
