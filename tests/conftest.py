"""Real servers for every test: found through DATABASE_URL and REDIS_URL, or started from the wheels for this run."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import structlog
from hypothesis import settings as hypothesis_settings
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import Connection, Engine, create_engine, make_url, text

from pipeline.database import connect_engine
from pipeline.database.temporary import open_database
from pipeline.settings import Settings
from scripts.environments.reaper import mark
from scripts.local_servers.embedded import start
from tests.support import commands
from tests.support.connections import KeptEngine, keep_bank
from tests.support.harness import Shelf, Works, build_works
from tests.support.soundness import assert_sound
from tests.support.tables import empty_tables
from workers.garbage import pause_collector, scan_rarely

pytest_plugins = ["tests.support.forking", "tests.support.repeating", "tests.support.standby"]

#: The environment as it was found. Tests see none of it: a laptop's settings change no result.
FOUND: Final = {
    name: os.environ.pop(name)
    for name in list(os.environ)
    if name in {"DATABASE_URL", "REDIS_URL"} or name.startswith("CHECKOUT_")
}

#: Short, so that a test waits for tenths of a second where production waits for seconds.
SHORT_TIMES: Final[dict[str, Any]] = {
    "redeliver_after_seconds": 0.2,
    "redeliver_always_after_seconds": 2,
    "sweep_interval_seconds": 0.2,
    "heartbeat_seconds": 1,
    "poll_interval_seconds": 0.1,
    "retry_seconds": 0.05,
    "retry_cap_seconds": 0.4,
    # No test waits for these: a bank that hangs does so for a tenth of a second (`hang_seconds`). A busy machine must
    # not be taken for one. A test that steps the engine without a sweep would stand still at the unknown outcome.
    "gateway_timeout_seconds": 8,
    "gateway_lease_seconds": 10,
}

# In CI the same examples every time; elsewhere new ones, and a failure prints what repeats it.
hypothesis_settings.register_profile("checkout", deadline=None, print_blob=True, derandomize="CI" in os.environ)
hypothesis_settings.load_profile("checkout")

# Errors that tests provoke are logged in one line: rich tracebacks cost a second each.
structlog.configure(
    processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer(key_order=["event"])]
)

#: Their tests take half of the time of those that start no processes.
LONG_FOLDERS: Final = {"web", "payments", "checkouts", "crashes"}

#: What the sandbox signs its webhooks with.
SANDBOX_SECRET: Final = SecretStr("whsec_dGVzdHMtb2YtdGhlLXNhbmRib3gtYmFuaw==")


def pytest_configure(config: pytest.Config) -> None:
    """Have all that is started end with the run."""
    del config
    os.environ.update(mark())
    # A run in the background of a shell inherits an ignored Ctrl-C, and so would all that it starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect without scans for garbage: a tenth of the time, and next to nothing of it is garbage."""
    with pause_collector():
        yield
    scan_rarely()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Begin at both ends, as workers do, with what takes long: files that start the real processes, and other ones.

    A file stays together, on one worker: what its tests share is started once.
    """
    yield
    items.sort(key=lambda item: (item.get_closest_marker("acceptance") is None, item.path.parent.name in LONG_FOLDERS))


@pytest.fixture(scope="session")
def server_urls() -> Iterator[tuple[str, str]]:
    """Addresses of a PostgreSQL server and a Redis server."""
    database_url, redis_url = FOUND.get("DATABASE_URL"), FOUND.get("REDIS_URL")
    if database_url and redis_url:
        yield database_url, redis_url
        return
    with start(database_url=database_url, redis_url=redis_url) as servers:
        if database_url is None:
            spare_the_disk(servers.database_url)
        yield servers.database_url, servers.redis_url


@pytest.fixture(scope="session", autouse=True)
def _logs_of_commands() -> Iterator[None]:
    """Leave the log of this process alone: a command configures that of its whole process, and this one has tests."""
    with pytest.MonkeyPatch.context() as patch:
        for place in ("command_engine", "reconcile_run"):
            patch.setattr(f"scripts.environments.{place}.configure_logs", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _command_server() -> Iterator[None]:
    """End the process that the tests' commands were forked from."""
    yield
    commands.SERVER.close()


