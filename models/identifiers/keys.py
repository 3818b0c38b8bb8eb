"""Names of the shop's own things: skus, locations, tax categories and names, customers, coupon codes.

| kind | compared by | form |
|---|---|---|
| sku | what is seen: case counts | NFC, blanks once |
| location, tax category, tax name | letters, whatever their case and width | NFKC, small letters, blanks once |
| customer | the same, blanks left out | NFKC, small letters |
| coupon code | the same, blanks left out | NFKC, capitals |
"""

from typing import Final

from models.identifiers.characters import LOOK_ALIKES, map_capitals
from models.identifiers.texts import clean, fold, fold_characters

MAX_SKU: Final = 255
MAX_LOCATION: Final = 255
MAX_CATEGORY: Final = 255
MAX_TAX_NAME: Final = 255
MAX_CUSTOMER: Final = 255
MAX_COUPON_CODE: Final = 100


def normalize_sku(text: str) -> str:
    """Return a sku as it is stored. `abc` and `ABC` are two; a blank or a U+200B behind one means nothing."""
    return clean(text, limit=MAX_SKU)


def normalize_location(text: str) -> str:
    """Return a location's code: `Main`, `MAIN ` and `main` are one."""
    return fold(text, limit=MAX_LOCATION)


def normalize_tax_category(text: str) -> str:
    """Return a tax category of goods, as variants, tax rates and promotions name it: `Books` and `books` are one."""
    return fold(text, limit=MAX_CATEGORY)


def normalize_tax_name(text: str) -> str:
    """Return the name of a tax as it is shown. Two that `fold_tax_name` makes alike are one tax."""
    return clean(text, limit=MAX_TAX_NAME)


def fold_tax_name(text: str) -> str:
    """Return the name of a tax as it is compared: `VAT` and `vat` are one tax and do not add up."""
    return fold(text, limit=MAX_TAX_NAME)


def normalize_customer(text: str) -> str:
    """Return a customer's reference as coupons count by it: `Ada@Shop.example` and `ada@shop.example ` are one."""
    return fold(text, limit=MAX_CUSTOMER, blanks=False)


def normalize_coupon_code(text: str) -> str:
    """Return a coupon's code: `summer 10` and `SUMMER10` are one, and so are `straße` and `STRASSE`."""
    small = fold(text, limit=MAX_COUPON_CODE, blanks=False)
    return small.upper() if small.isascii() else small.translate(map_capitals())


def make_skeleton(sku: str) -> str:
    """Return a sku without case, width and blanks, with one letter for all that look alike.

    Skus with one skeleton can be confused: a refusal names them. They are never treated as one.
    """
    return fold_characters(sku, blanks=False).translate(LOOK_ALIKES)
