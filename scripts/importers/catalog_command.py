"""Shared parts of the catalog commands: the file, the database, and errors in one sentence."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from sqlalchemy import Engine

from pipeline.database import connect_engine
from pipeline.errors import CheckoutError, Code
from pipeline.settings import Settings
from scripts.environments.command_errors import CommandError, explain_errors
from scripts.importers.refused_rows import keep_refused, name_refused_file
from scripts.importers.sheets import RowRefusal
from scripts.local_servers.embedded import open_settings
from scripts.terminal.output import say

#: The longest file: it is read as a whole, and needs several times as much memory. A product takes about 1 kB.
MAX_FILE: Final = 512 * 1024 * 1024
#: The exit code when a part of the file was stored, or all of it but it cannot be used yet.
PARTLY: Final = 3

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Refusals = Annotated[
    Path | None, typer.Option(help="File for the refused rows; by default FILE.refused.csv when they are over 20.")
]


def read_file(file: Path, refusals: Path | None) -> bytes:
    """Return the content of a file; end with exit code 2 when that fails, or when `refusals` is the same file."""
    try:
        if refusals is not None and refusals.exists() and refusals.samefile(file):
            stop(f"--refusals {refusals} is the file that is imported: name another one.", code=2)
        if (size := file.stat().st_size) > MAX_FILE:
            stop(f"{file} has {size} bytes and at most {MAX_FILE} are read at once: split it.", code=2)
        return file.read_bytes()
    except OSError as error:
        stop(f"{file} cannot be read: {error.strerror}.", code=2)


@contextlib.contextmanager
def open_catalog() -> Iterator[Engine]:
    """Yield a database engine; errors of the database or the settings end in one sentence and exit code 1."""
    with open_catalog_and_settings() as (engine, _settings):
        yield engine


@contextlib.contextmanager
def open_catalog_and_settings() -> Iterator[tuple[Engine, Settings]]:
    """Yield a database engine as `open_catalog` does, and the settings."""
    try:
        with explain_errors():
            settings = open_settings()
            engine = connect_engine(settings, application_name="catalog")
            try:
                yield engine, settings
            finally:
                engine.dispose()
    except (CheckoutError, CommandError) as error:
        is_wrong_call = isinstance(error, CheckoutError) and error.code == Code.LOCATION_UNKNOWN
        stop(str(error), code=2 if is_wrong_call else 1)
    except UnicodeEncodeError:
        stop("The sku or the location is not text in this terminal's encoding: type it again.")


def keep_refused_rows(refused: Sequence[RowRefusal], asked: Path | None, file: Path) -> Path | None:
    """Write the refused rows to a file when it was named or they are many; report when that fails."""
    try:
        return keep_refused(refused, asked, name_refused_file(file))
    except OSError as error:
        say(f"{error.filename} cannot be written ({error.strerror}): here are all refused rows.", err=True)
        return None


def print_encoding(encoding: str, cells: str) -> None:
    """Warn that a file was not Unicode, since its letters may be wrong."""
    if encoding == "windows-1252":
        say(f"The file is not UTF-8 and was read as {encoding}: look at accented letters in the {cells}")


def stop(sentence: str, *, code: int = 1) -> NoReturn:
    """End the command with a sentence on standard error."""
    say(sentence, err=True)
    raise typer.Exit(code)
