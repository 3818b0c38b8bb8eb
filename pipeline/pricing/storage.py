"""Rows of price locks: quotes are written once, and read as the same quotes."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from pipeline.pricing.quote import hash_quote
from pipeline.pricing.terms import AppliedDiscount, AppliedTax, Quote, QuoteLine, QuoteShipping, to_fields

# In one round trip: the price locks, and their lines. One JSON text for each: an array parameter with a text for each
# quote costs its escaping three times.
FREEZE: Final = text("""
    WITH frozen AS (
        INSERT INTO price_locks (checkout_id, currency, subtotal_minor, discount_minor, shipping_minor, tax_minor,
                                 total_minor, shipping, base_currency, exchange_rate, exchange_source, exchange_at,
                                 tax_id, tax_id_validated, rounding, shipping_address, billing_address, hash)
        SELECT * FROM jsonb_to_recordset(CAST(:quotes AS jsonb)) AS q (
            checkout_id uuid, currency text, subtotal_minor bigint, discount_minor bigint, shipping_minor bigint,
            tax_minor bigint, total_minor bigint, shipping jsonb, base_currency text, exchange_rate text,
            exchange_source text, exchange_at text, tax_id text, tax_id_validated jsonb, rounding text,
            shipping_address jsonb, billing_address jsonb, hash text)
    )
    INSERT INTO price_lock_lines (checkout_id, line, variant_id, sku, title, quantity, unit_price_minor, price_source,
                                  tax_included, subtotal_minor, discount_minor, tax_minor, total_minor, discounts,
                                  taxes)
    SELECT * FROM jsonb_to_recordset(CAST(:lines AS jsonb)) AS l (
        checkout_id uuid, line integer, variant_id bigint, sku text, title text, quantity integer,
        unit_price_minor bigint, price_source text, tax_included boolean, subtotal_minor bigint,
        discount_minor bigint, tax_minor bigint, total_minor bigint, discounts jsonb, taxes jsonb)
""")

LOCKS: Final = text("""
    SELECT checkout_id, currency, subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor, shipping,
           base_currency, exchange_rate, exchange_source, exchange_at, tax_id, tax_id_validated, rounding,
           shipping_address, billing_address, hash
    FROM price_locks WHERE checkout_id = ANY(CAST(:ids AS uuid[]))
""")

LINES: Final = text("""
    SELECT checkout_id, line, variant_id, sku, title, quantity, unit_price_minor, price_source, tax_included,
           subtotal_minor, discount_minor, tax_minor, total_minor, discounts, taxes
    FROM price_lock_lines WHERE checkout_id = ANY(CAST(:ids AS uuid[])) ORDER BY checkout_id, line
""")


def freeze_quotes(connection: Connection, quotes: Mapping[UUID, Quote]) -> None:
    """Store these quotes, each with its hash. They can be voided afterwards, and never changed."""
    locks, lines = [], []
    for checkout_id, quote in quotes.items():
        key = {"checkout_id": str(checkout_id)}
        locks.append({**to_fields(quote), **key, "hash": hash_quote(quote), "lines": None})
        lines += [{**to_fields(line), **key} for line in quote.lines]
    written = {"quotes": json.dumps(locks, default=to_fields), "lines": json.dumps(lines, default=to_fields)}
    connection.execute(FREEZE, written)


def read_quotes(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, tuple[Quote, str]]:
    """Return the frozen quotes of these checkouts with the hashes that were stored beside them."""
    lines: dict[UUID, list[QuoteLine]] = defaultdict(list)
    for row in connection.execute(LINES, {"ids": list(ids)}).mappings():
        lines[row["checkout_id"]].append(_read_line(row))
    return {
        row["checkout_id"]: (_read_quote(row, lines[row["checkout_id"]]), row["hash"])
        for row in connection.execute(LOCKS, {"ids": list(ids)}).mappings()
    }


def _read_line(row: RowMapping) -> QuoteLine:
    fields = {key: row[key] for key in QuoteLine.__dataclass_fields__}
    return QuoteLine(**fields | _read_amounts(row))


def _read_quote(row: RowMapping, lines: Sequence[QuoteLine]) -> Quote:
    fields = {key: row[key] for key in Quote.__dataclass_fields__ if key != "lines"}
    shipping = row["shipping"]
    if shipping is not None:
        fields["shipping"] = QuoteShipping(**shipping | _read_amounts(shipping))
    return Quote(**fields, lines=tuple(lines))


def _read_amounts(row: RowMapping | Mapping[str, Any]) -> dict[str, Any]:
    return {
        "discounts": tuple(AppliedDiscount(**each) for each in row["discounts"]),
        "taxes": tuple(AppliedTax(**each) for each in row["taxes"]),
    }
