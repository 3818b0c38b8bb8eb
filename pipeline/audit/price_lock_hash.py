"""The hash of price locks, computed by PostgreSQL over the canonical JSON of `hash_quote`: a quarter of the time.

It writes what Python writes, except for addresses and validations with lists, objects or fractions in them. So a row
whose hash is the stored one is what was hashed, and any other row is doubtful: Python verifies it.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text

from pipeline.pricing import Quote
from pipeline.pricing.terms import AppliedDiscount, AppliedTax, QuoteLine, QuoteShipping

_LISTS: Final = {"discounts": AppliedDiscount, "taxes": AppliedTax}


def _write(fields: Sequence[tuple[str, str]]) -> str:
    """Return the SQL of a JSON object from names and the SQL of their values, which are JSON already."""
    parts = [f"""'{"," if number else ""}"{name}":' || {value}""" for number, (name, value) in enumerate(fields)]
    return f"'{{' || {' || '.join(parts)} || '}}'"


def _write_json(value: str) -> str:
    """Return the SQL of a value of a row, or of a text of a row, as JSON."""
    return f"coalesce(CAST(to_json({value}) AS text), 'null')"


def _write_member(source: str, name: str) -> str:
    """Return the SQL of a member of a `jsonb`. One that is missing makes the whole null, which equals no hash."""
    return f"CAST({source} -> '{name}' AS text)"


def _write_object(source: str, fields: Sequence[tuple[str, str]]) -> str:
    """Return the SQL of a `jsonb` object that has these members and no others; null for any other value."""
    names = ", ".join(f"'{name}'" for name, _ in fields)
    return f"""CASE WHEN jsonb_typeof({source}) = 'object' AND {source} - ARRAY[{names}] = '{{}}'
        THEN {_write(fields)} END"""


def _write_list(source: str, item: type) -> str:
    """Return the SQL of a `jsonb` array of objects of this type. Any other value, or item, becomes an exclamation mark.

    It cannot be null: an aggregate leaves that out, and nothing may be left out.
    """

    def write(each: str) -> str:
        fields = [(name, _write_member(each, name)) for name in sorted(item.__dataclass_fields__)]  # type: ignore[attr-defined]
        return f"coalesce({_write_object(each, fields)}, '!')"

    # Most lists have no item or one: a query over the items takes three times as long.
    return f"""CASE WHEN {source} = '[]' THEN '[]' WHEN jsonb_typeof({source}) <> 'array' THEN '!' ELSE '[' ||
        CASE WHEN jsonb_array_length({source}) = 1 THEN {write(f"({source} -> 0)")}
        ELSE (SELECT string_agg({write("each")}, ',' ORDER BY place)
              FROM jsonb_array_elements({source}) WITH ORDINALITY AS list (each, place)) END || ']' END"""


def _write_flat(column: str) -> str:
    """Return the SQL of a `jsonb` object of texts and integers, its names in the order of their characters."""
    return f"""CASE WHEN {column} IS NULL THEN 'null' WHEN jsonb_typeof({column}) = 'object' THEN '{{' || coalesce(
        (SELECT string_agg(CAST(to_json(key) AS text) || ':' || CAST(value AS text), ',' ORDER BY key COLLATE "C")
         FROM jsonb_each({column})), '') || '}}' END"""


_LINE: Final = _write(
    [
        (name, _write_list(f"l.{name}", _LISTS[name]) if name in _LISTS else _write_json(f"l.{name}"))
        for name in sorted(QuoteLine.__dataclass_fields__)
    ]
)
_SHIPPING: Final = _write_object(
    "p.shipping",
    [
        (
            name,
            _write_list(f"(p.shipping -> '{name}')", _LISTS[name])
            if name in _LISTS
            else _write_member("p.shipping", name),
        )
        for name in sorted(QuoteShipping.__dataclass_fields__)
    ],
)


def _write_field(name: str) -> str:
    match name:
        case "lines":
            return f"""'[' || coalesce((SELECT string_agg(coalesce({_LINE}, '!'), ',' ORDER BY l.line)
                FROM price_lock_lines l WHERE l.checkout_id = p.checkout_id), '') || ']'"""
        case "shipping":
            return f"CASE WHEN p.shipping IS NULL THEN 'null' ELSE {_SHIPPING} END"
        case "shipping_address" | "billing_address" | "tax_id_validated":
            return _write_flat(f"p.{name}")
        case _:
            return _write_json(f"p.{name}")


def _write_quote(*, validated: bool) -> str:
    names = sorted(name for name in Quote.__dataclass_fields__ if validated or name != "tax_id_validated")
    return _write([(name, _write_field(name)) for name in names])


#: The canonical JSON of a price lock `p`.
CANONICAL: Final = f"""CASE WHEN p.tax_id_validated IS NULL THEN {_write_quote(validated=False)}
    ELSE {_write_quote(validated=True)} END"""

#: The checkouts of a range whose price lock PostgreSQL does not hash to what is stored.
DOUBTFUL: Final = text(f"""
    SELECT p.checkout_id FROM price_locks p
    WHERE p.rounding <> 'none' AND p.checkout_id >= :from_id AND p.checkout_id < :until_id
      AND encode(sha256(convert_to({CANONICAL}, 'UTF8')), 'hex') IS DISTINCT FROM p.hash
""")
