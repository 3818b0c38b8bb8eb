"""Reads the cells of a product export, each exactly, or refuses it with a reason."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from models.identifiers import normalize_sku, normalize_text
from models.limits import MAX_UNITS
from scripts.importers.sheets import show

#: Shopify's product statuses, and whether such a product is sold. `unlisted` is sold to buyers that have its address.
STATUSES: Final = {"": True, "active": True, "unlisted": True, "draft": False, "archived": False}
PUBLISHED: Final = {"": True, "true": True, "false": False}

QUANTITY: Final = re.compile(r"-?[0-9]+")
MAX_QUANTITY: Final = MAX_UNITS
MAX_NAME: Final = 255
MAX_TITLE: Final = 1000

#: The apostrophe that spreadsheets and exports put before a text that looks like a number or a formula.
APOSTROPHE: Final = re.compile(r"'(?=[0-9=+@-])")
#: Shortened long numbers, formulas and error values of spreadsheets.
SHORTENED: Final = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?E\+[0-9]{2,}", re.IGNORECASE)
FORMULA: Final = re.compile(r'="?.*"?')
FAULT: Final = re.compile(r"#(N/A|REF!|NAME\?|VALUE!|DIV/0!|NULL!|NUM!|#+)")


def read_name(text: str, what: str) -> str:
    """Return the name in a cell (handle, option, SKU) in NFC, without the apostrophe that a spreadsheet puts before it.

    Raises ValueError for one that is too long, or that a spreadsheet has changed irreversibly.
    """
    if len(text) > MAX_NAME:
        raise ValueError(f"{what} of {len(text)} characters: at most {MAX_NAME} fit")
    name = text[1:] if APOSTROPHE.match(text) else text
    if SHORTENED.fullmatch(name):
        raise ValueError(f"{what} {show(name)}: a spreadsheet has shortened the number, so export it as text")
    # After an apostrophe it is no formula.
    if FORMULA.fullmatch(text):
        raise ValueError(f"{what} {show(name)}: a formula of a spreadsheet, so write what it stands for")
    if FAULT.fullmatch(name):
        raise ValueError(f"{what} {show(name)}: what a spreadsheet shows when it has no value")
    return unicodedata.normalize("NFC", name)


def read_sku(text: str) -> str:
    """Return the SKU in a cell, normalised as for storage; empty when there is none."""
    name = read_name(text, "a sku")
    if not name:
        return ""
    try:
        return normalize_sku(name)
    except ValueError as error:
        raise ValueError(f"a sku {show(name)}: {error}") from error


def build_title(title: str, options: tuple[str, ...]) -> str:
    """Return the title of a variant: the product's title, then the options."""
    if not title:
        raise ValueError("no title on the first row of its product")
    full = f"{title} - {' / '.join(options)}" if options else title
    if len(full) > MAX_TITLE:
        raise ValueError(f"a title of {len(full)} characters: at most {MAX_TITLE} fit")
    try:
        return normalize_text(full, limit=MAX_TITLE)
    except ValueError as error:
        raise ValueError(f"a title {show(full)}: {error}") from error


def read_policy(text: str) -> str:
    """Return `deny` or `continue`; an empty cell is `deny`, which cannot oversell."""
    policy = text.lower() or "deny"
    if policy not in {"deny", "continue"}:
        raise ValueError(f"unknown inventory policy {show(text)}: deny or continue")
    return policy


def is_active(product: Mapping[str, str]) -> bool:
    """Return whether a product is sold, by the cells of its first row."""
    status, published = product.get("Status", "").lower(), product.get("Published", "").lower()
    if status not in STATUSES:
        raise ValueError(f"unknown status {show(status)}: active, unlisted, draft or archived")
    if published not in PUBLISHED:
        raise ValueError(f"published is {show(published)}: true or false")
    return STATUSES[status] and PUBLISHED[published]


def read_quantity(text: str) -> int:
    """Return the units in a cell, which may be negative."""
    if not text:
        raise ValueError("no quantity: 0 for none")
    if not QUANTITY.fullmatch(text):
        raise ValueError(f"bad quantity {show(text)}: a whole number")
    # Compared by length first: the interpreter refuses to convert thousands of digits.
    digits = text.lstrip("-").lstrip("0")
    if len(digits) > len(str(MAX_QUANTITY)) or int(digits or 0) > MAX_QUANTITY:
        raise ValueError(f"bad quantity {show(text)}: at most {MAX_QUANTITY}")
    return -int(digits or 0) if text.startswith("-") else int(digits or 0)
