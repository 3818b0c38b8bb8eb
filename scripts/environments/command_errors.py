"""Errors that keep a command from its work, each reported in one sentence with its remedy."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from psycopg.errors import UndefinedColumn, UndefinedTable
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from pipeline.database.readers import AWAY
from pipeline.errors import Code, Unavailable, sentence
from pipeline.errors.objections import explain_first
from pipeline.operations.replication import explain_no_writes
from pipeline.settings import Settings, SettingsError
from scripts.local_servers.embedded import EmbeddedError

if TYPE_CHECKING:
    from redis.client import Redis

#: A bare `sqlalchemy.exc.TimeoutError` is not among these: one connection is all that these scripts take from a pool.
KNOWN = (EmbeddedError, SettingsError, ValidationError, DBAPIError, OSError)


class CommandError(Exception):
    """The command cannot do its work; the message has the reason and the remedy, and never a password."""


@contextlib.contextmanager
def explain_errors() -> Iterator[None]:
    """Turn errors of the settings or the database into CommandError."""
    try:
        yield
    except KNOWN as error:
        raise CommandError(_explain(error)) from error
    except Unavailable as error:
        if error.code is not Code.READING_UNAVAILABLE:
            raise
        raise CommandError(_explain_reader(error)) from error


def open_redis(settings: Settings) -> "Redis":
    """Return a client that connects at first use; raise CommandError when REDIS_URL is not an address."""
    from workers.broker.redis_client import connect_redis  # noqa: PLC0415 (150 modules; most commands read no queue)

    try:
        return connect_redis(settings.redis_url.get_secret_value())
    except SettingsError as error:
        raise CommandError(str(error)) from error


def _explain_reader(error: Unavailable) -> str:
    """Return the sentence; where the database did not answer, with the words of the driver, as for other databases."""
    cause = error.__cause__
    if error.detail["reason"] != AWAY or not isinstance(cause, DBAPIError):
        return str(error)
    return sentence(Code.READING_UNAVAILABLE, {"reason": str(cause.orig).splitlines()[0]})


def _explain(error: Exception) -> str:
    match error:
        case ValidationError():
            return f"A setting is not valid: {explain_first(error)}."
        case DBAPIError(orig=UndefinedTable() | UndefinedColumn()):
            return "The database has no tables yet, or old ones: run `alembic upgrade head`, then this again."
        case DBAPIError():
            return explain_no_writes(error) or f"The database did not answer: {str(error.orig).splitlines()[0]}."
        case _:
            return str(error)
