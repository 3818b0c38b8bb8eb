"""Fills the catalog: `scripts/catalog.py import FILE.csv --currency USD`, `scripts/catalog.py stock SKU QTY`.

What decides prices beside the price list: `scripts/catalog.py rates FILE`, `scripts/catalog.py tax FILE.csv`.

Exit codes: 0 something was imported or set, 1 nothing was, 2 the call itself is wrong (file, columns, currency).
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from sqlalchemy import Connection, Engine

from models.money import minor_digits
from pipeline import catalog
from pipeline.database import connect_engine, transaction
from pipeline.errors import CheckoutError
from pipeline.rates import store_rates
from pipeline.taxes import store_taxes
from scripts.embedded import open_settings
from scripts.obstacles import Obstacle, explain_obstacles
from scripts.rates import read_rates
from scripts.shopify import MAX_QUANTITY, Export, ExportedVariant, NotReadable, Refusal, read_export
from scripts.taxes import read_taxes
from scripts.terminal import say, say_json

#: Variants of one transaction: its stock rows are locked for some tens of milliseconds, and checkouts wait meanwhile.
CHUNK: Final = 1500
#: Rates of one transaction, well below a second each: the bank's whole history has some 200,000.
RATES_CHUNK: Final = 10_000

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="Fill the catalog.")


def _check_location(code: str) -> str:
    if not code.strip():
        raise typer.BadParameter("a location has a name, such as main")
    return code.strip()


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Location = Annotated[str, typer.Option(help="Where the stock is; created when new.", callback=_check_location)]


@dataclass(frozen=True, slots=True)
class Report:
    """What an import did. Skus are derived from handle and options where the file has none."""

    file: str
    currency: str
    location: str
    encoding: str
    rows: int
    imported: int
    skus_derived: int
    prices_changed: int
    stock_changed: int
    refused: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class TableReport:
    """What an import of rates did: `imported` are those of the file that are stored now, `changed` the rows written."""

    file: str
    kind: str
    encoding: str
    rows: int
    imported: int
    changed: int
    refused: tuple[Refusal, ...]


@app.command("import")
def import_file(
    *,
    file: Annotated[Path, typer.Argument(help="A product export of Shopify, as CSV.")],
    currency: Annotated[str, typer.Option(help="The currency of its prices, such as USD.")],
    location: Location = "main",
    as_json: AsJson = False,
) -> None:
    """Create or update variants, prices and stock from a file; report the rows that were refused."""
    currency = currency.upper()
    if minor_digits(currency) is None:
        _stop(f"{currency} is not an ISO 4217 currency with a minor unit: use one such as USD.", code=2)
    content = _read_file(file)
    try:
        export = read_export(content, currency)
    except NotReadable as error:
        _stop(f"{file} is not a product export of Shopify: {error}.", code=2)
    with _open_catalog() as engine:
        report = import_export(engine, export, file=file.name, currency=currency, location=location)
    if as_json:
        say_json(asdict(report))
    else:
        _print_report(report)
    raise typer.Exit(0 if report.imported else 1)


# A negative QTY is to be told that it is out of range, not that it is an unknown option.
@app.command("stock", context_settings={"ignore_unknown_options": True})
def set_on_hand(
    sku: Annotated[str, typer.Argument(help="The variant.")],
    quantity: Annotated[int, typer.Argument(metavar="QTY", min=0, max=MAX_QUANTITY, help="Units on hand.")],
    location: Location = "main",
) -> None:
    """Set how many units of a variant are on hand, those held by checkouts included."""
    with _open_catalog() as engine, transaction(engine) as connection:
        (change,) = catalog.set_stock(connection, [catalog.StockRow(sku, location, quantity)])
    say(f"{change.sku} at {change.location}: {change.before} before, {change.after} now")


@app.command("rates")
def import_rates(
    *,
    file: Annotated[Path, typer.Argument(help="Euro reference rates of the European Central Bank, as XML or CSV.")],
    as_json: AsJson = False,
) -> None:
    """Store exchange rates from a file; report what was refused."""
    content = _read_file(file)
    try:
        found = read_rates(content, today=datetime.now(UTC).date())
    except NotReadable as error:
        _stop(f"{file} is no file of reference rates: {error}.", code=2)
    changed = 0
    with _open_catalog() as engine:
        for start in range(0, len(found.rates), RATES_CHUNK):
            with transaction(engine) as connection:
                changed += store_rates(connection, found.rates[start : start + RATES_CHUNK])
    _finish(
        TableReport(file.name, "exchange rates", "utf-8", found.days, len(found.rates), changed, found.refused),
        as_json=as_json,
    )


@app.command("tax")
def import_taxes(
    *, file: Annotated[Path, typer.Argument(help="A table of tax rates, as CSV.")], as_json: AsJson = False
) -> None:
    """Store tax rates from a file, all together; report the rows that were refused."""
    content = _read_file(file)
    try:
        found = read_taxes(content)
    except NotReadable as error:
        _stop(f"{file} is no table of tax rates: {error}.", code=2)
    with _open_catalog() as engine, transaction(engine) as connection:
        changed = store_taxes(connection, found.taxes)
    _finish(
        TableReport(file.name, "tax rates", found.encoding, found.rows, len(found.taxes), changed, found.refused),
        as_json=as_json,
    )


def import_export(engine: Engine, export: Export, *, file: str, currency: str, location: str) -> Report:
    """Write what was read, a chunk a transaction. A second import of the same file writes nothing.

    A row whose stock would fall below what checkouts hold is refused as a whole: its title and price stay too.
    """
    refused = list(export.refused)
    imported: list[ExportedVariant] = []
    prices_changed = stock_changed = 0
    for start in range(0, len(export.variants), CHUNK):
        chunk = export.variants[start : start + CHUNK]
        while chunk:
            try:
                with transaction(engine) as connection:
                    prices, stock = _write_chunk(connection, chunk, currency, location)
            except catalog.StockReserved as error:
                # Each round leaves at least one row out, so this ends.
                held = {shortfall.sku: shortfall for shortfall in error.shortfalls}
                refused += [
                    Refusal(variant.row, _explain(held[variant.sku])) for variant in chunk if variant.sku in held
                ]
                chunk = tuple(variant for variant in chunk if variant.sku not in held)
            else:
                imported += chunk
                prices_changed += prices
                stock_changed += stock
                break
    return Report(
        file=file,
        currency=currency,
        location=location,
        encoding=export.encoding,
        rows=export.rows,
        imported=len(imported),
        skus_derived=sum(variant.is_sku_derived for variant in imported),
        prices_changed=prices_changed,
        stock_changed=stock_changed,
        refused=tuple(sorted(refused, key=lambda refusal: refusal.row)),
    )


def _write_chunk(
    connection: Connection, chunk: Sequence[ExportedVariant], currency: str, location: str
) -> tuple[int, int]:
    """Return how many prices and how many stock levels changed."""
    catalog.upsert_variants(
        connection,
        [
            catalog.VariantRow(
                variant.sku, variant.title, variant.category, variant.backorder_policy, active=variant.active
            )
            for variant in chunk
        ],
    )
    prices = catalog.set_prices(
        connection, [catalog.PriceRow(variant.sku, currency, variant.price_minor) for variant in chunk]
    )
    changes = catalog.set_stock(
        connection, [catalog.StockRow(variant.sku, location, variant.quantity) for variant in chunk]
    )
    return prices, sum(change.before != change.after for change in changes)


def _explain(shortfall: catalog.Shortfall) -> str:
    return (
        f"{shortfall.reserved} of {shortfall.sku} are held by checkouts at {shortfall.location}"
        f" and {shortfall.quantity} would be on hand"
    )


def _print_report(report: Report) -> None:
    say(
        f"{report.file}: {report.rows} rows, {report.imported} variants imported at {report.location},"
        f" {len(report.refused)} rows refused"
    )
    say(f"{report.prices_changed} prices and {report.stock_changed} stock levels changed")
    if report.skus_derived:
        say(f"{report.skus_derived} skus were derived from handle and options, since the file has none")
    _print_encoding(report.encoding, "titles")
    _print_refused(report.refused)


def _print_encoding(encoding: str, cells: str) -> None:
    if encoding != "utf-8":
        say(f"The file is not UTF-8 and was read as {encoding}: look at accented letters in the {cells}")


def _print_refused(refused: Sequence[Refusal]) -> None:
    for refusal in refused:
        say(f"row {refusal.row}: {refusal.reason}")


def _finish(report: TableReport, *, as_json: bool) -> NoReturn:
    """Tell what was done, and exit: 1 when the file had nothing to use."""
    if as_json:
        say_json(asdict(report))
    else:
        say(
            f"{report.file}: {report.rows} rows, {report.imported} {report.kind} imported,"
            f" {report.changed} rows written, {len(report.refused)} refused"
        )
        _print_encoding(report.encoding, "names")
        _print_refused(report.refused)
    raise typer.Exit(0 if report.imported else 1)


def _read_file(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        _stop(f"{file} cannot be read: {error.strerror}.", code=2)


@contextlib.contextmanager
def _open_catalog() -> Iterator[Engine]:
    """Give an engine; whatever can go wrong at the database or in the settings ends in one sentence and exit code 1."""
    try:
        with explain_obstacles():
            engine = connect_engine(open_settings(), application_name="catalog")
            try:
                yield engine
            finally:
                engine.dispose()
    except (CheckoutError, Obstacle) as error:
        _stop(str(error))
    except UnicodeEncodeError:
        _stop("The sku or the location is not text in this terminal's encoding: type it again.")


def _stop(sentence: str, *, code: int = 1) -> NoReturn:
    say(sentence, err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
