"""Names by which things are found: one normaliser for each kind, for all input; the schema has the same.

A normaliser returns the one form in which a name is stored and compared, or raises ValueError with a sentence for its
sender. Normalising twice is normalising once. The schema's own function, `normalize_name` in migrations/sql, uses the
same tables of characters.
"""

from models.identifiers.countries import normalize_country
from models.identifiers.keys import (
    fold_tax_name,
    make_skeleton,
    normalize_coupon_code,
    normalize_customer,
    normalize_location,
    normalize_sku,
    normalize_tax_category,
    normalize_tax_name,
)
from models.identifiers.regions import find_region, list_ancestors, normalize_region
from models.identifiers.tax_ids import find_tax_country, find_tax_office, normalize_tax_id
from models.identifiers.texts import normalize_text

__all__ = [
    "find_region",
    "find_tax_country",
    "find_tax_office",
    "fold_tax_name",
    "list_ancestors",
    "make_skeleton",
    "normalize_country",
    "normalize_coupon_code",
    "normalize_customer",
    "normalize_location",
    "normalize_region",
    "normalize_sku",
    "normalize_tax_category",
    "normalize_tax_id",
    "normalize_tax_name",
    "normalize_text",
]
