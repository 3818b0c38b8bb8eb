"""The price lock as rows: quotes written once, and read back as the quotes they were."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from pipeline.pricing.quote import hash_quote
from pipeline.pricing.terms import AppliedDiscount, AppliedTax, Quote, QuoteLine, QuoteShipping

FREEZE: Final = text("""
    INSERT INTO price_locks (checkout_id, currency, subtotal_minor, discount_minor, shipping_minor, tax_minor,
                             total_minor, shipping, base_currency, exchange_rate, exchange_source, exchange_at, tax_id,
                             rounding, shipping_address, billing_address, hash)
    SELECT id, q ->> 'currency', CAST(q ->> 'subtotal_minor' AS bigint), CAST(q ->> 'discount_minor' AS bigint),
           CAST(q ->> 'shipping_minor' AS bigint), CAST(q ->> 'tax_minor' AS bigint),
           CAST(q ->> 'total_minor' AS bigint), nullif(q -> 'shipping', 'null'), q ->> 'base_currency',
           q ->> 'exchange_rate', q ->> 'exchange_source', q ->> 'exchange_at', q ->> 'tax_id', q ->> 'rounding',
           q -> 'shipping_address', nullif(q -> 'billing_address', 'null'), hash
    FROM unnest(CAST(:ids AS uuid[]), CAST(:quotes AS jsonb[]), CAST(:hashes AS text[])) AS quoted (id, q, hash)
""")

FREEZE_LINES: Final = text("""
    INSERT INTO price_lock_lines (checkout_id, line, variant_id, sku, title, quantity, unit_price_minor, price_source,
                                  tax_included, subtotal_minor, discount_minor, tax_minor, total_minor, discounts,
                                  taxes)
    SELECT id, l.* FROM unnest(CAST(:ids AS uuid[]), CAST(:lines AS jsonb[])) AS quoted (id, lines),
        jsonb_to_recordset(lines) AS l (line integer, variant_id bigint, sku text, title text, quantity integer,
            unit_price_minor bigint, price_source text, tax_included boolean, subtotal_minor bigint,
            discount_minor bigint, tax_minor bigint, total_minor bigint, discounts jsonb, taxes jsonb)
""")

LOCKS: Final = text("""
    SELECT checkout_id, currency, subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor, shipping,
           base_currency, exchange_rate, exchange_source, exchange_at, tax_id, rounding, shipping_address,
           billing_address, hash
    FROM price_locks WHERE checkout_id = ANY(CAST(:ids AS uuid[]))
""")

LINES: Final = text("""
    SELECT checkout_id, line, variant_id, sku, title, quantity, unit_price_minor, price_source, tax_included,
           subtotal_minor, discount_minor, tax_minor, total_minor, discounts, taxes
    FROM price_lock_lines WHERE checkout_id = ANY(CAST(:ids AS uuid[])) ORDER BY checkout_id, line
""")


def freeze_quotes(connection: Connection, quotes: Mapping[UUID, Quote]) -> None:
    """Write these quotes down, each with its hash. They can be voided afterwards, never changed."""
    plain = {id_: asdict(quote) for id_, quote in quotes.items()}
    lines = {id_: quote.pop("lines") for id_, quote in plain.items()}
    connection.execute(
        FREEZE,
        {
            "ids": list(plain),
            "quotes": [json.dumps(quote) for quote in plain.values()],
            "hashes": [hash_quote(quote) for quote in quotes.values()],
        },
    )
    connection.execute(FREEZE_LINES, {"ids": list(lines), "lines": [json.dumps(each) for each in lines.values()]})


def read_quotes(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, tuple[Quote, str]]:
    """Return the frozen quotes of these checkouts with the hashes that were stored beside them."""
    lines: dict[UUID, list[QuoteLine]] = {}
    for row in connection.execute(LINES, {"ids": list(ids)}).mappings():
        lines.setdefault(row["checkout_id"], []).append(_read_line(row))
    return {
        row["checkout_id"]: (_read_quote(row, lines.get(row["checkout_id"], [])), row["hash"])
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
