"""Carts as the phases read them: lines with their variant and the price that is valid now."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

# A price in the charge currency wins over one in the shop's own currency, which is converted.
LINES: Final = text("""
    SELECT c.id AS cart_id, c.currency, c.shipping_address, c.billing_address, c.customer, c.coupon_codes, c.tax_id,
           c.shipping_minor, c.shipping_title, c.shipping_tax_included, c.shipping_taxes,
           l.line, l.sku, l.quantity, l.unit_price_minor, l.currency AS line_currency, l.tax_included, l.discounts,
           l.taxes, coalesce(l.title, v.title) AS title, v.id AS variant_id, v.active, v.category,
           p.amount_minor AS list_price_minor, p.currency AS list_currency, p.tax_included AS list_tax_included
    FROM carts c
    LEFT JOIN cart_lines l ON l.cart_id = c.id
    LEFT JOIN variants v ON v.sku = l.sku
    LEFT JOIN LATERAL (
        SELECT amount_minor, currency, tax_included FROM prices
        WHERE variant_id = v.id AND currency IN (c.currency, :base_currency) AND l.unit_price_minor IS NULL
          AND valid_from <= now() AND (valid_until IS NULL OR valid_until > now())
        ORDER BY currency = c.currency DESC, valid_from DESC LIMIT 1
    ) p ON true
    WHERE c.id = ANY(CAST(:cart_ids AS uuid[]))
    ORDER BY c.id, l.line
""")


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `variant_id` is None for a sku that is not in the catalog; `list_price_minor` for one without price."""

    line: int
    sku: str
    quantity: int
    title: str | None
    variant_id: int | None
    active: bool | None
    category: str | None
    unit_price_minor: int | None
    line_currency: str | None
    tax_included: bool | None
    discounts: list[dict[str, Any]] | None
    taxes: list[dict[str, Any]] | None
    list_price_minor: int | None
    list_currency: str | None
    list_tax_included: bool | None

    @property
    def price_minor(self) -> int | None:
        """The external price if the upstream gave one, else the list price (in `list_currency`)."""
        return self.list_price_minor if self.unit_price_minor is None else self.unit_price_minor

    @property
    def price_source(self) -> str:
        """Where the price comes from."""
        return "list" if self.unit_price_minor is None else "external"

    def needs_conversion(self, currency: str) -> bool:
        """Whether its price is in another currency than the cart's."""
        return self.unit_price_minor is None and self.list_currency not in (None, currency)


@dataclass(frozen=True, slots=True)
class Basket:
    """One cart with its lines in order."""

    cart_id: UUID
    currency: str
    shipping_address: dict[str, Any] | None
    billing_address: dict[str, Any] | None
    customer: str | None
    coupon_codes: tuple[str, ...]
    tax_id: str | None
    shipping_minor: int | None
    shipping_title: str | None
    shipping_tax_included: bool | None
    shipping_taxes: list[dict[str, Any]] | None
    lines: list[Line] = field(default_factory=list)


def load_baskets(connection: Connection, cart_ids: Sequence[UUID], base_currency: str) -> dict[UUID, Basket]:
    """Read these carts in one round trip."""
    baskets: dict[UUID, Basket] = {}
    for row in connection.execute(LINES, {"cart_ids": list(cart_ids), "base_currency": base_currency}):
        basket = baskets.get(row.cart_id)
        if basket is None:
            basket = Basket(
                row.cart_id,
                row.currency,
                row.shipping_address,
                row.billing_address,
                row.customer,
                # A code is what a buyer types: case and blanks around it mean nothing, and twice is once.
                tuple(dict.fromkeys((code or "").strip().upper() for code in row.coupon_codes)),
                row.tax_id,
                row.shipping_minor,
                row.shipping_title,
                row.shipping_tax_included,
                row.shipping_taxes,
            )
            baskets[row.cart_id] = basket
        if row.line is not None:
            basket.lines.append(
                Line(
                    row.line,
                    row.sku,
                    row.quantity,
                    row.title,
                    row.variant_id,
                    row.active,
                    row.category,
                    row.unit_price_minor,
                    row.line_currency,
                    row.tax_included,
                    row.discounts,
                    row.taxes,
                    row.list_price_minor,
                    row.list_currency,
                    row.list_tax_included,
                )
            )
    return baskets
