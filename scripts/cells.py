"""Cells: `checkout cells map --cell a=URL --cell b=URL`, `move OWNER --to URL --cell b`, `keys`, `show NUMBER`.

Exit codes: 0 done, 1 refused (invalid input, an owner that cannot be moved), 2 a database cannot be reached.
"""

import contextlib
from collections.abc import Iterator
from typing import Annotated

import typer
from pydantic import SecretStr

from models.cells import check_cell_name, find_cell
from pipeline.database import connect_engine
from pipeline.errors import CheckoutError
from pipeline.operations.cells import (
    CannotMoveError,
    Moving,
    list_moved_keys,
    move_owner,
    parse_cells,
    plan_move,
    write_haproxy,
)
from scripts.environments.command_errors import CommandError, explain_errors
from scripts.environments.command_transaction import UNREACHABLE, open_transaction, print_rows, refuse
from scripts.local_servers.embedded import open_settings
from scripts.terminal.output import say


def read_cell(name: str) -> str:
    """Return the name of a cell."""
    try:
        return check_cell_name(name)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from None


app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="Manage cells.")


@app.command("map")
def write_map(
    *,
    cell: Annotated[list[str], typer.Option(help="An edge of a cell, as NAME=URL; again for each other one.")],
    default: Annotated[
        str | None, typer.Option(help="The cell of requests whose API key names none; else the first.")
    ] = None,
    bind: Annotated[str, typer.Option(help="Where HAProxy listens.")] = ":8080",
    moved_keys: Annotated[str | None, typer.Option(help="The file of the keys of moved owners.")] = None,
) -> None:
    """Print the configuration of HAProxy that sends each request to the cell of its API key."""
    try:
        written = write_haproxy(parse_cells(cell), bind=bind, default=default, moved_keys=moved_keys)
    except CheckoutError as error:
        refuse(str(error))
    for line in written.splitlines():
        say(line)


@app.command()
def keys() -> None:
    """Print the keys of moved owners with their cells: the file of `--moved-keys`."""
    with open_transaction("cells") as (connection, _):
        moved = list_moved_keys(connection)
    for key_id, cell in moved:
        say(f"{key_id} {cell}")


@app.command()
def move(
    owner: Annotated[str, typer.Argument(help="The owner to move out of this cell.")],
    *,
    to: Annotated[str, typer.Option(metavar="DATABASE_URL", help="The database of the other cell.")],
    cell: Annotated[str, typer.Option(parser=read_cell, metavar="NAME", help="The name of the other cell.")],
    wait_seconds: Annotated[float, typer.Option(min=0, help="How long active checkouts may take to end.")] = 900,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, and change nothing.")] = False,
) -> None:
    """Move an owner with its history to another cell; the same command finishes a move that was interrupted."""
    with open_move(owner, cell, to, wait_seconds) as moving:
        if dry_run:
            counts, active = plan_move(moving)
            say(f"{sum(counts.values())} rows of {owner} would move to cell {cell}.")
            say(f"Still active: {', '.join(active) or 'nothing'}.")
        else:
            counts = move_owner(moving)
            say(f"{owner} lives in cell {cell}: {counts['orders']} orders, {sum(counts.values())} rows in all.")
    print_rows(("table", "rows"), list(counts.items()))


@contextlib.contextmanager
def open_move(owner: str, cell: str, to: str, wait_seconds: float) -> Iterator[Moving]:
    """Yield a move between the configured database and another one; an error ends the command."""
    try:
        with explain_errors():
            settings = open_settings()
            there = settings.model_copy(update={"database_url": SecretStr(to)})
            source = connect_engine(settings, application_name="cells", statement_timeout_seconds=0)
            target = connect_engine(
                settings, application_name="cells", statement_timeout_seconds=0, url=to, variable="--to"
            )
            try:
                yield Moving(owner, cell, source, target, settings, there, wait_seconds)
            finally:
                source.dispose()
                target.dispose()
    except CommandError as error:
        refuse(str(error), code=UNREACHABLE)
    except (CheckoutError, CannotMoveError) as error:
        refuse(str(error))


@app.command()
def show(number: Annotated[str, typer.Argument(help="An order number.")]) -> None:
    """Print the cell in which an order got its number."""
    try:
        cell = find_cell(int(number))
    except ValueError:
        refuse(f"No cell draws the order number {number}: compare it with the order.")
    say(cell or "This number was drawn without a cell.")


if __name__ == "__main__":
    app()
