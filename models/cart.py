"""Carts and their lines. A cart is read-only while it has an active checkout (migrations/sql/0001/guards.sql)."""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Currency, Now, max_length, one_of
from models.states import CartState


class CartRecord(Base):
    """A cart. Upstreams write it, with the functions of the engine or with SQL of their own.

    `owner` made it over HTTP or by a request: no other owner sees, edits or buys it. Null: any owner may.
    Every start raises `lock_version`: an editor whose snapshot is older than the cart lock, and cannot see it, then
    fails to serialise (40001) and changes no locked cart. `tax_id_validated` says which source confirmed that the tax
    id is the buyer's, and when: {"source", "at"}; without it the id changes no tax.
    """

    __tablename__ = "carts"
    __table_args__ = (
        one_of("state", CartState),
        max_length("owner", 255),
        CheckConstraint("tax_id IS NOT NULL OR tax_id_validated IS NULL", name="tax_id_validated"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner: Mapped[str | None]
    currency: Mapped[Currency]
    state: Mapped[str] = mapped_column(server_default=CartState.OPEN.value)
    shipping_address: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    billing_address: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    customer: Mapped[str | None]
    coupon_codes: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    tax_id: Mapped[str | None]
    tax_id_validated: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    shipping_minor: Mapped[int | None] = mapped_column(BigInteger)
    shipping_title: Mapped[str | None]
    shipping_tax_included: Mapped[bool | None]
    shipping_taxes: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)
    lock_version: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class CartLineRecord(Base):
    """A line of a cart.

    It may have a quantity or a sku that cannot be sold: the validation of the cart says so in plain words.
    `unit_price_minor` is an external price, set by an upstream that prices on its own; without it the price list
    decides. `currency` is that price's; null means the cart's. `discounts` and `taxes` are the upstream's own; null
    means that the engine's apply.
    """

    __tablename__ = "cart_lines"
    __table_args__ = (max_length("sku", 255), max_length("title", 1000))

    cart_id: Mapped[UUID] = mapped_column(ForeignKey("carts.id", ondelete="CASCADE"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sku: Mapped[str]
    quantity: Mapped[int]
    unit_price_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None]
    title: Mapped[str | None]
    tax_included: Mapped[bool | None]
    discounts: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)
    taxes: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)
