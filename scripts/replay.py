"""Runs a file of invoices through the pipeline: `checkout replay FILE.csv [--stock N] [--vat PERCENT] [--json]`.

Real worker processes, on a database and a Redis database of its own on the given servers, or on temporary servers.
Exit codes: 0 every checkout ended and no invariant is violated, 1 otherwise, 2 the file or the call cannot be used.
"""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn
from uuid import uuid4

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from models.money import Money, minor_digits
from pipeline.audit import AuditReport, take_report
from pipeline.database import connect_engine
from pipeline.settings import Settings
from scripts.environments.command_errors import CommandError, explain_errors, open_redis
from scripts.environments.ending import Ended, Ending
from scripts.environments.fleet import FleetLog, read_procfile, run_fleet
from scripts.environments.reaper import temporary_folder
from scripts.environments.scratch import explain_redis, name_database, open_scratch
from scripts.environments.waiting import read_waiting
from scripts.importers.headings import show as show_cell
from scripts.importers.shopify import MAX_QUANTITY
from scripts.invoice_replay.invoices import InvoiceFile, NotReadable, read_invoices
from scripts.invoice_replay.run import (
    ReplayOutcome,
    build_message,
    levy_vat,
    read_outcome,
    run_messages,
    stock_variants,
)
from scripts.local_servers.embedded import Urls, serve
from scripts.terminal.output import Screen, say, say_json

#: Refused rows shown; `--json` has them all.
SHOWN_ROWS: Final = 20
#: A percentage with at most four decimals, as tax rates are stored.
PERCENT: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,4})?")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    *,
    file: Annotated[Path, typer.Argument(help="Invoices as CSV, in the columns of the Online Retail data set.")],
    currency: Annotated[str, typer.Option(help="The currency of its prices.")] = "GBP",
    stock: Annotated[
        int | None, typer.Option(min=0, max=MAX_QUANTITY, help="Units of every variant; enough for all by default.")
    ] = None,
    vat: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="A tax that the prices include, in every country of the file.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Import a last row that looks cut off.")] = False,
    ignore_column: Annotated[
        list[str] | None, typer.Option("--ignore-column", metavar="NAME", help="Leave out an unknown column.")
    ] = None,
    keep: Annotated[bool, typer.Option(help="Keep the database; with DATABASE_URL only.")] = False,
    log: Annotated[Path | None, typer.Option(help="Keep what the processes print in this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, as the last line.")] = False,
) -> None:
    """Turn every invoice into a cart with its own prices, check it out, and audit the result."""
    notes = Screen(stderr=True, soft_wrap=True)
    rate = None if vat is None else _read_percent(vat)
    invoices = _read(file, currency.upper(), ignored=ignore_column or (), force=force)
    if keep and not Urls().database_url:
        _stop("--keep keeps a database of a server that stays: set DATABASE_URL.", code=2)
    _report_file(notes, file, invoices)
    with Ending() as ending:
        try:
            with explain_errors():
                outcome, report, seconds = replay(
                    invoices, currency.upper(), ending, notes, stock=stock, vat=rate, keep=keep, log_path=log
                )
        except CommandError as error:
            _stop(str(error))
        except Ended as ended:
            _stop(str(ended), code=ended.code)
    if as_json:
        say_json(_describe(file, invoices, currency.upper(), outcome, report, seconds))
    else:
        _show(Screen(), currency.upper(), outcome, report, seconds)
    clean = not (outcome.unfinished or outcome.off or outcome.units_held or report.violations)
    raise typer.Exit(0 if clean else 1)


