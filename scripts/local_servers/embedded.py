"""Real PostgreSQL and Valkey from wheels, used for each of DATABASE_URL and REDIS_URL that is not set."""

import contextlib
import fcntl
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.gateways.choice import find_real
from pipeline.operations import CommandLine
from pipeline.settings import Settings
from scripts.local_servers.postgres import EmbeddedError

__all__ = ["EmbeddedError", "Servers", "find_urls", "open_settings", "serve", "start"]

#: The gateway of an embedded database where none is chosen: it charges no real card.
SANDBOX: Final = "sandbox"

ROOT: Final = Path(__file__).resolve().parents[2]
#: Written by a running `checkout up`, so that scripts started beside it find the same servers.
STATE: Final = ROOT / ".local" / "servers.json"


class Urls(BaseSettings):
    """The two addresses from the environment or `.env`; neither is required."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL")
    redis_url: str | None = Field(default=None, validation_alias="REDIS_URL")


@dataclass(frozen=True, slots=True)
class Servers:
    """Running servers: call `stop`, or use them as a context manager. They also end with this process."""

    database_url: str
    redis_url: str
    pid: int
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Stop the servers and remove temporary data. Idempotent."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> "Servers":
        """Return the servers."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop them."""
        self.stop()


def start(
    data: Path | None = None,
    *,
    database_url: str | None = None,
    redis_url: str | None = None,
    state: Path | None = None,
    counting: bool = False,
) -> Servers:
    """Start the servers that have no address yet and wait until they answer; raise EmbeddedError.

    Without `data` everything is in a temporary folder, removed at the end. With `counting`, PostgreSQL counts the runs
    of each statement (pg_stat_statements). The servers belong to a separate process
    that ends with this one, even after SIGKILL; Ctrl-C reaches it through `stop` only.
    """
    options = {
        "--data": data and data.absolute(),
        "--state": state and state.absolute(),
    }
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "scripts.local_servers.owner"),
            *(part for name, value in options.items() if value for part in (name, str(value))),
            *(["--no-postgres"] if database_url else []),
            *(["--no-redis"] if redis_url else []),
            *(["--counting"] if counting else []),
        ],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    if process.stdout is None:
        raise TypeError("There is no pipe to the servers' process.")
    try:
        facts: dict[str, Any] = json.loads(process.stdout.readline() or b"{}")
    except BaseException:
        process.terminate()
        raise
    servers = Servers(
        database_url or facts.get("database_url") or "",
        redis_url or facts.get("redis_url") or "",
        process.pid,
        process,
    )
    if "pid" not in facts:
        servers.stop()
        raise EmbeddedError(facts.get("error", "The embedded servers ended before they had started; see above."))
    return servers


def find_urls(state: Path = STATE) -> tuple[str, str] | None:
    """Return the addresses of the database and of Redis from the environment, `.env`, or a running `checkout up`."""
    given = Urls()
    facts = read_state(state)
    database_url = given.database_url or facts.get("database_url")
    redis_url = given.redis_url or facts.get("redis_url")
    return (database_url, redis_url) if database_url and redis_url else None


def read_state(state: Path = STATE) -> dict[str, Any]:
    """Return what running servers have written into `state`; empty when they have ended."""
    if not state.exists():
        return {}
    with state.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:  # its owner is running
            facts: dict[str, Any] = json.loads(file.read() or "{}")
            return facts
    return {}


def open_settings(state: Path = STATE) -> Settings:
    """Return the settings for the servers that `find_urls` finds; raises EmbeddedError when there are none."""
    urls = find_urls(state)
    if urls is None:
        raise EmbeddedError(
            f"No database is known here: run `{CommandLine.UP}` beside this, or set DATABASE_URL and REDIS_URL."
        )
    return build_settings(*urls)


@contextlib.contextmanager
def serve(*, counting: bool = False) -> Iterator[Settings]:
    """Yield settings for the servers of the environment or `.env`; start temporary ones for those not given.

    With `counting`, a PostgreSQL that is started here counts the runs of each statement.
    """
    given = Urls()
    if given.database_url and given.redis_url:
        yield build_settings(given.database_url, given.redis_url)
        return
    with start(database_url=given.database_url, redis_url=given.redis_url, counting=counting) as servers:
        yield build_settings(servers.database_url, servers.redis_url)


def build_settings(database_url: str, redis_url: str, **others: Any) -> Settings:
    """Return the settings with these addresses, everything else from the environment.

    Where no database is given, people read the one that is started here, which has no standby. Where no gateway is
    named either, the gateway is the sandbox, unless a secret of another provider is set.
    """
    settings = Settings(database_url=SecretStr(database_url), redis_url=SecretStr(redis_url), **others)
    if Urls().database_url is not None:
        return settings
    settings = settings.model_copy(update={"read_url": SecretStr("")})
    if settings.gateway or find_real(settings):
        return settings
    return settings.model_copy(update={"gateway": SANDBOX})
