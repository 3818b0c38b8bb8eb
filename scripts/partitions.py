"""Partitions of months: `checkout partitions list`, `create --months 3`, `detach --before 2026-01`.

`create` is for a monthly cron job: run twice, it makes nothing twice. `detach` takes whole months or nothing. Both need
the owner of the tables. Exit codes: 0 done, or nothing to do; 1 refused; 2 the database cannot be reached.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from pipeline.operations.detachment import Detachment, detach, plan_detachments
from pipeline.operations.partitions import find_missing, list_partitions, make_partitions
from pipeline.settings import Settings
from scripts.command_table import COMMANDS
from scripts.environments.command_transaction import open_transaction, print_rows, refuse
from scripts.terminal.output import say, say_json

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=COMMANDS["partitions"].help
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


def _read_month(given: str) -> date:
    try:
        return datetime.strptime(given, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        raise typer.BadParameter("it must be a month such as 2026-01.") from None


@app.command("list")
def show(*, as_json: AsJson = False) -> None:
    """List all partitions of months, oldest first, detached ones too."""
    with open_transaction("partitions") as (connection, _):
        found = list_partitions(connection)
    if as_json:
        say_json([asdict(each) for each in found])
        return
    rows = [
        (f"{each.month:%Y-%m}", each.table, "attached" if each.is_attached else "detached", each.rows, each.bytes)
        for each in found
    ]
    print_rows(("month", "table", "is", "rows, about", "bytes"), rows)


@app.command()
def create(
    *,
    months: Annotated[int, typer.Option(min=1, max=120, help="How many months after this one.")] = 3,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make the partitions of this month and the next; rows of default partitions go where they belong."""
    with _open() as (connection, _):
        missing = find_missing(connection, months)
        made = [] if dry_run else make_partitions(connection, missing)
    if as_json:
        say_json([asdict(each) for each in (missing if dry_run else made)])
        return
    if dry_run:
        print_rows(("month", "table"), [(f"{each.month:%Y-%m}", each.table) for each in missing])
    else:
        print_rows(("month", "table", "moved"), [(f"{each.month:%Y-%m}", each.table, each.moved) for each in made])
    if not missing:
        say("Nothing is missing.", err=True)


@app.command("detach")
def detach_months(
    *,
    before: Annotated[date, typer.Option(parser=_read_month, metavar="YYYY-MM", help="The first month that stays.")],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Detach the events and stock movements of all months before one; the audit stays exact."""
    with _open() as (connection, settings):
        planned = plan_detachments(connection, settings, before)
        refused = next((each for each in planned if each.obstacle), None) if dry_run else detach(connection, planned)
    if as_json:
        say_json([_describe(refused if refused and each.month == refused.month else each) for each in planned])
    elif refused is None:
        print_rows(("month", "partition", "rows, about"), list(_list_rows(planned)))
    if refused is not None:
        refuse(f"{refused.month:%Y-%m} is not detached, nor any other month: {refused.obstacle}.")
    if not planned:
        say("No month before that has a partition.", err=True)


@contextlib.contextmanager
def _open() -> Iterator[tuple[Connection, Settings]]:
    """Yield a transaction in which statements may take their time; a lock that is not free ends the command."""
    with open_transaction("partitions") as (connection, settings):
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        try:
            yield connection, settings
        except DBAPIError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
            refuse("The tables are in use for longer than checkouts can wait, by an audit or a backup: run it again.")


def _describe(planned: Detachment) -> dict[str, Any]:
    return {
        "month": f"{planned.month:%Y-%m}",
        "obstacle": planned.obstacle,
        "partitions": [each.name for each in planned.partitions],
    }


def _list_rows(planned: Sequence[Detachment]) -> Iterator[tuple[str, str, int]]:
    for month in planned:
        for each in month.partitions:
            yield f"{month.month:%Y-%m}", each.name, each.rows


if __name__ == "__main__":
    app()