def replay(
    invoices: InvoiceFile,
    currency: str,
    ending: Ending,
    notes: Console,
    *,
    stock: int | None,
    vat: Decimal | None = None,
    keep: bool = False,
    log_path: Path | None = None,
) -> tuple[ReplayOutcome, AuditReport, float]:
    """Run all invoices; return their outcome, the audit, and the seconds from the first message to the last end.

    Raises CommandError or Ended; then too, nothing is left behind except a database that was to be kept.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder("checkout-replay-"))
        log = FleetLog(log_path or folder / "processes.log")
        stack.callback(log.close)
        settings = stack.enter_context(open_scratch(stack.enter_context(serve()), "replay", keep=keep))
        _report_servers(notes, settings, keep=keep)
        ending.check()
        engine = connect_engine(settings, application_name="replay", pool_size=1, statement_timeout_seconds=0)
        stack.callback(engine.dispose)
        units = stock_variants(engine, invoices.invoices, stock)
        if vat is not None:
            levy_vat(engine, invoices.invoices, vat)
        run, included = uuid4().hex[:12], None if vat is None else True
        messages = [build_message(each, currency, run, settings, tax_included=included) for each in invoices.invoices]
        lines = read_procfile()
        notes.print(f"Starting {len(lines)} processes.")
        stack.enter_context(run_fleet(settings, log, ending, lines=lines))
        with _show_progress(notes, len(messages)) as show:
            seconds = run_messages(engine, settings, messages, ending, show)
        with explain_redis(), open_redis(settings) as client:
            queued = read_waiting(client)
        with engine.connect() as connection:
            report = take_report(connection, settings, queued=queued)
        with engine.connect() as connection:
            outcome = read_outcome(connection, units, len(messages))
        if outcome.unfinished:
            _report_stuck(notes, outcome, log)
        return outcome, report, seconds


def _read(file: Path, currency: str, *, ignored: Collection[str], force: bool) -> InvoiceFile:
    if minor_digits(currency) is None:
        _stop(f"{currency} is not an ISO 4217 currency with a minor unit: use one such as GBP.", code=2)
    try:
        invoices = read_invoices(file.read_bytes(), currency, ignored=ignored, force=force)
    except OSError as error:
        _stop(f"{file} cannot be read: {error.strerror}.", code=2)
    except NotReadable as error:
        _stop(f"{file} is not a file of invoices: {error}.", code=2)
    if not invoices.invoices:
        first = f", the first because of: {invoices.refused[0].reason}" if invoices.refused else ""
        _stop(
            f"{file} has no invoice to replay: {len(invoices.refused)} of {invoices.rows} rows refused{first}.", code=2
        )
    return invoices


def _read_percent(text: str) -> Decimal:
    """Return a percentage as a fraction."""
    if PERCENT.fullmatch(text) is None or Decimal(text) > 100:
        _stop(f"{text} is not a percentage: use one from 0 to 100, such as 20 or 7.5.", code=2)
    return Decimal(text) / 100


def _report_file(notes: Console, file: Path, invoices: InvoiceFile) -> None:
    found = f"{invoices.rows} rows, {len(invoices.invoices)} invoices, {len(invoices.refused)} rows refused"
    notes.print(f"{file.name}: {found}.")
    if invoices.encoding != "utf-8":
        notes.print(
            f"The file is not UTF-8 and was read as {invoices.encoding}: look at accented letters in the titles."
        )
    if invoices.unread:
        notes.print(f"Not read: {', '.join(show_cell(name) for name in invoices.unread)}.")
    for refusal in invoices.refused[:SHOWN_ROWS]:
        notes.print(f"row {refusal.row}: {refusal.reason}")
    if len(invoices.refused) > SHOWN_ROWS:
        notes.print(f"and {len(invoices.refused) - SHOWN_ROWS} more rows; --json has them all")
    if invoices.refused:
        notes.print("A refused row leaves its invoice shorter; an invoice without rows is no checkout.")


def _report_servers(notes: Console, settings: Settings, *, keep: bool) -> None:
    given = Urls()
    if not given.database_url:
        notes.print("PostgreSQL runs for the moment only: set DATABASE_URL to use another one.")
    elif keep:
        notes.print(f"It has a database of its own beside the given one, {name_database(settings)}, which stays.")
    else:
        notes.print(
            f"It has a database of its own beside the given one, {name_database(settings)}, dropped at the end."
        )


def _report_stuck(notes: Console, outcome: ReplayOutcome, log: FleetLog) -> None:
    where = ", ".join(f"{count} {place}" for place, count in outcome.unfinished.items())
    notes.print(f"Nothing has moved for a while and not all is done: {where}. The last lines of the processes:")
    for line in log.tail:
        notes.print(line)


@contextmanager
def _show_progress(notes: Console, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows how many have ended: a bar on a terminal, elsewhere a line at every quarter."""
    if notes.is_terminal:
        columns = (TextColumn("checkouts"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=notes) as bar:
            task = bar.add_task("", total=total)
            yield lambda ended: bar.update(task, completed=ended)
        return
    shown = -1

    def report(ended: int) -> None:
        nonlocal shown
        if ended * 4 // total > shown:
            shown = ended * 4 // total
            notes.print(f"{ended} of {total} checkouts ended.")

    yield report


def _describe(
    file: Path, invoices: InvoiceFile, currency: str, outcome: ReplayOutcome, report: AuditReport, seconds: float
) -> dict[str, Any]:
    facts = asdict(outcome)
    off = facts.pop("off")
    return {
        **facts,
        "currency": currency,
        "stock_conserved": not off,
        "stock_off": off,
        "audit_violations": len(report.violations),
        "audit_invariants": len(report.checked),
        "broken": [violation.invariant for violation in report.violations],
        "seconds": round(seconds, 2),
        "file": file.name,
        "encoding": invoices.encoding,
        "rows": invoices.rows,
        "refused": [asdict(refusal) for refusal in invoices.refused],
    }


def _show(console: Console, currency: str, outcome: ReplayOutcome, report: AuditReport, seconds: float) -> None:
    table = Table(box=SIMPLE, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_row("checkouts", f"{outcome.checkouts:,}")
    table.add_row("completed", f"{outcome.completed:,}", style="green")
    for code, count in outcome.failed.items():
        table.add_row(f"failed: {code}", f"{count:,}", style="yellow")
    for place, count in outcome.unfinished.items():
        table.add_row(f"unfinished: {place}", f"{count:,}", style="bold red")
    table.add_row("units sold", f"{outcome.units_sold:,}")
    table.add_row("units left", f"{outcome.units_left:,}")
    table.add_row("units still held", f"{outcome.units_held:,}", style="bold red" if outcome.units_held else None)
    conserved = f"no: {len(outcome.off)} variants" if outcome.off else f"yes, of {outcome.units_stocked:,}"
    table.add_row("sold + left = stock", conserved, style="bold red" if outcome.off else None)
    table.add_row("revenue", str(Money(outcome.revenue_minor, currency)))
    if outcome.tax_minor:
        table.add_row("tax in it", str(Money(outcome.tax_minor, currency)))
    broken = ", ".join(violation.invariant for violation in report.violations)
    audit = f"violated: {broken}" if broken else f"{len(report.checked)} invariants hold"
    table.add_row("audit", audit, style="bold red" if broken else "green")
    table.add_row("seconds", f"{seconds:.1f}")
    console.print(table)


def _stop(sentence: str, *, code: int = 1) -> NoReturn:
    say(sentence, err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
