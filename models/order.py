"""The order: written pending from the frozen rows, placed with its number once the payment is captured."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Sequence, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Currency, Json, Minor, Now, one_of
from models.states import OrderState

#: Drawn at `placed`, so that failed checkouts use no number (a crash may).
ORDER_NUMBERS = Sequence("order_numbers", start=1001, metadata=Base.metadata)


class OrderRecord(Base):
    """One order. Invariant 2 is in its unique indexes: one a checkout, one a cart."""

    __tablename__ = "orders"
    __table_args__ = (
        one_of("state", OrderState),
        # One that is cancelled after it was placed keeps its number.
        CheckConstraint(
            "CASE state WHEN 'pending' THEN number IS NULL WHEN 'placed' THEN number IS NOT NULL"
            " ELSE (number IS NULL) = (placed_at IS NULL) END",
            name="number",
        ),
        Index("orders_cart_key", "cart_id", unique=True, postgresql_where=text("state <> 'cancelled'")),
        # For lists, newest first: ids are in time's order.
        Index("orders_owner_id_idx", "owner", "id"),
        Index(
            "orders_owner_cancelled_idx",
            *("owner", "id"),
            postgresql_where=text("state = 'cancelled' AND number IS NOT NULL"),
        ),
        # By name first: operators look in the orders of all owners.
        Index("orders_customer_owner_idx", "customer", "owner", "id", postgresql_where=text("customer IS NOT NULL")),
        Index("orders_reference_owner_idx", "reference", "owner", "id", postgresql_where=text("reference IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    checkout_id: Mapped[UUID] = mapped_column(ForeignKey("checkouts.id"), unique=True)
    cart_id: Mapped[UUID] = mapped_column(ForeignKey("carts.id"))
    number: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    state: Mapped[str] = mapped_column(server_default=OrderState.PENDING.value)
    owner: Mapped[str]
    reference: Mapped[str | None]
    customer: Mapped[str | None]
    currency: Mapped[Currency]
    subtotal_minor: Mapped[Minor]
    discount_minor: Mapped[Minor]
    shipping_minor: Mapped[Minor]
    tax_minor: Mapped[Minor]
    total_minor: Mapped[Minor]
    shipping: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    shipping_address: Mapped[Json]
    billing_address: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[Now]
    placed_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]


class OrderLineRecord(Base):
    """A line of an order, copied from the price lock, never recomputed."""

    __tablename__ = "order_lines"
    __table_args__ = (
        CheckConstraint(
            "quantity > 0 AND "
            "subtotal_minor = unit_price_minor * quantity AND discount_minor BETWEEN 0 AND subtotal_minor"
            " AND tax_minor >= 0"
            " AND total_minor = subtotal_minor - discount_minor + CASE WHEN tax_included THEN 0 ELSE tax_minor END",
            name="total",
        ),
    )

    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), primary_key=True)
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
