"""Carts that upstreams send whole. Upstreams with SQL of their own write the tables directly."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Connection, text

from pipeline.carts.cart_input import Cart, TaxIdValidation

# One array for each column. That of the coupons has JSON: an array of arrays of several lengths does not exist.
_GIVEN: Final = """
    SELECT id, owner, currency, CAST(shipping_address AS jsonb) AS shipping_address,
           CAST(billing_address AS jsonb) AS billing_address, customer,
           ARRAY(SELECT jsonb_array_elements_text(CAST(coupon_codes AS jsonb))) AS coupon_codes, tax_id,
           CAST(tax_id_validated AS jsonb) AS tax_id_validated, shipping_minor, shipping_title, shipping_tax_included,
           CAST(shipping_taxes AS jsonb) AS shipping_taxes
    FROM unnest(CAST(:ids AS uuid[]), CAST(:owners AS text[]), CAST(:currencies AS text[]),
                CAST(:shipping_addresses AS text[]), CAST(:billing_addresses AS text[]), CAST(:customers AS text[]),
                CAST(:coupon_codes AS text[]), CAST(:tax_ids AS text[]), CAST(:tax_ids_validated AS text[]),
                CAST(:shipping_minors AS bigint[]), CAST(:shipping_titles AS text[]),
                CAST(:shipping_taxes_included AS boolean[]), CAST(:shipping_taxes AS text[]))
         AS sent (id, owner, currency, shipping_address, billing_address, customer, coupon_codes, tax_id,
                  tax_id_validated, shipping_minor, shipping_title, shipping_tax_included, shipping_taxes)
"""

CREATE: Final = text(f"""
    INSERT INTO carts (id, owner, currency, shipping_address, billing_address, customer, coupon_codes, tax_id,
                       tax_id_validated, shipping_minor, shipping_title, shipping_tax_included, shipping_taxes)
    {_GIVEN} ORDER BY id ON CONFLICT (id) DO NOTHING RETURNING id
""")

UPDATE: Final = text(f"""
    UPDATE carts c
    SET currency = g.currency, shipping_address = g.shipping_address, billing_address = g.billing_address,
        customer = g.customer, coupon_codes = g.coupon_codes, tax_id = g.tax_id, tax_id_validated = g.tax_id_validated,
        shipping_minor = g.shipping_minor, shipping_title = g.shipping_title,
        shipping_tax_included = g.shipping_tax_included, shipping_taxes = g.shipping_taxes, updated_at = now()
    FROM ({_GIVEN}) AS g WHERE c.id = g.id
""")

CLEAR: Final = text("DELETE FROM cart_lines WHERE cart_id = ANY(CAST(:ids AS uuid[]))")

FILL: Final = text("""
    INSERT INTO cart_lines (cart_id, line, sku, quantity, unit_price_minor, currency, title, tax_included, discounts,
                            taxes)
    SELECT cart_id, line, sku, quantity, price, currency, title, tax_included, CAST(discounts AS jsonb),
           CAST(taxes AS jsonb)
    FROM unnest(CAST(:cart_ids AS uuid[]), CAST(:lines AS integer[]), CAST(:skus AS text[]),
                CAST(:quantities AS integer[]), CAST(:prices AS bigint[]), CAST(:currencies AS text[]),
                CAST(:titles AS text[]), CAST(:tax_included AS boolean[]), CAST(:discounts AS text[]),
                CAST(:taxes AS text[]))
         AS given (cart_id, line, sku, quantity, price, currency, title, tax_included, discounts, taxes)
""")


@dataclass(frozen=True, slots=True)
class GivenCart:
    """A cart as its owner sent it. `validated`: what is known of its tax id."""

    owner: str
    cart: Cart
    validated: TaxIdValidation | None = None


def create_carts(connection: Connection, given: Sequence[GivenCart]) -> set[UUID]:
    """Write those of these carts that do not exist, whole, and return their ids: their rows are locked.

    Each id is given once.
    """
    if not given:
        return set()
    created = set(connection.execute(CREATE, _bind(given)).scalars())
    _fill(connection, [each.cart for each in given if each.cart.id in created])
    return created


def replace_carts(connection: Connection, given: Sequence[GivenCart]) -> None:
    """Replace the content of these carts, and not their owners.

    Their rows must be locked, and they may have no active checkout (a trigger checks).
    """
    if given:
        connection.execute(UPDATE, _bind(given))
        connection.execute(CLEAR, {"ids": [each.cart.id for each in given]})
        _fill(connection, [each.cart for each in given])


def _bind(given: Sequence[GivenCart]) -> dict[str, Any]:
    carts = [each.cart for each in given]
    return {
        "ids": [cart.id for cart in carts],
        "owners": [each.owner for each in given],
        "currencies": [cart.currency for cart in carts],
        "shipping_addresses": [_json(cart.shipping_address) for cart in carts],
        "billing_addresses": [_json(cart.billing_address) for cart in carts],
        "customers": [cart.customer for cart in carts],
        "coupon_codes": [json.dumps(cart.coupon_codes) for cart in carts],
        "tax_ids": [cart.tax_id for cart in carts],
        "tax_ids_validated": [None if each.validated is None else each.validated.model_dump_json() for each in given],
        "shipping_minors": [None if cart.shipping is None else cart.shipping.amount_minor for cart in carts],
        "shipping_titles": [None if cart.shipping is None else cart.shipping.title for cart in carts],
        "shipping_taxes_included": [None if cart.shipping is None else cart.shipping.tax_included for cart in carts],
        "shipping_taxes": [None if cart.shipping is None else _dump(cart.shipping.taxes) for cart in carts],
    }


def _fill(connection: Connection, carts: Sequence[Cart]) -> None:
    numbered = [(cart.id, number, line) for cart in carts for number, line in enumerate(cart.lines, start=1)]
    if numbered:
        lines = [line for _, _, line in numbered]
        connection.execute(
            FILL,
            {
                "cart_ids": [cart_id for cart_id, _, _ in numbered],
                "lines": [number for _, number, _ in numbered],
                "skus": [line.sku for line in lines],
                "quantities": [line.quantity for line in lines],
                "prices": [line.unit_price_minor for line in lines],
                "currencies": [line.currency for line in lines],
                "titles": [line.title for line in lines],
                "tax_included": [line.tax_included for line in lines],
                "discounts": [_dump(line.discounts) for line in lines],
                "taxes": [_dump(line.taxes) for line in lines],
            },
        )


def _json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value)


def _dump(given: Sequence[BaseModel] | None) -> str | None:
    return None if given is None else json.dumps([each.model_dump() for each in given])
