"""Reads Shopify's product export: a CSV file with several rows a product, one for each variant and each further image.

Nothing here fails for the sake of one row: a row that cannot be used is refused with a reason, and the others go on.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from scripts.sheets import NotReadable, Refusal, Row, decode, read_price, read_rows, show

__all__ = ["MAX_QUANTITY", "Export", "ExportedVariant", "NotReadable", "Refusal", "derive_sku", "read_export"]

#: Without these a file is not a product export. Options, Type, Published and Status may be missing.
REQUIRED: Final = (
    "Handle",
    "Title",
    "Variant SKU",
    "Variant Inventory Qty",
    "Variant Inventory Policy",
    "Variant Price",
)
OPTIONS: Final = ("Option1 Value", "Option2 Value", "Option3 Value")
#: A row with none of these is a further image of its product, not a variant.
VARIANT_CELLS: Final = ("Title", *OPTIONS, *REQUIRED[2:])
#: Everything that is read. A line break in one of these is a quote that somebody forgot to close.
USED: Final = (*REQUIRED, *OPTIONS, "Type", "Published", "Status")
#: What Shopify writes as the one option of a product that has none.
NO_OPTION: Final = "Default Title"

#: Shopify's words for a product's status, and whether it is sold. `unlisted` is sold to whoever has its address.
STATUSES: Final = {"": True, "active": True, "unlisted": True, "draft": False, "archived": False}
PUBLISHED: Final = {"": True, "true": True, "false": False}

QUANTITY: Final = re.compile(r"-?[0-9]+")
MAX_QUANTITY: Final = 1_000_000_000
MAX_SKU: Final = 255
MAX_TITLE: Final = 1000


@dataclass(frozen=True, slots=True)
class ExportedVariant:
    """A variant as the file has it. `is_sku_derived`: the file has no sku, it was made of handle and options."""

    row: int
    sku: str
    is_sku_derived: bool
    title: str
    category: str | None
    backorder_policy: str
    active: bool
    price_minor: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Export:
    """What was read: the variants in the order of the file, and the rows refused."""

    encoding: str
    rows: int
    variants: tuple[ExportedVariant, ...]
    refused: tuple[Refusal, ...]


@dataclass(slots=True)
class _Reading:
    currency: str
    products: dict[str, Mapping[str, str]] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)


def read_export(content: bytes, currency: str) -> Export:
    """Read the content of an export file; raise NotReadable when it is none.

    Prices are exact decimals of `currency`. The quantity counts whatever the inventory tracker says. What can be
    read of encodings is told by `scripts/decoding.py`.
    """
    text, encoding = decode(content)
    reading = _Reading(currency)
    variants: list[ExportedVariant] = []
    refused: list[Refusal] = []
    rows = 0
    for row in read_rows(text, REQUIRED, single_line=USED):
        rows += 1
        if isinstance(row, Refusal):
            refused.append(row)
            continue
        try:
            variant = _read_row(row, reading)
        except ValueError as error:
            refused.append(Refusal(row.number, str(error)))
            continue
        if variant is not None:
            reading.seen[variant.sku] = row.number
            variants.append(variant)
    return Export(encoding, rows, tuple(variants), tuple(refused))


def derive_sku(handle: str, options: tuple[str, ...]) -> str:
    """Make a stable sku of a handle and option values: `classic-varsity-top-small`. Letters of every script stay."""
    return re.sub(r"[\W_]+", "-", " ".join((handle, *options)).casefold()).strip("-")


def _read_row(row: Row, reading: _Reading) -> ExportedVariant | None:
    """Return the row's variant, or None when it is only an image; raise ValueError with the reason to refuse it."""
    cells = row.cells
    handle = cells["Handle"]
    if not handle:
        raise ValueError("no handle")
    if not any(cells.get(name) for name in VARIANT_CELLS):
        return None
    # Only the first row of a product carries what is said of it as a whole, even when that row itself is refused.
    product = reading.products.setdefault(handle, cells)
    options = tuple(value for name in OPTIONS if (value := cells.get(name, "")) and value != NO_OPTION)
    sku = cells["Variant SKU"] or derive_sku(handle, options)
    return ExportedVariant(
        row=row.number,
        sku=_check_sku(sku, reading.seen),
        is_sku_derived=not cells["Variant SKU"],
        title=_build_title(product["Title"], options),
        category=product.get("Type") or None,
        backorder_policy=_read_policy(cells["Variant Inventory Policy"]),
        active=_is_active(product),
        price_minor=read_price(cells["Variant Price"], reading.currency),
        quantity=_read_quantity(cells["Variant Inventory Qty"]),
    )


def _check_sku(sku: str, seen: Mapping[str, int]) -> str:
    if not sku:
        raise ValueError("no sku, and none can be derived from its handle")
    if len(sku) > MAX_SKU:
        raise ValueError(f"a sku of {len(sku)} characters: at most {MAX_SKU} fit")
    if sku in seen:
        raise ValueError(f"duplicate sku {show(sku)}: row {seen[sku]} has it already")
    return sku


def _build_title(title: str, options: tuple[str, ...]) -> str:
    if not title:
        raise ValueError("no title on the first row of its product")
    full = f"{title} - {' / '.join(options)}" if options else title
    if len(full) > MAX_TITLE:
        raise ValueError(f"a title of {len(full)} characters: at most {MAX_TITLE} fit")
    return full


def _read_policy(text: str) -> str:
    # No policy is taken as the one that cannot oversell.
    policy = text.lower() or "deny"
    if policy not in {"deny", "continue"}:
        raise ValueError(f"unknown inventory policy {show(text)}: deny or continue")
    return policy


def _is_active(product: Mapping[str, str]) -> bool:
    status, published = product.get("Status", "").lower(), product.get("Published", "").lower()
    if status not in STATUSES:
        raise ValueError(f"unknown status {show(status)}: active, unlisted, draft or archived")
    if published not in PUBLISHED:
        raise ValueError(f"published is {show(published)}: true or false")
    return STATUSES[status] and PUBLISHED[published]


def _read_quantity(text: str) -> int:
    if not text:
        raise ValueError("no quantity: 0 for none")
    if not QUANTITY.fullmatch(text):
        raise ValueError(f"bad quantity {show(text)}: a whole number")
    # Compared by length first: the interpreter refuses to convert thousands of digits.
    digits = text.lstrip("-").lstrip("0")
    if text.startswith("-") and digits:
        raise ValueError(f"negative quantity {show(text)}")
    if len(digits) > len(str(MAX_QUANTITY)) or int(digits or 0) > MAX_QUANTITY:
        raise ValueError(f"bad quantity {show(text)}: at most {MAX_QUANTITY}")
    return int(digits or 0)
