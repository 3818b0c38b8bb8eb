"""What the commands that fill the catalog share: a file, a database, one sentence when something is wrong."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import typer
from sqlalchemy import Engine

from pipeline.database import connect_engine
from pipeline.errors import CheckoutError
from pipeline.settings import Settings
from scripts.embedded import open_settings
from scripts.obstacles import Obstacle, explain_obstacles


def read_file(file: Path) -> bytes:
    """Return the content of a file, or end with exit code 2."""
    try:
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
        stop(str(error))
    except UnicodeEncodeError:
        stop("The sku or the location is not text in this terminal's encoding: type it again.")


def stop(sentence: str, *, code: int = 1) -> NoReturn:
    """Say one sentence and end."""
    typer.echo(sentence, err=True)
    raise typer.Exit(code)
