"""Reads a table of tax rates: CSV with one rate in each row, by country, region and category, with its validity.

A row that cannot be used is refused with a reason, and the others are imported. Rates in two units, or an unread column
that could narrow or change a rate, such as a postcode, make the whole file unusable.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from pipeline.catalog.tax_rates import TaxRow
from scripts.importers.columns import Unread, refuse_unheaded
from scripts.importers.sheets import NotReadable, Row, RowRefusal, decode, read_rows, show

__all__ = ["NotReadable", "RateUnit", "RowRefusal", "TaxFile", "read_moment", "read_switch", "read_taxes"]

REQUIRED: Final = ("country", "name", "rate", "valid_from")
#: These may be missing or empty.
OPTIONAL: Final = ("region", "category", "on_shipping", "reverse_charge", "valid_until")
#: Column names of other programs.
CALLED: Final = {
    "state": "region",
    "state code": "region",
    "province": "region",
    "country code": "country",
    "tax class": "category",
    "tax name": "name",
    "rate %": "rate",
    "shipping": "on_shipping",
    "from": "valid_from",
    "until": "valid_until",
}

#: A fraction with at most six decimals, as stored; and a percentage, with or without its sign.
FRACTION: Final = re.compile(r"[01](\.[0-9]{1,6})?")
PERCENT: Final = re.compile(r"([0-9]{1,3}(\.[0-9]{1,4})?) ?%?")
#: No country has such a rate on general goods: half a per cent was meant, or a decimal point is missing.
SUSPICIOUS_RATE: Final = Decimal("0.5")
#: A time requires its offset from UTC.
MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2}))?")
SWITCHES: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
MAX_TEXT: Final = 255


class RateUnit(StrEnum):
    """The unit of a file's rates: 20 and 20% are percentages, 0.2 is a fraction."""

    PERCENT = "percent"
    FRACTION = "fraction"


@dataclass(frozen=True, slots=True)
class TaxFile:
    """The content of a file: the rates in file order, the refused rows, and the unread columns.

    `unit` is the unit of the rates without a sign.
    """

    encoding: str
    rows: int
    unit: RateUnit
    taxes: tuple[TaxRow, ...]
    refused: tuple[RowRefusal, ...]
    unread: tuple[str, ...] = ()


def read_taxes(
    content: bytes, *, unit: RateUnit | None = None, ignored: Collection[str] = (), force: bool = False
) -> TaxFile:
    """Read the content of a table of tax rates; raise NotReadable when it is none.

    All rates are in one unit: `unit`, or the one in which they are written. Rates of half of the price and more, and a
    last row that may be cut off, are accepted with `force` only. `ignored` columns may have any content.
    """
    text, encoding = decode(content)
    sheet = read_rows(text, REQUIRED, force=force)
    unread = Unread(sheet.columns, (*REQUIRED, *OPTIONAL), ignored=ignored, called=CALLED)
    read = list(refuse_unheaded(sheet))
    found = [row for row in read if isinstance(row, Row)]
    for row in found:
        unread.watch(row)
    unread.check()
    decided = unit or _decide_unit(found)
    taxes: list[TaxRow] = []
    refused = [row for row in read if isinstance(row, RowRefusal)]
    seen: dict[tuple[object, ...], int] = {}
    for row in found:
        try:
            tax = _read_tax(row.cells, decided, force=force)
            if before := seen.get(tax.key):
                raise ValueError(f"the same tax from the same moment: row {before} has it already")  # noqa: TRY301 (a refusal like the others)
        except ValueError as error:
            refused.append(RowRefusal(row.number, str(error)))
        else:
            seen[tax.key] = row.number
            taxes.append(tax)
    refused.sort(key=lambda refusal: refusal.row)
    return TaxFile(encoding, len(read), decided, tuple(taxes), tuple(refused), unread.columns)


def read_moment(text: str, name: str) -> datetime:
    """Return the time in a cell: a day is its midnight in UTC. Raises ValueError with the reason to refuse it."""
    if MOMENT.fullmatch(text):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            pass  # the 31st of February: refused below, like a value of another form
        else:
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    raise ValueError(f"bad {name} {show(text)}: one such as 2026-01-01 or 2026-01-01T00:00+01:00")


def read_switch(text: str, name: str, *, default: bool) -> bool:
    """Return the boolean value of a cell; raise ValueError with the reason to refuse it."""
    if not text:
        return default
    if text.lower() not in SWITCHES:
        raise ValueError(f"{name} is {show(text)}: true or false")
    return SWITCHES[text.lower()]


def _read_tax(cells: Mapping[str, str], unit: RateUnit, *, force: bool) -> TaxRow:
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
        rate=_read_rate(cells["rate"], unit, force=force),
        valid_from=starts,
        region=cells.get("region") or None,
        category=cells.get("category") or None,
        valid_until=ends,
        on_shipping=read_switch(cells.get("on_shipping", ""), "on_shipping", default=True),
        reverse_charge=read_switch(cells.get("reverse_charge", ""), "reverse_charge", default=False),
    )


def _decide_unit(rows: Collection[Row]) -> RateUnit:
    """Return the unit of a file: all percentages have their sign, or none has. Zero is the same in both units."""
    written = [row for row in rows if PERCENT.fullmatch(row.cells["rate"]) and row.cells["rate"].strip("0. %")]
    signed = [row for row in written if "%" in row.cells["rate"]]
    bare = [row for row in written if "%" not in row.cells["rate"]]
    if signed and bare:
        raise NotReadable(
            f"its rates are in two units: row {signed[0].number} has {show(signed[0].cells['rate'])} and row"
            f" {bare[0].number} has {show(bare[0].cells['rate'])}; write all of them with %, or say what those without"
            " it are: --unit percent or --unit fraction"
        )
    return RateUnit.PERCENT if signed else RateUnit.FRACTION


def _read_rate(text: str, unit: RateUnit, *, force: bool) -> Decimal:
    if unit is RateUnit.PERCENT or "%" in text:
        if not (found := PERCENT.fullmatch(text)):
            raise ValueError(f"bad rate {show(text)}: a percentage such as 20%")
        rate = Decimal(found[1]).scaleb(-2)
    elif FRACTION.fullmatch(text):
        rate = Decimal(text)
    else:
        raise ValueError(f"bad rate {show(text)}: a fraction such as 0.2, or 20%")
    if rate > 1:
        raise ValueError(f"bad rate {show(text)}: more than all of the price")
    if rate >= SUSPICIOUS_RATE and not force:
        percent = f"{(rate * 100).normalize():f}"
        raise ValueError(f"a rate of {percent} %: when half of the price and more is right, import it with --force")
    return rate
