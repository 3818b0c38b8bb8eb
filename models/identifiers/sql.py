"""The schema's side of the normalisers: one function, made from the tables that the Python side uses.

`normalize_name(kind, value)` never refuses: it returns the name as it is stored, '' for one that is blank. Nothing in
it asks the locale: PostgreSQL's own `lower`, `upper` and `\\s` differ from one database to the next. It needs a
database in UTF-8.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from models.identifiers.characters import BLANKS, INVISIBLE, LOOK_ALIKES, map_capitals, map_case


class NameKind(StrEnum):
    """What is compared of a name."""

    SEEN = "seen"  #: a sku, the name of a tax as it is shown
    FOLDED = "folded"  #: a location, a tax category, the name of a tax as it is compared
    CUSTOMER = "customer"
    COUPON = "coupon"
    LOOK_ALIKE = "look_alike"  #: which skus can be taken for each other


def build_normalizer() -> str:
    """Return the statement that makes the function."""
    look_alike = {code: ord(letter) for code, letter in LOOK_ALIKES.items()}
    return f"""
CREATE FUNCTION normalize_name(kind text, value text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    blanks CONSTANT text := {_quote(BLANKS)};
    invisible CONSTANT text := {_quote(INVISIBLE)};
BEGIN
    IF kind = '{NameKind.SEEN}' THEN
        value := normalize(translate(normalize(value, NFC), blanks || invisible, repeat(' ', length(blanks))), NFC);
    ELSE
        value := translate(normalize(value, NFKC), {_quote(map_case())} || invisible, {_quote(map_case().values())});
        value := translate(
            value, blanks, CASE kind WHEN '{NameKind.FOLDED}' THEN repeat(' ', length(blanks)) ELSE '' END);
        value := normalize(replace(value, {_quote([0xDF])}, 'ss'), NFKC);
    END IF;
    value := btrim(regexp_replace(value, ' {{2,}}', ' ', 'g'), ' ');
    IF kind = '{NameKind.COUPON}' THEN
        value := translate(value, {_quote(map_capitals())}, {_quote(map_capitals().values())});
    ELSIF kind = '{NameKind.LOOK_ALIKE}' THEN
        value := translate(value, {_quote(look_alike)}, {_quote(look_alike.values())});
    END IF;
    RETURN value;
END $$
"""


NORMALIZE_NAMES: Final = f"""
CREATE FUNCTION normalize_names() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'variants' THEN
        NEW.sku := normalize_name('{NameKind.SEEN}', NEW.sku);
        NEW.category := nullif(normalize_name('{NameKind.FOLDED}', NEW.category), '');
        NEW.look_alike := normalize_name('{NameKind.LOOK_ALIKE}', NEW.sku);
    ELSIF TG_TABLE_NAME = 'locations' THEN
        NEW.code := normalize_name('{NameKind.FOLDED}', NEW.code);
    ELSIF TG_TABLE_NAME = 'promotions' THEN
        NEW.skus := ARRAY(SELECT normalize_name('{NameKind.SEEN}', sku) FROM unnest(NEW.skus) AS sku);
        NEW.categories := ARRAY(SELECT normalize_name('{NameKind.FOLDED}', category)
                                FROM unnest(NEW.categories) AS category);
    ELSIF TG_TABLE_NAME = 'coupons' THEN
        NEW.code := normalize_name('{NameKind.COUPON}', NEW.code);
    ELSIF TG_TABLE_NAME = 'redemptions' THEN
        NEW.customer := nullif(normalize_name('{NameKind.CUSTOMER}', NEW.customer), '');
    ELSIF TG_TABLE_NAME = 'tax_rates' THEN
        NEW.country := upper(NEW.country COLLATE "C");
        NEW.region := nullif(upper(btrim(NEW.region) COLLATE "C"), '');
        NEW.category := nullif(normalize_name('{NameKind.FOLDED}', NEW.category), '');
        NEW.name := normalize_name('{NameKind.SEEN}', NEW.name);
        NEW.name_key := normalize_name('{NameKind.FOLDED}', NEW.name);
    END IF;
    RETURN NEW;
END $$
"""

#: Which writes are looked at: of what the engine writes for a checkout, the customer of a redemption alone.
NORMALIZED: Final = {
    "variants": "INSERT OR UPDATE OF sku, category, look_alike",
    "locations": "INSERT OR UPDATE OF code",
    "promotions": "INSERT OR UPDATE OF skus, categories",
    "coupons": "INSERT OR UPDATE OF code",
    "tax_rates": "INSERT OR UPDATE OF country, region, category, name, name_key",
    "redemptions": "INSERT OR UPDATE OF customer",
}


def _quote(codes: Iterable[int]) -> str:
    return "E'" + "".join(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}" for code in codes) + "'"
