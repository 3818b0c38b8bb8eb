"""Fills the catalog: `checkout catalog import FILE.csv --currency USD`, `checkout catalog stock SKU +5`.

Exchange rates and tax rates: `checkout catalog rates FILE`, `checkout catalog tax FILE.csv`.

Exit codes: 0 everything was imported or set, 1 nothing was, 2 the call itself is wrong (file, columns, currency,
location), 3 rows were refused and the others imported.
"""

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import TypeAdapter, ValidationError
from uuid_utils.compat import uuid7

from models.identifiers import normalize_location
from models.money import minor_digits
from models.states import CatalogKind
from pipeline.catalog import set_stock
from pipeline.catalog.batches import Change, record_change
from pipeline.catalog.reading import list_variants, read_levels
from pipeline.database import transaction
from pipeline.errors.objections import explain_first
from pipeline.field_types import Reference
from pipeline.field_types.kinds import ShortText, Sku
from scripts.command_table import COMMANDS
from scripts.environments.command_engine import Actor
from scripts.environments.command_transaction import print_rows
from scripts.importers.catalog_command import PARTLY, AsJson, Refusals, keep_refused_rows, open_catalog, read_file, stop
from scripts.importers.catalog_tables import import_rates, import_taxes
from scripts.importers.product_import import ImportOptions, check_options, import_export
from scripts.importers.product_report import print_report
from scripts.importers.refused_rows import print_refused
from scripts.importers.shopify import NotReadable, SkuSource, read_export
from scripts.importers.stock_quantity import read_count_time, read_stock_change
from scripts.terminal.catalog_view import (
    LEVEL_COLUMNS,
    PRICE_COLUMNS,
    VARIANT_COLUMNS,
    describe_level,
    describe_variant,
    list_prices,
)
from scripts.terminal.output import say, say_json
from scripts.terminal.progress import show_progress

#: Whose changes those of the command line are.
OPERATORS: Final = "operators"

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=COMMANDS["catalog"].help
)


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


def _check_text(text: str) -> str:
    return _check(ShortText, text)


def _check_skus(skus: list[str]) -> list[str]:
    return [_check(Sku, each) for each in dict.fromkeys(skus)]


def _check_reference(text: str | None) -> str | None:
    return None if text is None else _check(Reference, text)


def _check(kind: Any, text: str) -> str:
    try:
        found: str = TypeAdapter(kind).validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter(explain_first(error)) from None
    return found


Location = Annotated[str, typer.Option(help="Where the stock is.", callback=_check_location)]
Create = Annotated[bool, typer.Option("--create", help="Create the location when it is new.")]


@app.command("import")
def import_file(
    *,
    file: Annotated[Path, typer.Argument(help="A product export of Shopify, as CSV.")],
    currency: Annotated[str, typer.Option(help="The currency of its prices, such as USD.")],
    location: Location = "main",
    create: Create = False,
    sku_from: Annotated[
        SkuSource, typer.Option(help="Where SKUs come from: the column, or handle and options of each variant.")
    ] = SkuSource.COLUMN,
    stock_as_of: Annotated[
        str | None,
        typer.Option(help="When its quantities were counted: set stock to them, less what was sold since."),
    ] = None,
    prices_include_tax: Annotated[
        bool | None,
        typer.Option(
            "--prices-include-tax/--prices-exclude-tax",
            help="Only for variants without a price: the others keep their setting.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Import a last row that looks cut off.")] = False,
    refusals: Refusals = None,
    as_json: AsJson = False,
) -> None:
    """Create or update variants and prices from a file, and the stock of new variants; report the refused rows."""
    currency = currency.upper()
    if minor_digits(currency) is None:
        stop(f"{currency} is not an ISO 4217 currency with a minor unit: use one such as USD.", code=2)
    options = ImportOptions(currency, location, create, prices_include_tax, _check_moment(stock_as_of))
    content = read_file(file, refusals)
    try:
        export = read_export(content, currency, sku_from=sku_from, force=force)
    except NotReadable as error:
        stop(f"{file} is not a product export of Shopify: {error}.", code=2)
    with open_catalog() as engine:
        if wrong := check_options(engine, options):
            stop(wrong, code=2)
        with show_progress(len(export.variants), "variants") as progress:
            report = import_export(engine, export, file=file.name, options=options, progress=progress)
    kept = keep_refused_rows(report.refused, refusals, file)
    if as_json:
        say_json(asdict(report))
    else:
        print_report(report)
        print_refused(report.refused, kept)
    raise typer.Exit((PARTLY if report.refused else 0) if report.imported else 1)


# A negative QTY is a difference, not an unknown option.
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
    reason: Annotated[str, typer.Option(help="Why, written into the ledger.", callback=_check_text)] = "",
    reference: Annotated[
        str | None, typer.Option(help="A number of yours, such as the delivery note's.", callback=_check_reference)
    ] = None,
    actor: Actor,
) -> None:
    """Add or remove units of a variant, or set how many are on hand, reserved units included."""
    try:
        row = read_stock_change(sku, location, quantity, expect)
    except ValueError as error:
        stop(f"{error}.", code=2)
    about = Change(uuid7(), OPERATORS, f"operator:{actor}", reason, reference)
    with open_catalog() as engine, transaction(engine) as connection:
        (change,) = set_stock(connection, [row], create_locations=create, change_id=about.id)
        if change.before != change.after:
            record_change(connection, about, CatalogKind.STOCK, [asdict(change)], key=str(about.id), fingerprint="")
    say(f"{change.sku} at {change.location}: {change.before} before, {change.after} now")


@app.command()
def show(
    skus: Annotated[list[str], typer.Argument(metavar="SKU...", help="The variants.", callback=_check_skus)],
    *,
    as_json: AsJson = False,
) -> None:
    """Show variants with their prices and their stock at each location. Exits with 1 when one does not exist."""
    with open_catalog() as engine, transaction(engine) as connection:
        found = list_variants(connection, skus=skus).variants
        levels = read_levels(connection, [each.sku for each in found])
    if as_json:
        say_json({"variants": [asdict(each) for each in found], "levels": [asdict(each) for each in levels]})
    else:
        print_rows(VARIANT_COLUMNS, [describe_variant(each) for each in found])
        say()
        print_rows(PRICE_COLUMNS, [row for each in found for row in list_prices(each)])
        say()
        print_rows(LEVEL_COLUMNS, [describe_level(each) for each in levels])
    raise typer.Exit(0 if len(found) == len(set(skus)) else 1)


app.command("rates")(import_rates)
app.command("tax")(import_taxes)


if __name__ == "__main__":
    app()
