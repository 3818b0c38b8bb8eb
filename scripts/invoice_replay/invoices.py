"""Reads invoices in the columns of the Online Retail data set: each row is a line of an invoice.

A row that cannot be used is refused with a reason, and its invoice lacks that line; an invoice without lines is left
out. An unread column that could change an invoice, such as a discount or a currency, makes the file unusable.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from scripts.importers.columns import Unread, refuse_unheaded
from scripts.importers.sheets import NotReadable, Row, RowRefusal, decode, read_price, read_rows, show
from scripts.invoice_replay.countries import read_country

__all__ = ["Invoice", "InvoiceFile", "InvoiceLine", "NotReadable", "RowRefusal", "read_invoices"]

REQUIRED: Final = ("InvoiceNo", "StockCode", "Quantity", "UnitPrice", "Country")
#: The data set's other columns, which may be missing.
OPTIONAL: Final = ("Description", "InvoiceDate", "CustomerID")
#: A cancelled invoice's number. `CA-2018-152156` and `C-17` are sales of other shops.
CANCELLED: Final = re.compile(r"[Cc][0-9]+")

QUANTITY: Final = re.compile(r"-?[0-9]{1,10}")
#: PostgreSQL's integer. The pipeline checks how many units an order may have.
MAX_QUANTITY: Final = 2**31 - 1
#: Shorter than a reference of the pipeline, which also holds the run's id.
MAX_NUMBER: Final = 200
MAX_CODE: Final = 255
MAX_TEXT: Final = 1000


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One line: code, title, quantity and price. Without a description the code is the title."""

    row: int
    code: str
    title: str
    quantity: int
    price_minor: int


@dataclass(frozen=True, slots=True)
class Invoice:
    """One invoice: its number, the customer if there is one, the country's code, and the usable lines in file order."""

    number: str
    customer: str | None
    country: str
    lines: tuple[InvoiceLine, ...]

    @property
    def total_minor(self) -> int:
        """The sum of quantity times price."""
        return sum(line.quantity * line.price_minor for line in self.lines)


@dataclass(frozen=True, slots=True)
class InvoiceFile:
    """The content of a file: the invoices in the order of their first rows, the refused rows, the unread columns."""

    encoding: str
    rows: int
    invoices: tuple[Invoice, ...]
    refused: tuple[RowRefusal, ...]
    unread: tuple[str, ...] = ()


@dataclass(slots=True)
class _Draft:
    row: int
    customer: str | None
    country: str
    lines: list[InvoiceLine] = field(default_factory=list)


def read_invoices(content: bytes, currency: str, *, ignored: Collection[str] = (), force: bool = False) -> InvoiceFile:
    """Read the content of an invoice file with prices of `currency`; raise NotReadable when it is none.

    `ignored` columns may have any content. A last row that may be cut off is accepted with `force` only.
    """
    text, encoding = decode(content)
    sheet = read_rows(text, REQUIRED, force=force)
    unread = Unread(sheet.columns, (*REQUIRED, *OPTIONAL), ignored=ignored)
    drafts: dict[str, _Draft] = {}
    refused: list[RowRefusal] = []
    rows = 0
    for row in refuse_unheaded(sheet):
        rows += 1
        if isinstance(row, RowRefusal):
            refused.append(row)
            continue
        unread.watch(row)
        try:
            _add_row(row, drafts, currency)
        except ValueError as error:
            refused.append(RowRefusal(row.number, str(error)))
    unread.check()
    invoices = tuple(
        Invoice(number, draft.customer, draft.country, tuple(draft.lines)) for number, draft in drafts.items()
    )
    return InvoiceFile(encoding, rows, invoices, tuple(refused), unread.columns)


def _add_row(row: Row, drafts: dict[str, _Draft], currency: str) -> None:
    """Add a row to its invoice; raise ValueError with the reason to refuse it, without adding anything."""
    cells = row.cells
    number = _read_number(cells["InvoiceNo"])
    line = InvoiceLine(
        row=row.number,
        code=_read_text(cells["StockCode"], "stock code", MAX_CODE),
        title=_read_text(cells.get("Description") or cells["StockCode"], "description", MAX_TEXT),
        quantity=_read_quantity(cells["Quantity"]),
        price_minor=read_price(cells["UnitPrice"], currency),
    )
    customer, country = _read_customer(cells), read_country(cells["Country"])
    draft = drafts.get(number)
    if draft is None:
        draft = drafts[number] = _Draft(row.number, customer, country)
    elif draft.country != country:
        raise ValueError(f"country {show(cells['Country'])}: in row {draft.row} the same invoice goes elsewhere")
    draft.lines.append(line)


def _read_number(text: str) -> str:
    if not text:
        raise ValueError("no invoice number")
    if CANCELLED.fullmatch(text):
        raise ValueError(f"cancelled invoice {show(text)}")
    if len(text) > MAX_NUMBER:
        raise ValueError(f"an invoice number of {len(text)} characters: at most {MAX_NUMBER} fit")
    return text


def _read_text(text: str, what: str, longest: int) -> str:
    if not text:
        raise ValueError(f"no {what}")
    if len(text) > longest:
        raise ValueError(f"a {what} of {len(text)} characters: at most {longest} fit")
    return text


def _read_quantity(text: str) -> int:
    if not text:
        raise ValueError("no quantity")
    if not QUANTITY.fullmatch(text):
        raise ValueError(f"bad quantity {show(text)}: a whole number of at most ten digits")
    quantity = int(text)
    if quantity < 0:
        raise ValueError(f"negative quantity {text}: a return, not a sale")
    if quantity == 0:
        raise ValueError("quantity 0: nothing to sell")
    if quantity > MAX_QUANTITY:
        raise ValueError(f"bad quantity {text}: at most {MAX_QUANTITY}")
    return quantity


def _read_customer(cells: Mapping[str, str]) -> str | None:
    text = cells.get("CustomerID", "")
    if not text:
        return None
    # Programs that fill gaps with NaN turn the other ids of the column into decimals.
    return _read_text(text.removesuffix(".0"), "customer id", MAX_CODE)
