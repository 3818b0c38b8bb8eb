"""Decides which unread columns of a product export are reported."""

from collections.abc import Sequence
from typing import Final

from scripts.importers.headings import fold
from scripts.importers.shopify import USED

#: Columns without effect on products and prices, by their beginning.
HARMLESS: Final = tuple(
    fold(name)
    for name in (
        "Body", "Vendor", "Tags", "Collection", "Product Category", "Standard", "Custom Product Type", "Option",
        "Variant Grams", "Variant Tax Code", "Unit Price", "Variant Fulfillment", "Variant Compare", "Variant Requires",
        "Variant Barcode", "Variant Image", "Variant Weight", "Variant Unit", "Image", "Gift Card", "SEO",
        "Google Shopping", "Template", "Cost per item",
    )
)  # fmt: skip
#: Custom fields of a shop: `Color (product.metafields.shopify.color-pattern)`.
METAFIELD: Final = fold(".metafields.")


def find_unused(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the unread columns that may affect products or prices, such as `Price / Canada`."""
    used = {fold(name) for name in USED}
    return tuple(
        name
        for name in columns
        if (folded := fold(name)) not in used and METAFIELD not in folded and not folded.startswith(HARMLESS)
    )
