"""Imports of tables of rates: `checkout catalog rates FILE`, `checkout catalog tax FILE.csv`.

Exit codes: 0 everything is stored, 1 nothing is, 2 the file as a whole cannot be used, 3 a part is stored, or the
stored rates are too old to be used.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from pipeline.catalog.exchange_rates import RateRow, is_too_old, read_newest, store_rates
from pipeline.catalog.rate_leaps import Leap, split_leaps
from pipeline.catalog.tax_rates import store_taxes
from pipeline.database import transaction
from scripts.importers.catalog_command import (
    PARTLY,
    AsJson,
    Refusals,
    keep_refused_rows,
    open_catalog,
    open_catalog_and_settings,
    print_encoding,
    read_file,
    stop,
)
from scripts.importers.exchange_rates import NotReadable, RateFile, RowRefusal, read_rates
from scripts.importers.headings import show
from scripts.importers.refused_rows import print_refused
from scripts.importers.tax_rates import RateUnit, read_taxes
from scripts.terminal.output import say, say_json

#: Rates of one transaction, well below a second each: the bank's whole history has some 200,000.
RATES_CHUNK: Final = 10_000

Ignored = Annotated[
    list[str] | None,
    typer.Option("--ignore-column", metavar="NAME", help="Leave out an unknown column; may be repeated."),
]


@dataclass(frozen=True, slots=True)
class TableReport:
    """The result of an import: `imported` counts the file's rates that are stored now, `changed` the written rows.

    `unread` has the columns left out, `notes` further sentences for the user.
    """

    file: str
    kind: str
    encoding: str
    rows: int
    imported: int
    changed: int
    refused: tuple[RowRefusal, ...]
    unread: tuple[str, ...]
    notes: tuple[str, ...]


def import_rates(
    *,
    file: Annotated[Path, typer.Argument(help="Euro reference rates of the European Central Bank, as XML or CSV.")],
    force: Annotated[bool, typer.Option(help="Import what looks cut off, and rates far from earlier ones.")] = False,
    ignore_column: Ignored = None,
    refusals: Refusals = None,
    as_json: AsJson = False,
) -> None:
    """Store exchange rates from a file; report what was refused."""
    content = read_file(file, refusals)
    try:
        found = read_rates(content, today=datetime.now(UTC).date(), ignored=ignore_column or (), force=force)
    except NotReadable as error:
        stop(f"{file} is no file of reference rates: {error}.", code=2)
    with open_catalog_and_settings() as (engine, settings):
        accepted: Sequence[RateRow] = found.rates
        leaps: Sequence[Leap] = ()
        if not force:
            with transaction(engine) as connection:
                accepted, leaps = split_leaps(connection, found.rates)
        changed = 0
        for start in range(0, len(accepted), RATES_CHUNK):
            with transaction(engine) as connection:
                changed += store_rates(connection, accepted[start : start + RATES_CHUNK])
        with transaction(engine) as connection:
            newest = read_newest(connection)
    notes: tuple[str, ...] = ()
    if newest is not None and is_too_old(newest, datetime.now(UTC), settings):
        notes = (
            f"The newest rate stored is of {newest:%Y-%m-%d}, and carts take none older than"
            f" {settings.rate_max_age_hours} hours (CHECKOUT_RATE_MAX_AGE_HOURS): those that need one are refused until"
            " newer rates are imported",
        )
    refused = sorted([*found.refused, *(_explain(leap, found) for leap in leaps)], key=lambda each: each.row)
    report = TableReport(
        file.name,
        "exchange rates",
        found.encoding,
        found.days,
        len(accepted),
        changed,
        tuple(refused),
        found.unread,
        notes,
    )
    # Former currencies are in every history: they do not make the import a partial one.
    _finish(report, file, refusals, partly=len(refused) > found.lost or bool(notes), as_json=as_json)


def import_taxes(
    *,
    file: Annotated[Path, typer.Argument(help="A table of tax rates, as CSV.")],
    unit: Annotated[RateUnit | None, typer.Option(help="The unit of rates without %; fractions by default.")] = None,
    partial: Annotated[bool, typer.Option(help="Store the other rows when some are refused.")] = False,
    force: Annotated[
        bool, typer.Option(help="Import rates of 50 % and more, and a last row that looks cut off.")
    ] = False,
    ignore_column: Ignored = None,
    refusals: Refusals = None,
    as_json: AsJson = False,
) -> None:
    """Store tax rates from a file, all or none of them; report the rows that were refused."""
    content = read_file(file, refusals)
    try:
        found = read_taxes(content, unit=unit, ignored=ignore_column or (), force=force)
    except NotReadable as error:
        stop(f"{file} is no table of tax rates: {error}.", code=2)
    taxes = found.taxes if partial or not found.refused else ()
    changed = 0
    if taxes:
        with open_catalog() as engine, transaction(engine) as connection:
            changed = store_taxes(connection, taxes)
    notes = [f"Its rates are read as {_UNITS[found.unit]}"]
    if found.taxes and not taxes:
        notes.append("Nothing is stored, since rows are refused: correct them, or store the others with --partial")
    report = TableReport(
        file.name,
        "tax rates",
        found.encoding,
        found.rows,
        len(taxes),
        changed,
        found.refused,
        found.unread,
        tuple(notes),
    )
    _finish(report, file, refusals, partly=bool(found.refused), as_json=as_json)


_UNITS: Final = {
    RateUnit.PERCENT: "percentages: 20 is 20 %",
    RateUnit.FRACTION: "fractions: 0.2 is 20 %; --unit percent reads percentages without a sign",
}


def _explain(leap: Leap, found: RateFile) -> RowRefusal:
    row, day = leap.row, leap.row.observed_at.date()
    return RowRefusal(
        found.places[row.quote, row.observed_at],
        f"{row.quote} on {day} is {row.rate}, and {leap.other_rate.normalize():f} on {leap.other_at.date()}: more"
        f" than {leap.factor} times as much or as little, so it may be cut off or mistyped; when it is right, import"
        " the file with --force",
    )


def _finish(report: TableReport, file: Path, asked: Path | None, *, partly: bool, as_json: bool) -> NoReturn:
    """Print the report and exit."""
    kept = keep_refused_rows(report.refused, asked, file)
    if as_json:
        say_json(asdict(report))
    else:
        say(
            f"{report.file}: {report.rows} rows, {report.imported} {report.kind} imported,"
            f" {report.changed} rows written, {len(report.refused)} refused"
        )
        print_encoding(report.encoding, "names")
        if report.unread:
            say(f"Not read: {', '.join(show(name) for name in report.unread)}")
        for note in report.notes:
            say(note)
        print_refused(report.refused, kept)
    raise typer.Exit(1 if not report.imported else PARTLY if partly else 0)
