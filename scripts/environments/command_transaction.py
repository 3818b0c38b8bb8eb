"""One transaction for a command, and its exit codes: done (0), refused (1), database not reached (2)."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NoReturn, TypeVar

import typer
from rich.table import Table
from sqlalchemy import Connection, Engine

from pipeline.database import connect_engine, connect_reader, transaction
from pipeline.database.readers import Standby
from pipeline.errors import CheckoutError
from pipeline.settings import Settings
from scripts.environments.command_errors import CommandError, explain_errors
from scripts.local_servers.embedded import open_settings
from scripts.terminal.output import Screen, say, say_row

T = TypeVar("T")

REFUSED: Final = 1
UNREACHABLE: Final = 2


@contextlib.contextmanager
def open_transaction(name: str) -> Iterator[tuple[Connection, Settings]]:
    """Yield a transaction on the configured database, committed at the end; an error ends the command."""
    with open_engine(name, pool_size=1) as (engine, settings), transaction(engine) as connection:
        yield connection, settings


@contextlib.contextmanager
def open_engine(name: str, *, pool_size: int) -> Iterator[tuple[Engine, Settings]]:
    """Yield the configured database, for work of several transactions; an error ends the command."""
    try:
        with explain_errors():
            settings = open_settings()
            engine = connect_engine(settings, application_name=name, pool_size=pool_size)
            try:
                yield engine, settings
            finally:
                engine.dispose()
    except CommandError as error:
        refuse(str(error), code=UNREACHABLE)
    except CheckoutError as error:
        refuse(str(error))


def read_for_people(name: str, work: Callable[[Connection, Settings], T]) -> tuple[T, Standby | None]:
    """Return what `work` read, as `Reader.read` does; an error ends the command."""
    try:
        with explain_errors():
            settings = open_settings()
            with contextlib.closing(connect_reader(settings, application_name=name, pool_size=1)) as reader:
                return reader.read(lambda connection: work(connection, settings))
    except CommandError as error:
        refuse(str(error), code=UNREACHABLE)


def refuse(sentence: str, *, code: int = REFUSED) -> NoReturn:
    """End the command with a sentence on standard error."""
    say(sentence, err=True)
    raise typer.Exit(code)


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table on a terminal, or one row on each line, with tabs, into a pipe."""
    screen = Screen()
    texts = [["-" if each is None else str(each) for each in row] for row in rows]
    if not screen.is_terminal:
        for row in texts:
            say_row(row)
        return
    table = Table(*columns, box=None, pad_edge=False)
    for row in texts:
        table.add_row(*row)
    screen.print(table)
