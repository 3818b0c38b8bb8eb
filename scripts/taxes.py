"""Reads a table of tax rates: CSV with one row a rate, by country, region and category, each with its validity.

Nothing here fails for the sake of one row: a row that cannot be used is refused with a reason, and the others go on.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from pipeline.taxes import TaxRow
from scripts.sheets import NotReadable, Refusal, decode, read_rows, show

__all__ = ["NotReadable", "Refusal", "TaxFile", "read_moment", "read_switch", "read_taxes"]

#: The other columns, region, category, on_shipping, reverse_charge and valid_until, may be missing or empty.
REQUIRED: Final = ("country", "name", "rate", "valid_from")

#: A fraction as it is stored, in six decimals; or a percentage that says so.
FRACTION: Final = re.compile(r"[01](\.[0-9]{1,6})?")
PERCENT: Final = re.compile(r"([0-9]{1,3}(\.[0-9]{1,4})?) ?%")
#: With a time there must be its distance from UTC: nobody guesses a clock.
MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2}))?")
SWITCHES: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
MAX_TEXT: Final = 255


@dataclass(frozen=True, slots=True)
class TaxFile:
    """What was read: the rates in the order of the file, and the rows refused."""

    encoding: str
    rows: int
    taxes: tuple[TaxRow, ...]
    refused: tuple[Refusal, ...]


def read_taxes(content: bytes) -> TaxFile:
    """Read the content of a table of tax rates; raise NotReadable when it is none."""
    text, encoding = decode(content)
    taxes: list[TaxRow] = []
    refused: list[Refusal] = []
    seen: dict[tuple[object, ...], int] = {}
    rows = 0
    for row in read_rows(text, REQUIRED):
        rows += 1
        if isinstance(row, Refusal):
            refused.append(row)
            continue
        try:
            tax = _read_tax(row.cells)
            if before := seen.get(tax.key):
                raise ValueError(f"the same tax from the same moment: row {before} has it already")  # noqa: TRY301 (a refusal like the others)
        except ValueError as error:
            refused.append(Refusal(row.number, str(error)))
        else:
            seen[tax.key] = row.number
            taxes.append(tax)
    return TaxFile(encoding, rows, tuple(taxes), tuple(refused))


def read_moment(text: str, name: str) -> datetime:
    """Return the moment of a cell: a day is its midnight in UTC. Raises ValueError with the reason to refuse it."""
    if MOMENT.fullmatch(text):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            pass  # the 31st of February: refused below, like what does not look like a moment at all
        else:
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    raise ValueError(f"bad {name} {show(text)}: one such as 2026-01-01 or 2026-01-01T00:00+01:00")


def read_switch(text: str, name: str, *, default: bool) -> bool:
    """Return the yes or no of a cell; raise ValueError with the reason to refuse it."""
    if not text:
        return default
    if text.lower() not in SWITCHES:
        raise ValueError(f"{name} is {show(text)}: true or false")
    return SWITCHES[text.lower()]


def _read_tax(cells: Mapping[str, str]) -> TaxRow:
    if not cells["name"]:
        raise ValueError("no name: one such as VAT")
    for column in ("name", "region", "category"):
        if len(cells.get(column, "")) > MAX_TEXT:
            raise ValueError(f"a {column} of {len(cells[column])} characters: at most {MAX_TEXT} fit")
    starts = read_moment(cells["valid_from"], "valid_from")
    ends = read_moment(cells["valid_until"], "valid_until") if cells.get("valid_until") else None
    if ends is not None and ends <= starts:
        raise ValueError(f"it ends at {cells['valid_until']}, not after it begins")
    return TaxRow(
        country=cells["country"],
        name=cells["name"],
        rate=_read_rate(cells["rate"]),
        valid_from=starts,
        region=cells.get("region") or None,
        category=cells.get("category") or None,
        valid_until=ends,
        on_shipping=read_switch(cells.get("on_shipping", ""), "on_shipping", default=True),
        reverse_charge=read_switch(cells.get("reverse_charge", ""), "reverse_charge", default=False),
    )


def _read_rate(text: str) -> Decimal:
    if found := PERCENT.fullmatch(text):
        rate = Decimal(found[1]).scaleb(-2)
    elif FRACTION.fullmatch(text):
        rate = Decimal(text)
    else:
        raise ValueError(f"bad rate {show(text)}: a fraction such as 0.2, or 20%")
    if rate > 1:
        raise ValueError(f"bad rate {show(text)}: more than all of the price")
    return rate
