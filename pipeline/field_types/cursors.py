"""Cursors of pages: a position as a text, which a caller sends back to read on. Nobody else can make sense of it."""

import base64
import binascii
from typing import Final

from pipeline.errors import Code, Invalid

#: Longest cursor that is read: much more than one has.
MAX_CURSOR: Final = 100


def write_cursor(position: bytes) -> str:
    """Return the cursor of a position."""
    return base64.urlsafe_b64encode(position).decode().rstrip("=")


def read_cursor(cursor: str, *, size: int, of: str) -> bytes:
    """Return the position of a cursor, of so many bytes, `of` which pages; Invalid for every other text.

    Each position has one spelling.
    """
    try:
        position = base64.b64decode(f"{cursor}==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        position = b""
    if len(position) != size or write_cursor(position) != cursor:
        raise Invalid(Code.REQUEST_INVALID, reason=f"after is no cursor of this {of}: send the next_after of a page")
    return position
