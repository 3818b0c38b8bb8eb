"""Promotions and coupons as a shop's people make them: checked on receipt, listed with their uses, and ended."""

import secrets
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy import Connection, text

from models.identifiers.keys import MAX_COUPON_CODE
from models.money import MAX_MINOR
from models.states import COLUMNS_OF_KIND, PromotionKind
from pipeline.errors import Code, NotFound
from pipeline.field_types.kinds import Category, CouponCode, Currency, FilledText, Sku

#: SKUs and categories that one promotion may name, and coupons that are made or read at once.
MAX_NAMED: Final = 1000
MAX_COUPONS: Final = 100_000
#: Without letters and digits that are mistaken for each other.
ALPHABET: Final = sorted({*string.ascii_uppercase, *string.digits} - {*"ILO01"})
#: 31 ** 8 codes: to guess one of a thousand takes a billion tries.
DRAWN: Final = 8
_MAX_INTEGER: Final = 2**31 - 1

Amount = Annotated[int, Field(gt=0, le=MAX_MINOR, strict=True)]
Uses = Annotated[int, Field(gt=0, le=_MAX_INTEGER, strict=True)]
Prefix = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]*$", max_length=MAX_COUPON_CODE - DRAWN)]

CREATE: Final = text("""
    INSERT INTO promotions (title, kind, percent, amount_minor, currency, minimum_minor, skus, categories, priority,
                            combines, automatic, starts_at, ends_at)
    VALUES (:title, :kind, :percent, :amount_minor, :currency, :minimum_minor, CAST(:skus AS text[]),
            CAST(:categories AS text[]), :priority, :combines, :automatic,
            coalesce(CAST(:starts_at AS timestamptz), now()), :ends_at)
    RETURNING id
""")

LIST: Final = text("""
    SELECT p.*, p.active AND p.starts_at <= now() AND (p.ends_at IS NULL OR p.ends_at > now()) AS is_valid,
           c.coupons, coalesce(c.used, 0) AS used
    FROM promotions p
    LEFT JOIN LATERAL (SELECT count(*) AS coupons, sum(used) AS used FROM coupons WHERE promotion_id = p.id) c ON true
    WHERE (CAST(:id AS bigint) IS NULL OR p.id = :id)
      AND (:every OR p.active AND (p.ends_at IS NULL OR p.ends_at > now()))
    ORDER BY p.id DESC LIMIT :size
""")

END: Final = text("UPDATE promotions SET active = false WHERE id = :id AND active")

ADD_COUPONS: Final = text("""
    INSERT INTO coupons (code, promotion_id, usage_limit, per_customer_limit)
    SELECT code, :promotion_id, :usage_limit, :per_customer_limit
    FROM unnest(CAST(:codes AS text[])) AS given (code) ORDER BY code
    ON CONFLICT (code) DO NOTHING RETURNING code
""")

COUPONS: Final = text("""
    SELECT code, promotion_id, used, usage_limit, per_customer_limit FROM coupons
    WHERE (CAST(:promotion_id AS bigint) IS NULL OR promotion_id = :promotion_id)
      AND (CAST(:code AS text) IS NULL OR code = :code)
    ORDER BY code LIMIT :size
""")


class PromotionForm(BaseModel):
    """A promotion as it shall be. `percent` is of what is left of its lines; amounts are in minor units of `currency`.

    An automatic one applies to every cart that it fits, any other one needs a coupon.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    title: FilledText
    kind: PromotionKind
    percent: Annotated[Decimal, Field(gt=0, le=100, decimal_places=4)] | None = None
    amount_minor: Amount | None = None
    currency: Currency | None = None
    minimum_minor: Annotated[int, Field(ge=0, le=MAX_MINOR, strict=True)] = 0
    skus: Annotated[tuple[Sku, ...], Field(max_length=MAX_NAMED)] = ()
    categories: Annotated[tuple[Category, ...], Field(max_length=MAX_NAMED)] = ()
    priority: Annotated[int, Field(ge=0, le=1_000_000, strict=True)] = 100
    combines: bool = True
    automatic: bool = False
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "PromotionForm":
        for kind, columns in COLUMNS_OF_KIND.items():
            for column in columns:
                if (kind is self.kind) != (getattr(self, column) is not None):
                    raise ValueError(f"{column} belongs to the kind {kind}, and to no other")
        if (self.amount_minor or self.minimum_minor) and self.currency is None:
            raise ValueError("an amount and a minimum need a currency")
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValueError("it ends before it begins")
        return self


class CouponForm(BaseModel):
    """Coupons to add to a promotion. `usage_limit` is for each of them; without one it has no end."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    codes: Annotated[tuple[CouponCode, ...], Field(max_length=MAX_COUPONS)] = ()
    count: Annotated[int, Field(ge=0, le=MAX_COUPONS, strict=True)] = 0
    prefix: Prefix = ""
    usage_limit: Uses | None = None
    per_customer_limit: Uses | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "CouponForm":
        if bool(self.codes) == bool(self.count):
            raise ValueError("name codes, or how many to draw")
        return self


