"""Reads Shopify's product export: a CSV file with several rows a product, one for each variant and each further image.

A row that cannot be used is refused with a reason, and the others are imported.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from models.identifiers import normalize_tax_category
from pipeline.catalog.derived_skus import Origin, derive_sku
from scripts.importers.product_cells import (
    MAX_NAME,
    MAX_QUANTITY,
    build_title,
    is_active,
    read_name,
    read_policy,
    read_quantity,
    read_sku,
)
from scripts.importers.sheets import NotReadable, Row, RowRefusal, decode, read_price, read_rows, show

__all__ = [
    "MAX_QUANTITY",
    "Export",
    "ExportedVariant",
    "NotReadable",
    "RowRefusal",
    "SkuSource",
    "derive_sku",
    "read_export",
]

#: Without these a file is not a product export. Options, Type, Published, Status and the rest may be missing.
REQUIRED: Final = (
    "Handle",
    "Title",
    "Variant SKU",
    "Variant Inventory Qty",
    "Variant Inventory Policy",
    "Variant Price",
)
OPTIONS: Final = ("Option1 Value", "Option2 Value", "Option3 Value")
TRACKER: Final = "Variant Inventory Tracker"
TAXABLE: Final = "Variant Taxable"
#: A row without any of these is a further image of its product, not a variant.
VARIANT_CELLS: Final = ("Title", *OPTIONS, *REQUIRED[2:])
#: Every column that is read. A line break in one of these is an unclosed quote.
USED: Final = (*REQUIRED, *OPTIONS, "Type", "Published", "Status", TRACKER, TAXABLE)
#: Shopify's option value of a product without options.
NO_OPTION: Final = "Default Title"


class SkuSource(StrEnum):
    """Where SKUs come from: the file's column, derived only where it is empty; or always derived."""

    COLUMN = "column"
    HANDLE = "handle+options"


@dataclass(frozen=True, slots=True)
class ExportedVariant:
    """A variant of the file.

    `origin`: the origin of a derived SKU, None for one from the file. `is_shared`: another row has or derives the same
    plain SKU. `is_tracked`: Shopify counts its units. `is_below_zero`: the file has a negative quantity.
    """

    row: int
    sku: str
    title: str
    category: str | None
    backorder_policy: str
    active: bool
    price_minor: int
    quantity: int
    origin: Origin | None = None
    is_shared: bool = False
    is_tracked: bool = True
    is_taxable: bool = True
    is_below_zero: bool = False

    @property
    def is_sku_derived(self) -> bool:
        """Whether its SKU was derived from handle and options."""
        return self.origin is not None


@dataclass(frozen=True, slots=True)
class Export:
    """The content of a file: the variants in file order, and the refused rows.

    `same_sku`: how many were refused because another row has their SKU.
    """

    encoding: str
    rows: int
    columns: tuple[str, ...]
    variants: tuple[ExportedVariant, ...]
    refused: tuple[RowRefusal, ...]
    same_sku: int = 0


@dataclass(slots=True)
class _ProductReading:
    currency: str
    sku_from: SkuSource
    products: dict[str, Mapping[str, str]] = field(default_factory=dict)
    seen: dict[str | Origin, int] = field(default_factory=dict)


class _SameSku(ValueError):
    """Raised for a row whose SKU another row has."""


def read_export(
    content: bytes, currency: str, *, sku_from: SkuSource = SkuSource.COLUMN, force: bool = False
) -> Export:
    """Read the content of an export file; raise NotReadable when it is none.

    Prices are exact decimals of `currency`. A variant whose inventory Shopify does not track is always for sale: its
    policy is `continue`. A negative quantity of a variant with this policy is 0. `scripts/importers/decoding.py` lists
    the encodings. `force` accepts a last row that looks cut off.
    """
    text, encoding = decode(content)
    reading = _ProductReading(currency, sku_from)
    variants: list[ExportedVariant] = []
    refused: list[RowRefusal] = []
    rows = same_sku = 0
    sheet = read_rows(text, REQUIRED, single_line=USED, force=force)
    for row in sheet:
        rows += 1
        if isinstance(row, RowRefusal):
            refused.append(row)
            continue
        try:
            variant = _read_row(row, reading)
        except ValueError as error:
            same_sku += isinstance(error, _SameSku)
            refused.append(RowRefusal(row.number, str(error)))
            continue
        if variant is not None:
            reading.seen[variant.origin or variant.sku] = row.number
            variants.append(variant)
    return Export(encoding, rows, sheet.columns, _part_skus(variants), tuple(refused), same_sku)


def _part_skus(variants: Sequence[ExportedVariant]) -> tuple[ExportedVariant, ...]:
    """Set a unique SKU for each variant whose plain SKU another row has or derives, in any order of the rows."""
    counts = Counter(variant.sku for variant in variants)
    return tuple(
        replace(variant, sku=variant.origin.list_skus()[0], is_shared=True)
        if variant.origin is not None and counts[variant.sku] > 1
        else variant
        for variant in variants
    )


def _read_row(row: Row, reading: _ProductReading) -> ExportedVariant | None:
    """Return the row's variant, or None when it is only an image; raise ValueError with the reason to refuse it."""
    cells = row.cells
    handle = read_name(cells["Handle"], "a handle")
    if not handle:
        raise ValueError("no handle")
    if not any(cells.get(name) for name in VARIANT_CELLS):
        return None
    # Only the first row of a product has its common cells, even when that row itself is refused.
    product = reading.products.setdefault(handle, cells)
    values = (read_name(cells.get(name, ""), "an option") for name in OPTIONS)
    origin = Origin(handle, tuple("" if value == NO_OPTION else value for value in values))
    sku = read_sku(cells["Variant SKU"]) if reading.sku_from is SkuSource.COLUMN else ""
    is_derived = not sku
    is_tracked = cells.get(TRACKER) != ""
    policy = read_policy(cells["Variant Inventory Policy"]) if is_tracked else "continue"
    quantity = read_quantity(cells["Variant Inventory Qty"] or ("" if is_tracked else "0"))
    if quantity < 0 and policy == "deny":
        raise ValueError(f"negative quantity {show(cells['Variant Inventory Qty'])}")
    return ExportedVariant(
        row=row.number,
        sku=_check_sku(sku, origin, reading.seen),
        title=build_title(product["Title"], origin.shown_options),
        category=_read_category(product.get("Type", "")),
        backorder_policy=policy,
        active=is_active(product),
        price_minor=read_price(cells["Variant Price"], reading.currency),
        quantity=max(quantity, 0),
        origin=origin if is_derived else None,
        is_tracked=is_tracked,
        is_taxable=cells.get(TAXABLE, "").lower() != "false",
        is_below_zero=quantity < 0,
    )


def _check_sku(sku: str, origin: Origin, seen: Mapping[str | Origin, int]) -> str:
    """Return the SKU, or the derived plain one when the row has none."""
    found = sku or origin.plain_sku
    if not found:
        raise ValueError("no sku, and none can be derived from its handle")
    if len(found) > MAX_NAME:
        raise ValueError(f"a sku of {len(found)} characters: at most {MAX_NAME} fit")
    if before := seen.get(sku or origin):
        raise _SameSku(f"duplicate sku {show(found)}: row {before} has it already")
    return found


def _read_category(text: str) -> str | None:
    if not text:
        return None
    try:
        normalize_tax_category(text)
    except ValueError as error:
        raise ValueError(f"a type {show(text)}: {error}") from error
    return text
