"""What decides a price beside the price list: promotions and their coupons, taxes, exchange rates."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Numeric, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, CHAR
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, Currency, Minor, Now, max_length, one_of
from models.states import PromotionKind


class PromotionRecord(Base):
    """A discount: automatic, or brought by a coupon. What it does is in pipeline/pricing/promotions/.

    A trigger normalises `skus` and `categories`.
    `minimum_minor` is in `currency`, or in the shop's own without one; for carts in another it is converted.
    """

    __tablename__ = "promotions"
    __table_args__ = (
        CheckConstraint("percent BETWEEN 0 AND 100", name="percent"),
        CheckConstraint("amount_minor >= 0 AND minimum_minor >= 0", name="amounts"),
        one_of("kind", PromotionKind),
        CheckConstraint(
            "CASE kind WHEN 'percentage' THEN percent IS NOT NULL"
            " WHEN 'fixed_amount' THEN amount_minor IS NOT NULL AND currency IS NOT NULL ELSE true END",
            name="columns",
        ),
        max_length("title", 1000),
        Index("promotions_automatic_idx", "id", postgresql_where=text("automatic AND active")),
    )

    id: Mapped[BigId]
    title: Mapped[str]
    kind: Mapped[str]
    percent: Mapped[Decimal | None] = mapped_column(Numeric(7, 4))
    amount_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None] = mapped_column(CHAR(3))
    minimum_minor: Mapped[Minor] = mapped_column(server_default=text("0"))
    skus: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    categories: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    priority: Mapped[int] = mapped_column(server_default=text("100"))
    combines: Mapped[bool] = mapped_column(server_default=text("true"))
    automatic: Mapped[bool] = mapped_column(server_default=text("false"))
    starts_at: Mapped[Now]
    ends_at: Mapped[datetime | None]
    active: Mapped[bool] = mapped_column(server_default=text("true"))


class CouponRecord(Base):
    """A code that brings a promotion. Its last use is as scarce as the last unit: the check is the guard.

    A trigger normalises `code`, and the customer of its redemptions, as the engine does before it reads them.
    """

    __tablename__ = "coupons"
    __table_args__ = (
        CheckConstraint("used >= 0 AND (usage_limit IS NULL OR used <= usage_limit)", name="used"),
        CheckConstraint("code <> ''", name="code"),
        max_length("code", 100),
    )

    code: Mapped[str] = mapped_column(primary_key=True)
    promotion_id: Mapped[int] = mapped_column(ForeignKey("promotions.id"))
    usage_limit: Mapped[int | None]
    per_customer_limit: Mapped[int | None]
    used: Mapped[int] = mapped_column(server_default=text("0"))


class RedemptionRecord(Base):
    """One use of a coupon, written with the price lock; `returned_at` when its checkout was undone.

    A checkout uses a promotion once, whatever codes bring it.
    """

    __tablename__ = "redemptions"
    __table_args__ = (
        Index("redemptions_promotion_key", "checkout_id", "promotion_id", unique=True),
        Index(
            "redemptions_customer_idx",
            "code",
            "customer",
            postgresql_where=text("returned_at IS NULL AND customer IS NOT NULL"),
        ),
    )

    checkout_id: Mapped[UUID] = mapped_column(ForeignKey("checkouts.id"), primary_key=True)
    code: Mapped[str] = mapped_column(ForeignKey("coupons.code"), primary_key=True)
    #: That of the coupon, which is locked: a foreign key would lock the promotion's row at every use of its codes.
    promotion_id: Mapped[int | None] = mapped_column(BigInteger)
    customer: Mapped[str | None]
    redeemed_at: Mapped[Now]
    returned_at: Mapped[datetime | None]


class TaxRateRecord(Base):
    """A tax by country, region and category. Null region or category: every one without a rate of its own.

    `region` is a code of ISO 3166-2 without its country. A trigger normalises `category` and `name`, and writes
    `name_key`, by which taxes are one: two spellings of a name do not add up.
    """

    __tablename__ = "tax_rates"
    __table_args__ = (
        CheckConstraint("rate >= 0", name="rate"),
        CheckConstraint("valid_until > valid_from", name="range"),
        CheckConstraint("country ~ '^[A-Z]{2}$' COLLATE \"C\"", name="country"),
        CheckConstraint("region ~ '^[A-Z0-9]{1,3}$' COLLATE \"C\"", name="region"),
        CheckConstraint("name <> ''", name="name"),
        # Two rows of one kind and day would both be charged.
        Index(
            "tax_rates_once_key",
            "country",
            "region",
            "category",
            "name_key",
            "valid_from",
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
    )

    id: Mapped[BigId]
    country: Mapped[str] = mapped_column(CHAR(2))
    region: Mapped[str | None]
    category: Mapped[str | None]
    name: Mapped[str]
    name_key: Mapped[str]
    rate: Mapped[Decimal] = mapped_column(Numeric(9, 6))
    on_shipping: Mapped[bool] = mapped_column(server_default=text("true"))
    reverse_charge: Mapped[bool] = mapped_column(server_default=text("false"))
    valid_from: Mapped[Now]
    valid_until: Mapped[datetime | None]


class ExchangeRateRecord(Base):
    """One unit of `base` was `rate` units of `quote` at `observed_at`, says `source`."""

    __tablename__ = "exchange_rates"
    __table_args__ = (
        CheckConstraint("rate > 0", name="rate"),
        Index(None, "base", "quote", "source", "observed_at", unique=True),
        # The newest of all: health and the monitor read it every few seconds.
        Index(None, "observed_at"),
    )

    id: Mapped[BigId]
    base: Mapped[Currency]
    quote: Mapped[Currency]
    rate: Mapped[Decimal] = mapped_column(Numeric(20, 10))
    source: Mapped[str]
    observed_at: Mapped[datetime]
    created_at: Mapped[Now]
