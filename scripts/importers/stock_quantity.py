"""Reads a stock change from the command line: `+5` and `-3` are differences, `12` is the new number."""

import re
from datetime import datetime
from typing import Final

from pipeline.catalog import StockRow
from pipeline.catalog.stock_rows import StockDelta
from scripts.importers.product_cells import MAX_QUANTITY
from scripts.importers.sheets import show

QUANTITY: Final = re.compile(r"(?P<sign>[+-]?)(?P<units>[0-9]{1,10})")
#: Requires the offset from UTC: stock depends on the exact time.
MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


def read_count_time(text: str) -> datetime:
    """Return the time at which units were counted; raise ValueError with a sentence for an invalid one."""
    try:
        return datetime.fromisoformat(text if MOMENT.fullmatch(text) else "")
    except ValueError:
        raise ValueError(f"{show(text)} is no moment: say one such as 2026-11-27T18:00+01:00") from None


def read_stock_change(sku: str, location: str, quantity: str, expected: int | None) -> StockRow | StockDelta:
    """Return the change; raise ValueError with a sentence for an invalid one."""
    found = QUANTITY.fullmatch(quantity)
    if not found:
        raise ValueError(f"{show(quantity)} is no quantity: say +5, -3, or 12 with --expect")
    units = int(found["units"])
    if units > MAX_QUANTITY:
        raise ValueError(f"{show(quantity)} is more than the {MAX_QUANTITY} units that a location may have")
    if not found["sign"]:
        return StockRow(sku, location, units, expected)
    if expected is not None:
        raise ValueError(f"{quantity} is a difference, which needs no --expect: leave it out, or give the new number")
    return StockDelta(sku, location, -units if found["sign"] == "-" else units)
