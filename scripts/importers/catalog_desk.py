"""What the commands that fill the catalog share: a file, a database, one sentence when something is wrong."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from sqlalchemy import Engine

from pipeline.database import connect_engine
from pipeline.errors import CheckoutError, Code
from pipeline.settings import Settings
from scripts.environments.obstacles import Obstacle, explain_obstacles
from scripts.importers.refused_rows import keep_refused, name_refused_file
from scripts.importers.sheets import RowRefusal
from scripts.local_servers.embedded import open_settings
from scripts.terminal.output import say

#: The longest file: it is read as a whole, and takes several times as much of memory. A product takes about 1 kB.
MAX_FILE: Final = 512 * 1024 * 1024
#: What a command exits with when a part of its file was stored, or all of it and it is of no use yet.
PARTLY: Final = 3

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Refusals = Annotated[
    Path | None, typer.Option(help="Where the rows refused go; by default to FILE.refused.csv when they are over 20.")
]


def read_file(file: Path, refusals: Path | None) -> bytes:
    """Return the content of a file, or end with exit code 2, also when the rows refused would go to that file."""
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
    """Give an engine; whatever can go wrong at the database or in the settings ends in one sentence and exit code 1."""
    with open_shop() as (engine, _settings):
        yield engine


@contextlib.contextmanager
def open_shop() -> Iterator[tuple[Engine, Settings]]:
    """Give an engine as `open_catalog` does, and the settings."""
    try:
        with explain_obstacles():
            settings = open_settings()
            engine = connect_engine(settings, application_name="catalog")
            try:
                yield engine, settings
            finally:
                engine.dispose()
    except (CheckoutError, Obstacle) as error:
        is_call = isinstance(error, CheckoutError) and error.code == Code.LOCATION_UNKNOWN
        stop(str(error), code=2 if is_call else 1)
    except UnicodeEncodeError:
        stop("The sku or the location is not text in this terminal's encoding: type it again.")


def keep_refused_rows(refused: Sequence[RowRefusal], asked: Path | None, file: Path) -> Path | None:
    """Write the rows refused to a file when they are many or it is asked for; say so when that cannot be done."""
    try:
        return keep_refused(refused, asked, name_refused_file(file))
    except OSError as error:
        say(f"{error.filename} cannot be written ({error.strerror}): here are all rows refused.", err=True)
        return None


def print_encoding(encoding: str, cells: str) -> None:
    """Say that a file was not in Unicode, since its letters may be wrong."""
    if encoding == "windows-1252":
        say(f"The file is not UTF-8 and was read as {encoding}: look at accented letters in the {cells}")


def stop(sentence: str, *, code: int = 1) -> NoReturn:
    """Say one sentence and end."""
    say(sentence, err=True)
    raise typer.Exit(code)
