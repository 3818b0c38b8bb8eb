"""Builds product exports of Shopify for tests."""

import csv
import io
from typing import Final

from scripts.importers.shopify import Export, read_export

HEADER: Final = [
    "Handle",
    "Title",
    "Type",
    "Published",
    "Status",
    "Option1 Value",
    "Option2 Value",
    "Variant SKU",
    "Variant Inventory Qty",
    "Variant Inventory Policy",
    "Variant Price",
    "Image Src",
]


def row(**cells: str) -> dict[str, str]:
    """Return a valid row of one product without options; `cells` are named with underscores for spaces."""
    good = {
        "Handle": "mug",
        "Title": "Mug",
        "Type": "Kitchen",
        "Published": "true",
        "Status": "active",
        "Option1 Value": "Default Title",
        "Variant SKU": "MUG-1",
        "Variant Inventory Qty": "7",
        "Variant Inventory Policy": "deny",
        "Variant Price": "9.99",
    }
    return good | {name.replace("_", " "): value for name, value in cells.items()}


def further(**cells: str) -> dict[str, str]:
    """Return a further row of the product: the common cells are on the first row only."""
    return row(**{"Title": "", "Type": "", "Published": "", "Status": "", **cells})


def image(handle: str) -> dict[str, str]:
    return {"Handle": handle, "Image Src": "mug.jpg"}


def write(*rows: dict[str, str], header: list[str] = HEADER) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, header, restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def read(*rows: dict[str, str], currency: str = "USD") -> Export:
    return read_export(write(*rows), currency)
