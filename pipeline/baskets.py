"""Carts as the phases read them: lines with their variant and the price that is valid now."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

LINES: Final = text("""
    SELECT c.id AS cart_id, c.currency, c.shipping_address, c.billing_address,
           l.line, l.sku, l.quantity, l.unit_price_minor, l.currency AS line_currency,
           coalesce(l.title, v.title) AS title, v.id AS variant_id, v.active, p.amount_minor AS list_price_minor
    FROM carts c
    LEFT JOIN cart_lines l ON l.cart_id = c.id
    LEFT JOIN variants v ON v.sku = l.sku
    LEFT JOIN LATERAL (
        SELECT amount_minor FROM prices
        WHERE variant_id = v.id AND currency = c.currency AND l.unit_price_minor IS NULL
          AND valid_from <= now() AND (valid_until IS NULL OR valid_until > now())
        ORDER BY valid_from DESC LIMIT 1
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
    unit_price_minor: int | None
    line_currency: str | None
    list_price_minor: int | None

    @property
    def price_minor(self) -> int | None:
        """The external price if the upstream gave one, else the list price."""
        return self.list_price_minor if self.unit_price_minor is None else self.unit_price_minor

    @property
    def price_source(self) -> str:
        """Where the price comes from."""
        return "list" if self.unit_price_minor is None else "external"


@dataclass(frozen=True, slots=True)
class Basket:
    """One cart with its lines in order."""

    cart_id: UUID
    currency: str
    shipping_address: dict[str, Any] | None
    billing_address: dict[str, Any] | None
    lines: list[Line] = field(default_factory=list)


def load_baskets(connection: Connection, cart_ids: Sequence[UUID]) -> dict[UUID, Basket]:
    """Read these carts in one round trip."""
    baskets: dict[UUID, Basket] = {}
    for row in connection.execute(LINES, {"cart_ids": list(cart_ids)}):
        basket = baskets.get(row.cart_id)
        if basket is None:
            basket = Basket(row.cart_id, row.currency, row.shipping_address, row.billing_address)
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
                    row.unit_price_minor,
                    row.line_currency,
                    row.list_price_minor,
                )
            )
    return baskets