@dataclass(frozen=True, slots=True)
class PromotionView:
    """A promotion with its coupons and their uses. `is_valid`: it applies now."""

    id: int
    title: str
    kind: PromotionKind
    percent: Decimal | None
    amount_minor: int | None
    currency: str | None
    minimum_minor: int
    skus: Sequence[str]
    categories: Sequence[str]
    priority: int
    combines: bool
    automatic: bool
    starts_at: datetime
    ends_at: datetime | None
    active: bool
    is_valid: bool
    coupons: int
    used: int


@dataclass(frozen=True, slots=True)
class CouponView:
    """A coupon and its uses; without a limit it has no end."""

    code: str
    promotion_id: int
    used: int
    usage_limit: int | None
    per_customer_limit: int | None


def create_promotion(connection: Connection, form: PromotionForm) -> int:
    """Create a promotion and return its id."""
    values = form.model_dump() | {"kind": form.kind.value, "skus": list(form.skus), "categories": list(form.categories)}
    made: int = connection.execute(CREATE, values).scalar_one()
    return made


def list_promotions(connection: Connection, *, every: bool = False, limit: int = 100) -> tuple[PromotionView, ...]:
    """Return promotions, newest first: those that have not ended, or every one."""
    rows = connection.execute(LIST, {"id": None, "every": every, "size": limit}).mappings()
    return tuple(_view(row) for row in rows)


def read_promotion(connection: Connection, promotion_id: int) -> PromotionView:
    """Return one promotion; NotFound (PROMOTION_UNKNOWN) if there is none."""
    row = connection.execute(LIST, {"id": promotion_id, "every": True, "size": 1}).mappings().one_or_none()
    if row is None:
        raise NotFound(Code.PROMOTION_UNKNOWN, promotion_id=promotion_id)
    return _view(row)


def end_promotion(connection: Connection, promotion_id: int) -> bool:
    """End a promotion now; False if it was ended before. Checkouts that have their quote keep it."""
    read_promotion(connection, promotion_id)
    return connection.execute(END, {"id": promotion_id}).rowcount == 1


def add_coupons(connection: Connection, promotion_id: int, form: CouponForm) -> list[str]:
    """Add coupons to a promotion and return their codes: those named that are new, or as many drawn ones."""
    read_promotion(connection, promotion_id)
    if form.codes:
        return _add(connection, promotion_id, form, dict.fromkeys(form.codes))
    added: list[str] = []
    while len(added) < form.count:
        drawn = {form.prefix + _draw() for _ in range(form.count - len(added))}
        added += _add(connection, promotion_id, form, drawn)
    return added


def list_coupons(
    connection: Connection, promotion_id: int | None = None, *, code: str | None = None, limit: int = MAX_COUPONS
) -> tuple[CouponView, ...]:
    """Return coupons by code: those of a promotion, or the one with this code."""
    wanted = {"promotion_id": promotion_id, "code": code, "size": limit}
    return tuple(CouponView(**row) for row in connection.execute(COUPONS, wanted).mappings())


def _add(connection: Connection, promotion_id: int, form: CouponForm, codes: Iterable[str]) -> list[str]:
    values = {
        "promotion_id": promotion_id,
        "codes": list(codes),
        "usage_limit": form.usage_limit,
        "per_customer_limit": form.per_customer_limit,
    }
    return list(connection.scalars(ADD_COUPONS, values))


def _draw() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(DRAWN))


def _view(row: Any) -> PromotionView:
    fields = {name: row[name] for name in PromotionView.__dataclass_fields__}
    return PromotionView(**fields | {"kind": PromotionKind(row["kind"])})
