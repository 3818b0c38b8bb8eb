"""Carts that upstreams send whole. Upstreams with SQL of their own write the tables directly."""

import json
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Connection, text

from pipeline.carts.cart_input import Cart, TaxIdValidation

CREATE: Final = text("""
    INSERT INTO carts (id, currency, owner) VALUES (:id, :currency, :owner) ON CONFLICT (id) DO NOTHING
""")

UPDATE: Final = text("""
    UPDATE carts
    SET currency = :currency, shipping_address = CAST(:shipping AS jsonb), billing_address = CAST(:billing AS jsonb),
        customer = :customer, coupon_codes = CAST(:coupon_codes AS text[]), tax_id = :tax_id,
        tax_id_validated = CAST(:tax_id_validated AS jsonb),
        shipping_minor = :shipping_minor, shipping_title = :shipping_title,
        shipping_tax_included = :shipping_tax_included, shipping_taxes = CAST(:shipping_taxes AS jsonb),
        updated_at = now()
    WHERE id = :id
""")

CLEAR: Final = text("DELETE FROM cart_lines WHERE cart_id = :id")

FILL: Final = text("""
    INSERT INTO cart_lines (cart_id, line, sku, quantity, unit_price_minor, currency, title, tax_included, discounts,
                            taxes)
    SELECT :id, line, sku, quantity, price, currency, title, tax_included, CAST(discounts AS jsonb),
           CAST(taxes AS jsonb)
    FROM unnest(CAST(:lines AS integer[]), CAST(:skus AS text[]), CAST(:quantities AS integer[]),
                CAST(:prices AS bigint[]), CAST(:currencies AS text[]), CAST(:titles AS text[]),
                CAST(:tax_included AS boolean[]), CAST(:discounts AS text[]), CAST(:taxes AS text[]))
         AS given (line, sku, quantity, price, currency, title, tax_included, discounts, taxes)
""")


def create_cart(connection: Connection, cart_id: UUID, currency: str, owner: str) -> bool:
    """Create the cart's row for this owner unless it exists, so that it can be locked; return True when it is new."""
    return connection.execute(CREATE, {"id": cart_id, "currency": currency, "owner": owner}).rowcount == 1


def fill_cart(connection: Connection, cart: Cart, validated: TaxIdValidation | None) -> None:
    """Replace the content of a cart. Its row must be locked, and it may have no active checkout (a trigger checks).

    `validated`: what is known of its tax id.
    """
    connection.execute(
        UPDATE,
        {
            "id": cart.id,
            "currency": cart.currency,
            "shipping": _json(cart.shipping_address),
            "billing": _json(cart.billing_address),
            "customer": cart.customer,
            "coupon_codes": cart.coupon_codes,
            "tax_id": cart.tax_id,
            "tax_id_validated": None if validated is None else validated.model_dump_json(),
            "shipping_minor": None if cart.shipping is None else cart.shipping.amount_minor,
            "shipping_title": None if cart.shipping is None else cart.shipping.title,
            "shipping_tax_included": None if cart.shipping is None else cart.shipping.tax_included,
            "shipping_taxes": None if cart.shipping is None else _dump(cart.shipping.taxes),
        },
    )
    connection.execute(CLEAR, {"id": cart.id})
    if cart.lines:
        connection.execute(
            FILL,
            {
                "id": cart.id,
                "lines": list(range(1, len(cart.lines) + 1)),
                "skus": [line.sku for line in cart.lines],
                "quantities": [line.quantity for line in cart.lines],
                "prices": [line.unit_price_minor for line in cart.lines],
                "currencies": [line.currency for line in cart.lines],
                "titles": [line.title for line in cart.lines],
                "tax_included": [line.tax_included for line in cart.lines],
                "discounts": [_dump(line.discounts) for line in cart.lines],
                "taxes": [_dump(line.taxes) for line in cart.lines],
            },
        )


def _json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value)


def _dump(given: Sequence[BaseModel] | None) -> str | None:
    return None if given is None else json.dumps([each.model_dump() for each in given])
