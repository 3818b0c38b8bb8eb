"""Carts as the phases read them: lines with their variant and the price that is valid now."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, text

from models.identifiers import normalize_coupon_code, normalize_customer
from pipeline.carts.resolution import catch_up

# A price in the charge currency precedes one in the shop's own currency, which is converted; of those of one currency
# one with an end precedes the base price, which has none. The sku and title of a variant are the catalog's of now:
# another variant may have got the sku of the cart since its line was resolved.
_LINES: Final = """
    SELECT c.id AS cart_id, c.currency, c.shipping_address, c.billing_address, c.customer, c.coupon_codes, c.tax_id,
           c.tax_id_validated, c.shipping_minor, c.shipping_title, c.shipping_tax_included, c.shipping_taxes,
           l.line, coalesce(v.sku, l.sku) AS sku, l.quantity, l.unit_price_minor, l.currency AS line_currency,
           l.tax_included, l.discounts, l.taxes, coalesce(nullif(l.title, ''), v.title) AS title, v.id AS variant_id,
           v.active, v.category, p.amount_minor AS list_price_minor, p.currency AS list_currency,
           p.tax_included AS list_tax_included, {resolved}
    LEFT JOIN LATERAL (
        SELECT amount_minor, currency, tax_included FROM prices
        WHERE variant_id = v.id AND currency IN (c.currency, :base_currency) AND l.unit_price_minor IS NULL
          AND valid_from <= now() AND (valid_until IS NULL OR valid_until > now())
        ORDER BY currency = c.currency DESC, valid_until IS NULL, valid_from DESC LIMIT 1
    ) p ON true
    WHERE {which}
    ORDER BY c.id, l.line
"""

#: By sku: for the validation of the cart, the only phase that looks a sku up.
BY_SKU: Final = text(
    _LINES.format(
        resolved="""NULL AS checkout_id
    FROM carts c
    LEFT JOIN cart_lines l ON l.cart_id = c.id
    LEFT JOIN variants v ON v.sku = l.sku""",
        which="c.id = ANY(CAST(:ids AS uuid[]))",
    )
)

#: By resolved variant. `checkout_id` is null, except for lines that are not resolved.
BY_RESOLUTION: Final = text(
    _LINES.format(
        resolved="""CASE WHEN l.line IS NOT NULL AND r.line IS NULL THEN k.id END AS checkout_id
    FROM checkouts k
    JOIN carts c ON c.id = k.cart_id
    LEFT JOIN cart_lines l ON l.cart_id = c.id
    LEFT JOIN checkout_lines r ON r.checkout_id = k.id AND r.line = l.line
    LEFT JOIN variants v ON v.id = r.variant_id""",
        which="k.id = ANY(CAST(:ids AS uuid[]))",
    )
)


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
    """One cart with its lines in order; `customer` and `coupon_codes` are normalised."""

    cart_id: UUID
    currency: str
    shipping_address: dict[str, Any] | None
    billing_address: dict[str, Any] | None
    customer: str | None
    coupon_codes: tuple[str, ...]
    tax_id: str | None
    tax_id_validated: dict[str, Any] | None
    shipping_minor: int | None
    shipping_title: str | None
    shipping_tax_included: bool | None
    shipping_taxes: list[dict[str, Any]] | None
    lines: list[Line] = field(default_factory=list)


def load_baskets(connection: Connection, cart_ids: Sequence[UUID], base_currency: str) -> dict[UUID, Basket]:
    """Read these carts, by their ids, in one round trip; each sku is looked up in the catalog."""
    return _read(connection.execute(BY_SKU, {"ids": list(cart_ids), "base_currency": base_currency}))


def load_resolved(connection: Connection, checkout_ids: Sequence[UUID], base_currency: str) -> dict[UUID, Basket]:
    """Read the carts of these checkouts, by the carts' ids, with the variants that their lines were resolved to.

    A line whose variant is lost has none. One round trip, unless an earlier release has validated one of them.
    """
    parameters = {"ids": list(checkout_ids), "base_currency": base_currency}
    rows = connection.execute(BY_RESOLUTION, parameters).all()
    if late := {row.checkout_id for row in rows} - {None}:
        catch_up(connection, sorted(late))
        rows = connection.execute(BY_RESOLUTION, parameters).all()
    return _read(rows)


def _read(rows: Iterable[Row[Any]]) -> dict[UUID, Basket]:
    baskets: dict[UUID, Basket] = {}
    for row in rows:
        basket = baskets.get(row.cart_id)
        if basket is None:
            basket = Basket(
                row.cart_id,
                row.currency,
                row.shipping_address,
                row.billing_address,
                _normalize(normalize_customer, row.customer) or None,
                # A repeated code counts once. A text that cannot be a code becomes '', which no coupon has.
                tuple(dict.fromkeys(_normalize(normalize_coupon_code, code or "") for code in row.coupon_codes)),
                row.tax_id if row.tax_id and row.tax_id.strip() else None,
                row.tax_id_validated,
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


def _normalize(normalizer: Callable[[str], str], name: str | None) -> str:
    """Return a name that may have been written by SQL; '' for one that is no name."""
    try:
        return "" if name is None else normalizer(name)
    except ValueError:
        return ""