def spare_the_disk(url: str) -> None:
    """Let a server of our own not wait for the disk: a killed one keeps what it wrote, and no test cuts the power."""
    admin = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("ALTER SYSTEM SET fsync = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    admin.dispose()


@pytest.fixture(scope="session")
def database_url(server_urls: tuple[str, str]) -> Iterator[str]:
    """A database of this run alone, with the schema. Its role must be a superuser, to empty append-only tables."""
    with open_database(server_urls[0], "checkout_test") as url:
        yield url


@pytest.fixture(scope="session")
def redis_database(server_urls: tuple[str, str]) -> Iterator[str]:
    """A Redis database of this run alone: the highest that is empty and that no other run has put its name on."""
    base = make_url(server_urls[1])
    for number in range(15, 0, -1):
        own = (
            base.update_query_dict({"db": str(number)}) if base.drivername == "unix" else base.set(database=str(number))
        )
        url = own.render_as_string(hide_password=False)
        name = f"checkout-test-{number}"
        with Redis.from_url(url, client_name=name) as holder:
            held = [client for client in holder.client_list() if client["name"] == name]
            if len(held) == 1 and holder.dbsize() == 0:
                yield url
                holder.flushdb()
                return
    pytest.fail("Each of the databases 1 to 15 of REDIS_URL is in use: empty one, or unset REDIS_URL.")


@pytest.fixture
def redis_url(redis_database: str) -> str:
    """The Redis database, emptied."""
    with Redis.from_url(redis_database) as client:
        client.flushdb()
    return redis_database


@pytest.fixture(scope="session")
def run_settings(database_url: str, redis_database: str) -> Settings:
    """Settings with short times, and play money; neither the environment nor a `.env` file has a say."""
    return Settings(
        _env_file=None,
        gateway="sandbox",
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_database),
        **SHORT_TIMES,
    ).with_gateway_options(webhook_secret=SANDBOX_SECRET, hang_seconds=0.1)


@pytest.fixture
def settings(run_settings: Settings, redis_url: str) -> Settings:
    """The same, with Redis emptied."""
    return run_settings


@pytest.fixture(scope="session")
def kept_engine(run_settings: Settings) -> Iterator[KeptEngine]:
    """The connections of most tests."""
    kept = KeptEngine(connect_engine(run_settings, application_name="test"))
    yield kept
    kept.close()


@pytest.fixture(scope="session")
def kept_bank(run_settings: Settings) -> Iterator[KeptEngine]:
    """Those of their sandbox bank."""
    with keep_bank(run_settings) as kept:
        yield kept


@pytest.fixture
def engine(
    settings: Settings, run_settings: Settings, kept_engine: KeptEngine, kept_bank: KeptEngine
) -> Iterator[Engine]:
    """Connections to the database, every table of it empty."""
    is_own = settings != run_settings
    for kept in (kept_engine, kept_bank):
        kept.renew()
    engine = connect_engine(settings, application_name="test") if is_own else kept_engine.view()
    try:
        with engine.begin() as connection:
            empty_tables(connection)
        yield engine
    finally:
        if is_own:
            engine.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """One transaction on the empty database, committed at the end of the test."""
    with engine.begin() as connection:
        yield connection


@pytest.fixture(scope="module")
def local_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the data of embedded servers; as root that data may be elsewhere, and goes too."""
    folder = tmp_path_factory.mktemp("place") / "local"
    yield folder
    for link in folder.glob("*"):
        if link.is_symlink():
            shutil.rmtree(link.resolve().parent)


@pytest.fixture
def shelf(engine: Engine) -> Shelf:
    """Goods and carts."""
    return Shelf(engine)


@pytest.fixture
def works(engine: Engine, settings: Settings) -> Iterator[Works]:
    """The engine in this process. Whatever a test does with it, the audit must be clean at its end."""
    with build_works(engine, settings) as built:
        yield built
        with engine.begin() as connection:
            assert_sound(connection, settings)
