"""Reads Shopify's product export: a CSV file with several rows a product, one for each variant and each further image.

Nothing here fails for the sake of one row: a row that cannot be used is refused with a reason, and the others go on.
Rows are numbered as a spreadsheet counts them: the header is row 1, and a cell with line breaks is still one row.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from models.money import MAX_MINOR, parse_amount

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
#: What Shopify writes as the one option of a product that has none.
NO_OPTION: Final = "Default Title"

#: Shopify's words for a product's status, and whether it is sold. `unlisted` is sold to whoever has its address.
STATUSES: Final = {"": True, "active": True, "unlisted": True, "draft": False, "archived": False}
PUBLISHED: Final = {"": True, "true": True, "false": False}

#: Plain digits, few enough that a decimal of 28 digits holds them exactly in every currency.
PRICE: Final = re.compile(r"-?[0-9]{1,17}(\.[0-9]{1,6})?")
QUANTITY: Final = re.compile(r"-?[0-9]+")
MAX_QUANTITY: Final = 1_000_000_000
MAX_SKU: Final = 255
MAX_TITLE: Final = 1000
#: A product description may be long; the csv module's own bound is 131,072 characters.
MAX_CELL: Final = 10_000_000


class NotAnExport(ValueError):
    """The file as a whole cannot be read as a product export."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that is not imported, and why."""

    row: int
    reason: str


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
    rows: int = 0
    products: dict[str, dict[str, str]] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    variants: list[ExportedVariant] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def read_export(content: bytes, currency: str) -> Export:
    """Read the content of an export file; raise NotAnExport when it is none.

    Prices are exact decimals of `currency`. The quantity counts whatever the inventory tracker says. UTF-8 with or
    without a byte order mark; what is not UTF-8 is read as latin-1, which never fails but may show wrong letters.
    """
    text, encoding = _decode(content)
    reading = _Reading(currency)
    for row, cells in _split(text, reading):
        reading.rows += 1
        try:
            variant = _read_row(row, cells, reading)
        except ValueError as error:
            reading.refused.append(Refusal(row, str(error)))
            continue
        if variant is not None:
            reading.seen[variant.sku] = row
            reading.variants.append(variant)
    reading.refused.sort(key=lambda refusal: refusal.row)
    return Export(encoding, reading.rows, tuple(reading.variants), tuple(reading.refused))


def derive_sku(handle: str, options: tuple[str, ...]) -> str:
    """Make a stable sku of a handle and option values: `classic-varsity-top-small`. Letters of every script stay."""
    return re.sub(r"[\W_]+", "-", " ".join((handle, *options)).casefold()).strip("-")


def _decode(content: bytes) -> tuple[str, str]:
    try:
        return content.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "latin-1"


def _split(text: str, reading: _Reading) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number and the cells of each row that has any; refuse rows that are not CSV."""
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise NotAnExport(f"its first row is not CSV ({error})") from error
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise NotAnExport(f"it has no column {', '.join(missing)}")
    row = 1
    while True:
        row += 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reading.rows += 1
            reading.refused.append(Refusal(row, f"not readable as CSV: {error}"))
            continue
        if len(values) > len(header) and any(values[len(header) :]):
            reading.rows += 1
            reading.refused.append(Refusal(row, f"{len(values)} cells under a header of {len(header)}"))
        elif any(value.strip() for value in values):
            # Spreadsheets drop empty cells at the end of a row.
            padded = [*values, *[""] * (len(header) - len(values))]
            yield row, {name: value.strip() for name, value in zip(header, padded, strict=False)}


def _read_row(row: int, cells: Mapping[str, str], reading: _Reading) -> ExportedVariant | None:
    """Return the row's variant, or None when it is only an image; raise ValueError with the reason to refuse it."""
    handle = cells["Handle"]
    if not handle:
        raise ValueError("no handle")
    if not any(cells.get(name) for name in VARIANT_CELLS):
        return None
    if any("\x00" in value for value in cells.values()):
        raise ValueError("a NUL character in a cell")
    # Only the first row of a product carries what is said of it as a whole, even when that row itself is refused.
    product = reading.products.setdefault(handle, dict(cells))
    options = tuple(value for name in OPTIONS if (value := cells.get(name, "")) and value != NO_OPTION)
    sku = cells["Variant SKU"] or derive_sku(handle, options)
    return ExportedVariant(
        row=row,
        sku=_check_sku(sku, reading.seen),
        is_sku_derived=not cells["Variant SKU"],
        title=_build_title(product["Title"], options),
        category=product.get("Type") or None,
        backorder_policy=_read_policy(cells["Variant Inventory Policy"]),
        active=_is_active(product),
        price_minor=_read_price(cells["Variant Price"], reading.currency),
        quantity=_read_quantity(cells["Variant Inventory Qty"]),
    )


def _check_sku(sku: str, seen: Mapping[str, int]) -> str:
    if not sku:
        raise ValueError("no sku, and none can be derived from its handle")
    if len(sku) > MAX_SKU:
        raise ValueError(f"a sku of {len(sku)} characters: at most {MAX_SKU} fit")
    if sku in seen:
        raise ValueError(f"duplicate sku {_show(sku)}: row {seen[sku]} has it already")
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
        raise ValueError(f"unknown inventory policy {_show(text)}: deny or continue")
    return policy


def _is_active(product: Mapping[str, str]) -> bool:
    status, published = product.get("Status", "").lower(), product.get("Published", "").lower()
    if status not in STATUSES:
        raise ValueError(f"unknown status {_show(status)}: active, unlisted, draft or archived")
    if published not in PUBLISHED:
        raise ValueError(f"published is {_show(published)}: true or false")
    return STATUSES[status] and PUBLISHED[published]


def _read_price(text: str, currency: str) -> int:
    if not text:
        raise ValueError("no price")
    if not PRICE.fullmatch(text):
        raise ValueError(f"bad price {_show(text)}: digits with a decimal point")
    if text.startswith("-"):
        raise ValueError(f"bad price {_show(text)}: below zero")
    try:
        minor = parse_amount(text, currency).minor
    except ValueError:
        raise ValueError(f"bad price {_show(text)}: finer than the smallest unit of {currency}") from None
    if minor > MAX_MINOR:
        raise ValueError(f"bad price {_show(text)}: larger than any amount that can be stored")
    return minor


def _read_quantity(text: str) -> int:
    if not text:
        raise ValueError("no quantity: 0 for none")
    if not QUANTITY.fullmatch(text):
        raise ValueError(f"bad quantity {_show(text)}: a whole number")
    # Compared by length first: the interpreter refuses to convert thousands of digits.
    digits = text.lstrip("-").lstrip("0")
    if text.startswith("-") and digits:
        raise ValueError(f"negative quantity {_show(text)}")
    if len(digits) > len(str(MAX_QUANTITY)) or int(digits or 0) > MAX_QUANTITY:
        raise ValueError(f"bad quantity {_show(text)}: at most {MAX_QUANTITY}")
    return int(digits or 0)


def _show(text: str) -> str:
    """Quote a cell for a report; a whole description in the wrong column is cut."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
