"""A database and a Redis database of a script's own, on the given servers; nothing else there is touched."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import uuid4

from psycopg.errors import InsufficientPrivilege
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import RedisError
from redis.sentinel import MasterNotFoundError
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from pipeline.database import connect_engine
from pipeline.database.migrations import migrate
from pipeline.database.urls import read_database_url
from pipeline.gateways.installed import read_options
from pipeline.settings import Settings
from scripts.environments.command_errors import CommandError, explain_errors, open_redis
from scripts.local_servers.embedded import SANDBOX

#: Redis has sixteen databases by default; 0 is the one that other clients use.
REDIS_DATABASES: Final = range(15, 0, -1)
#: The key that reserves a database. The lease of a killed script ends after a day.
LEASE: Final = "checkout:scratch"
SEEKER: Final = "checkout-scratch"
LEASE_SECONDS: Final = 24 * 3600
#: The words of the client name its connections.
NO_MASTER: Final = (
    "The Sentinels of REDIS_URL name no master: check that they answer, and the name of the service at the end of it."
)


@contextmanager
def open_scratch(settings: Settings, name: str, *, keep: bool = False) -> Iterator[Settings]:
    """Yield settings for a database `<name>_<id>` with the schema, and an empty Redis database; remove both at the end.

    The gateway is the sandbox bank, with its ledger in this database: no real card is ever charged. With `keep` the
    database stays. Raises CommandError when the servers do not allow it.
    """
    with ExitStack() as stack:
        database_url = stack.enter_context(own_database(settings, f"{name}_{uuid4().hex[:12]}", keep=keep))
        redis_url = stack.enter_context(_own_redis(settings))
        # An empty address, not none: the processes would read one from `.env`, and this database has no standby.
        update = {"database_url": database_url, "redis_url": redis_url, "read_url": SecretStr(""), "gateway": SANDBOX}
        own = settings.model_copy(update=update)
        own = own.with_gateway_options(**{**read_options(own), "database_url": database_url})
        engine = connect_engine(own, application_name="schema", pool_size=1, statement_timeout_seconds=0)
        with explain_errors():
            try:
                with engine.begin() as connection:
                    migrate(connection)
            finally:
                engine.dispose()
        yield own


def name_database(settings: Settings) -> str:
    """Return the name of the database."""
    return read_database_url(settings.database_url.get_secret_value()).database or ""


@contextmanager
def own_database(settings: Settings, name: str, *, keep: bool = False) -> Iterator[SecretStr]:
    """Yield the address of a new, empty database of this name; remove it at the end, unless it is kept."""
    with explain_errors():
        admin = connect_engine(settings, application_name="scratch", pool_size=1, statement_timeout_seconds=0)
        url = read_database_url(settings.database_url.get_secret_value()).set(drivername="postgresql", database=name)
    try:
        with explain_errors():
            _create(admin, name)
        try:
            yield SecretStr(url.render_as_string(hide_password=False))
        finally:
            if not keep:
                with explain_errors():
                    _execute(admin, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    finally:
        admin.dispose()


def _create(admin: Engine, name: str) -> None:
    try:
        _execute(admin, f"CREATE DATABASE {name}")
    except DBAPIError as error:
        if isinstance(error.orig, InsufficientPrivilege):
            raise CommandError(
                "The role of DATABASE_URL may not create a database: grant it CREATEDB, or unset DATABASE_URL."
            ) from error
        raise


def _execute(admin: Engine, statement: str) -> None:
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))


@contextmanager
def _own_redis(settings: Settings) -> Iterator[SecretStr]:
    own = _find_redis(settings)
    try:
        yield own.redis_url
    finally:
        with explain_redis(), open_redis(own) as client:
            client.flushdb()


def _find_redis(settings: Settings) -> Settings:
    open_redis(settings).close()  # reports an invalid address
    url = settings.redis_url.get_secret_value()
    for number in REDIS_DATABASES:
        own = settings.model_copy(update={"redis_url": SecretStr(_choose_database(url, number))})
        with explain_redis(), open_redis(own) as client:
            if _lease(client, number):
                return own
    raise CommandError("Each of the databases 1 to 15 of REDIS_URL is in use: empty one, or unset REDIS_URL.")


@contextmanager
def explain_redis() -> Iterator[None]:
    """Turn errors of Redis into CommandError."""
    try:
        yield
    except MasterNotFoundError as error:
        raise CommandError(NO_MASTER) from error
    except (RedisError, OSError) as error:
        raise CommandError(f"Redis did not answer: {error}.") from error


def _lease(client: Redis, number: int) -> bool:
    """Lease this database if it is empty and has no client, except scripts that search one too."""
    client.client_setname(SEEKER)
    if client.dbsize() or not client.set(LEASE, "leased", nx=True, ex=LEASE_SECONDS):
        return False
    if any(each["db"] == str(number) and each["name"] != SEEKER for each in client.client_list()):
        client.delete(LEASE)
        return False
    return True


def _choose_database(url: str, number: int) -> str:
    """Return the address of another database of the same server; `db` in the query has precedence over the path."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "db"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("db", str(number))])))
