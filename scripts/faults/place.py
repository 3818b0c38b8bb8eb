"""The environment of a chaos run: its own servers and every process of the Procfile, some of the phases twice."""

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import requests
from pydantic import SecretStr
from sqlalchemy import Engine

from pipeline.database import connect_engine
from pipeline.database.migrations import migrate
from pipeline.database.roles import Role, grant, make_user
from pipeline.database.urls import read_database_url
from pipeline.gateways.installed import list_grants
from pipeline.saga import get_chain
from pipeline.saga.chain import GatewayPhase, undoable
from pipeline.security import Scope, create_key
from pipeline.settings import Settings, read_settings
from pipeline.webhooks.outbound import draw_secret
from scripts.environments.command_errors import CommandError
from scripts.environments.ending import Ending
from scripts.environments.fleet import FleetLog, read_procfile, run_fleet
from scripts.environments.supervisor import Supervisor
from scripts.local_servers.embedded import SANDBOX
from scripts.local_servers.owner import make_folder
from scripts.local_servers.postgres import Postgres
from scripts.local_servers.valkey import Valkey, find_port

OWNER: Final = "chaos"
#: The users that the processes connect as.
WORKER: Final = "chaos_worker"
READY_SECONDS: Final = 120


@dataclass
class Place:
    """The servers and processes that faults are injected into."""

    settings: Settings
    postgres: Postgres
    valkey: Valkey
    supervisor: Supervisor
    database: Engine
    url: str
    token: str

    def stop_postgres(self) -> None:
        """Crash the database: end it at once, without a checkpoint."""
        process = self.postgres._process  # noqa: SLF001 (`stop` would shut it down in order)
        if process is not None:
            process.send_signal(signal.SIGQUIT)
            process.wait(30)

    def start_postgres(self) -> None:
        """Start the database again; it recovers from its log."""
        self.postgres.start()
        self.database.dispose()

    def wait_for_web(self) -> None:
        """Return once the edge answers."""
        ends_at = time.monotonic() + READY_SECONDS
        while time.monotonic() < ends_at:
            try:
                if requests.get(f"{self.url}/health/checkout", timeout=5).status_code < 500:
                    return
            except requests.RequestException:
                pass  # not up yet: repeated until the bound
            time.sleep(0.1)
        raise CommandError("The HTTP edge does not answer.")


def choose_twins() -> dict[str, int]:
    """Return the phases that two processes share: those that call the gateway, and the first that is undone.

    When one of the two is frozen, the other takes its work, and the first must not write any more.
    """
    chain = get_chain()
    first = next(phase for phase in chain if undoable(phase))
    return {phase.name: 2 for phase in chain if phase is first or isinstance(phase.work, GatewayPhase)}


@contextmanager
def open_place(ending: Ending, seed: int, log: FleetLog, *, fault_rate: float = 0, **changes: Any) -> Iterator[Place]:
    """Start servers and processes for one run, and remove them at its end. Given servers are not used.

    `fault_rate` is the share of the bank's calls that fail.
    """
    with ExitStack() as stack:
        folder = make_folder()
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        postgres, valkey = Postgres(folder / "postgres", folder), Valkey(folder)
        stack.callback(postgres.stop)
        stack.callback(valkey.stop)
        postgres.start()
        valkey.start()
        settings = read_settings(
            database_url=SecretStr(postgres.url),
            redis_url=SecretStr(valkey.url),
            read_url=SecretStr(""),
            gateway=SANDBOX,
            web_port=find_port(),
            web_writes_per_minute=10_000_000,
            web_reads_per_minute=10_000_000,
            web_connections=4,
            pool_size=3,
            log_level="warning",
            # Polls of ended checkouts follow the clock: at the end nothing may change by itself.
            post_end_poll_seconds=24 * 3600,
            **changes,
        ).with_gateway_options(
            webhook_secret=SecretStr(draw_secret()), fault_seed=seed, fault_rate=fault_rate, database_url=None
        )
        database = connect_engine(settings, application_name="chaos", pool_size=4)
        stack.callback(database.dispose)
        with database.begin() as connection:
            migrate(connection)
            # The processes get the least privileges that they need.
            grant(connection, list_grants())
            make_user(connection, WORKER, Role.WORKER)
            _, token = create_key(connection, owner=OWNER, name="chaos", scopes=[Scope.CHECKOUT, Scope.ORDERS])
        worker_url = read_database_url(postgres.url).set(username=WORKER).render_as_string(hide_password=False)
        workers = settings.model_copy(update={"database_url": SecretStr(worker_url)})
        lines = read_procfile(with_web=True)
        supervisor = stack.enter_context(
            run_fleet(workers, log, ending, lines=lines, scale=choose_twins(), ready_seconds=READY_SECONDS)
        )
        url = f"http://127.0.0.1:{settings.web_port}"
        place = Place(settings, postgres, valkey, supervisor, database, url, token)
        place.wait_for_web()
        yield place
