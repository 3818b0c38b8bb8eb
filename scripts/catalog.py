"""Fills the catalog: `scripts/catalog.py import FILE.csv --currency USD`, `scripts/catalog.py stock SKU +5`.

What decides prices beside the price list: `scripts/catalog.py rates FILE`, `scripts/catalog.py tax FILE.csv`.

Exit codes: 0 everything was imported or set, 1 nothing was, 2 the call itself is wrong (file, columns, currency,
location), 3 a part was: rows were refused.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from sqlalchemy import Engine

from models.identifiers import normalize_location
from models.money import minor_digits
from pipeline import catalog
from pipeline.database import connect_engine, transaction
from pipeline.errors import CheckoutError, Code
from pipeline.rates import store_rates
from pipeline.taxes import store_taxes
from scripts.embedded import open_settings
from scripts.obstacles import Obstacle, explain_obstacles
from scripts.product_import import ImportOptions, check_options, import_export
from scripts.product_report import print_encoding, print_report
from scripts.progress import show_progress
from scripts.rates import read_rates
from scripts.refused_rows import keep_refused, name_refused_file, print_refused
from scripts.shopify import NotReadable, Refusal, SkuSource, read_export
from scripts.stock_quantity import read_count_time, read_stock_change
from scripts.taxes import read_taxes

#: Rates of one transaction, well below a second each: the bank's whole history has some 200,000.
RATES_CHUNK: Final = 10_000
#: The longest file: it is read as a whole, and takes several times as much of memory. A product takes about 1 kB.
MAX_FILE: Final = 512 * 1024 * 1024
#: What a command exits with when some rows of its file were refused.
PARTLY: Final = 3

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="Fill the catalog.")


def _check_location(code: str) -> str:
    try:
        return normalize_location(code)
    except ValueError as error:
        raise typer.BadParameter(f"a location has a name, such as main ({error})") from error


def _check_moment(text: str | None) -> datetime | None:
    try:
        return None if text is None else read_count_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Location = Annotated[str, typer.Option(help="Where the stock is.", callback=_check_location)]
Create = Annotated[bool, typer.Option("--create", help="Create the location when it is new.")]
Refusals = Annotated[
    Path | None, typer.Option(help="Where the rows refused go; by default to FILE.refused.csv when they are over 20.")
]


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
    create: Create = False,
    sku_from: Annotated[
        SkuSource, typer.Option(help="Where skus come from: the column, or each from handle and options.")
    ] = SkuSource.COLUMN,
    stock_as_of: Annotated[
        str | None,
        typer.Option(help="When its quantities were right: set stock to them, less what was sold since."),
    ] = None,
    prices_include_tax: Annotated[
        bool | None,
        typer.Option(
            "--prices-include-tax/--prices-exclude-tax",
            help="Of variants without a price: the others keep theirs.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Take a last row that looks cut off.")] = False,
    refusals: Refusals = None,
    as_json: AsJson = False,
) -> None:
    """Create or update variants and prices from a file, and the stock of new variants; report the rows refused."""
    currency = currency.upper()
    if minor_digits(currency) is None:
        _stop(f"{currency} is not an ISO 4217 currency with a minor unit: use one such as USD.", code=2)
    if refusals is not None and refusals.exists() and refusals.samefile(file):
        _stop(f"--refusals {refusals} is the file that is imported: name another one.", code=2)
    options = ImportOptions(currency, location, create, prices_include_tax, _check_moment(stock_as_of))
    content = _read_file(file)
    try:
        export = read_export(content, currency, sku_from=sku_from, force=force)
    except NotReadable as error:
        _stop(f"{file} is not a product export of Shopify: {error}.", code=2)
    with _open_catalog() as engine:
        if wrong := check_options(engine, options):
            _stop(wrong, code=2)
        with show_progress(len(export.variants), "variants") as progress:
            report = import_export(engine, export, file=file.name, options=options, progress=progress)
    kept = _keep_refused(report.refused, refusals, file)
    if as_json:
        typer.echo(json.dumps(asdict(report)))
    else:
        print_report(report)
        print_refused(report.refused, kept)
    _exit(report.imported, report.refused)


# A QTY below zero is a difference, not an unknown option.
@app.command("stock", context_settings={"ignore_unknown_options": True})
def set_on_hand(
    *,
    sku: Annotated[str, typer.Argument(help="The variant.")],
    quantity: Annotated[
        str, typer.Argument(metavar="QTY", help="+5 more units, -3 fewer, or 12 on hand (with --expect).")
    ],
    expect: Annotated[int | None, typer.Option(min=-(10**9), max=10**9, help="The units on hand now.")] = None,
    location: Location = "main",
    create: Create = False,
) -> None:
    """Add or take units of a variant, or set how many are on hand, those held by checkouts included."""
    try:
        row = read_stock_change(sku, location, quantity, expect)
    except ValueError as error:
        _stop(f"{error}.", code=2)
    with _open_catalog() as engine, transaction(engine) as connection:
        (change,) = catalog.set_stock(connection, [row], create_locations=create)
    typer.echo(f"{change.sku} at {change.location}: {change.before} before, {change.after} now")


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


def _keep_refused(refused: tuple[Refusal, ...], asked: Path | None, file: Path) -> Path | None:
    """Write the rows refused to a file when they are many or it is asked for; say so when that cannot be done."""
    try:
        return keep_refused(refused, asked, name_refused_file(file))
    except OSError as error:
        typer.echo(f"{error.filename} cannot be written ({error.strerror}): here are all rows refused.", err=True)
        return None


def _exit(imported: int, refused: tuple[Refusal, ...]) -> NoReturn:
    raise typer.Exit((PARTLY if refused else 0) if imported else 1)


def _finish(report: TableReport, *, as_json: bool) -> NoReturn:
    """Tell what was done, and exit: 1 when the file had nothing to use."""
    if as_json:
        typer.echo(json.dumps(asdict(report)))
    else:
        typer.echo(
            f"{report.file}: {report.rows} rows, {report.imported} {report.kind} imported,"
            f" {report.changed} rows written, {len(report.refused)} refused"
        )
        print_encoding(report.encoding, "names")
        print_refused(report.refused, _keep_refused(report.refused, None, Path(report.file)))
    raise typer.Exit(0 if report.imported else 1)


def _read_file(file: Path) -> bytes:
    try:
        if (size := file.stat().st_size) > MAX_FILE:
            _stop(f"{file} has {size} bytes and at most {MAX_FILE} are read at once: split it.", code=2)
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
        is_call = isinstance(error, CheckoutError) and error.code == Code.LOCATION_UNKNOWN
        _stop(str(error), code=2 if is_call else 1)
    except UnicodeEncodeError:
        _stop("The sku or the location is not text in this terminal's encoding: type it again.")


def _stop(sentence: str, *, code: int = 1) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
