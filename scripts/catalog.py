"""Fills the catalog: `scripts/catalog.py import FILE.csv --currency USD`, `scripts/catalog.py stock SKU QTY`.

Exit codes: 0 something was imported or set, 1 nothing was, 2 the call itself is wrong (file, columns, currency).
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from sqlalchemy import Connection, Engine

from models.money import minor_digits
from pipeline import catalog
from pipeline.database import connect_engine, transaction
from pipeline.errors import CheckoutError
from scripts.embedded import open_settings
from scripts.obstacles import Obstacle, explain_obstacles
from scripts.shopify import MAX_QUANTITY, Export, ExportedVariant, NotReadable, Refusal, read_export

#: Variants of one transaction: its stock rows are locked for some tens of milliseconds, and checkouts wait meanwhile.
CHUNK: Final = 1500

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="Fill the catalog.")


def _check_location(code: str) -> str:
    if not code.strip():
        raise typer.BadParameter("a location has a name, such as main")
    return code.strip()


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


@app.command("import")
def import_file(
    *,
    file: Annotated[Path, typer.Argument(help="A product export of Shopify, as CSV.")],
    currency: Annotated[str, typer.Option(help="The currency of its prices, such as USD.")],
    location: Location = "main",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Create or update variants, prices and stock from a file; report the rows that were refused."""
    currency = currency.upper()
    if minor_digits(currency) is None:
        _stop(f"{currency} is not an ISO 4217 currency with a minor unit: use one such as USD.", code=2)
    try:
        export = read_export(file.read_bytes(), currency)
    except OSError as error:
        _stop(f"{file} cannot be read: {error.strerror}.", code=2)
    except NotReadable as error:
        _stop(f"{file} is not a product export of Shopify: {error}.", code=2)
    with _open_catalog() as engine:
        report = import_export(engine, export, file=file.name, currency=currency, location=location)
    if as_json:
        typer.echo(json.dumps(asdict(report)))
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
    typer.echo(f"{change.sku} at {change.location}: {change.before} before, {change.after} now")


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
    typer.echo(
        f"{report.file}: {report.rows} rows, {report.imported} variants imported at {report.location},"
        f" {len(report.refused)} rows refused"
    )
    typer.echo(f"{report.prices_changed} prices and {report.stock_changed} stock levels changed")
    if report.skus_derived:
        typer.echo(f"{report.skus_derived} skus were derived from handle and options, since the file has none")
    if report.encoding != "utf-8":
        typer.echo(f"The file is not UTF-8 and was read as {report.encoding}: look at accented letters in the titles")
    for refusal in report.refused:
        typer.echo(f"row {refusal.row}: {refusal.reason}")


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
    typer.echo(sentence, err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
