"""An installation for a test: its own servers, which can be stopped, and every process of the Procfile."""

import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx2
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.exc import OperationalError

from pipeline.audit import audit
from pipeline.database import connect_engine
from pipeline.database.migrations import migrate
from pipeline.database.roles import Role, grant, make_user
from pipeline.gateways.installed import list_grants
from pipeline.security import Scope, create_key
from pipeline.settings import Settings
from scripts.environments.fleet import read_procfile
from scripts.local_servers.owner import make_folder
from scripts.local_servers.postgres import Postgres
from scripts.local_servers.valkey import Valkey, find_port
from tests.conftest import SANDBOX_SECRET, spare_the_disk
from tests.support.harness import ADDRESS, OWNER, Shelf
from tests.support.processes import BANK_TIMES, TIMES, Processes, run_processes
from tests.support.tables import empty_tables

#: Bound of every wait, and what `Prefer: wait` says where the end is asserted. A busy machine takes several times
#: as long as an idle one, which is done within seconds: neither is a promise to users.
SECONDS: Final = 100.0
LONG_WAIT: Final = 90
#: A bound in seconds is one of an idle machine. So many small requests come on top of it: a quarter of a second there,
#: and on a busy one what its work adds to that of the engine.
MANY: Final = 20
#: Of a wait for what stays so. Most polls are statements of PostgreSQL, beside what is waited for.
POLL_SECONDS: Final = 0.1
#: The database user of the processes.
WORKER: Final = "edge_worker"


@dataclass
class Place:
    """The parts of one installation."""

    settings: Settings
    postgres: Postgres
    valkey: Valkey
    processes: Processes
    engine: Engine
    shelf: Shelf
    token: str
    url: str

    @property
    def headers(self) -> dict[str, str]:
        """The header with the API key."""
        return {"Authorization": f"Bearer {self.token}"}

    def client(self) -> httpx2.Client:
        """Return a new client, to be closed by the caller."""
        return httpx2.Client(base_url=self.url, headers=self.headers, timeout=SECONDS + 20)

    def cut_postgres(self) -> None:
        """Crash the database."""
        process = self.postgres._process
        assert process is not None
        process.send_signal(signal.SIGQUIT)
        process.wait(SECONDS)
        self.engine.dispose()

    def wait_for_edge(self) -> None:
        """Return once the edge answers."""

        def answers() -> bool:
            with suppress(httpx2.TransportError):
                return httpx2.get(f"{self.url}/health/checkout").status_code < 500
            return False

        wait_until(answers, "the edge answers")

    def wait_for_health(self, status: str) -> None:
        """Return once the health check has this status; its response is cached for a second."""
        wait_until(lambda: httpx2.get(f"{self.url}/health/checkout").json()["status"] == status, status)

    def wait_for_states(self, wanted: Mapping[str, int]) -> None:
        """Return once this many checkouts are in each state."""

        def read() -> dict[str, int]:
            try:
                return dict(self.shelf.rows("SELECT state, count(*) FROM checkouts GROUP BY state"))
            except OperationalError:
                return {}

        wait_until(lambda: read() == wanted, f"{wanted}, not {read()}")

    def assert_sound(self) -> None:
        """Assert that every invariant holds."""
        with self.engine.connect() as connection:
            assert audit(connection, self.settings) == []


def wait_until(
    is_so: Callable[[], object], what: str, seconds: float = SECONDS, *, every_seconds: float = POLL_SECONDS
) -> None:
    """Poll until the condition holds; fail after the bound."""
    ends_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends_at, f"not within {seconds} s: {what}"
        time.sleep(every_seconds)


def measure_usual(client: httpx2.Client) -> float:
    """Return how long a small request takes here and now: the longest of five, in seconds."""
    times = []
    for _ in range(5):
        began = time.monotonic()
        assert client.get(f"/carts/{uuid4()}").status_code == 404
        times.append(time.monotonic() - began)
    return max(times)


def make_cart(sku: str, quantity: int = 1) -> dict[str, Any]:
    """Return a cart as a request's body."""
    lines = [{"sku": sku, "quantity": quantity}]
    return {"id": str(uuid4()), "currency": "EUR", "lines": lines, "shipping_address": ADDRESS}


def ask(cart: Mapping[str, Any], token: str = "tok_ok") -> dict[str, Any]:
    """Return the body that pays this cart."""
    return {"cart": dict(cart), "payment": {"token": token}}


def key(name: object, wait: int = 0) -> dict[str, str]:
    """Return the headers of a payment."""
    return {"Idempotency-Key": str(name)} | ({"Prefer": f"wait={wait}"} if wait else {})


def find_worker_url(url: str) -> str:
    """Return the address with the processes' database user."""
    return make_url(url).set(username=WORKER).render_as_string(hide_password=False)


@contextmanager
def open_place(log: Path, *, twice: str = "", **changes: Any) -> Iterator[Place]:
    """Start everything, the line `twice` two times, and remove it afterwards."""
    folder = make_folder()
    postgres, valkey = Postgres(folder / "postgres", folder), Valkey(folder)
    try:
        postgres.start()
        valkey.start()
        spare_the_disk(postgres.url)
        port = find_port()
        settings = Settings(
            _env_file=None,
            database_url=SecretStr(postgres.url),
            redis_url=SecretStr(valkey.url),
            gateway="sandbox",
            web_sign_ins_per_minute=1000,
            **{
                **TIMES,
                "web_port": port,
                "web_writes_per_minute": 100_000,
                "web_reads_per_minute": 100_000,
                "web_max_wait_seconds": LONG_WAIT,
                **changes,
            },
        ).with_gateway_options(webhook_secret=SANDBOX_SECRET, **BANK_TIMES)
        admin = create_engine(make_url(postgres.url).set(drivername="postgresql+psycopg"))
        with admin.begin() as connection:
            migrate(connection)
            # The processes get the least privileges that they need.
            grant(connection, list_grants())
            make_user(connection, WORKER, Role.WORKER)
            _, token = create_key(connection, owner=OWNER, name="test", scopes=list(Scope))
        admin.dispose()
        workers = settings.model_copy(update={"database_url": SecretStr(find_worker_url(postgres.url))})
        lines = read_procfile(with_web=True)
        lines |= {f"{twice}_beside": lines[twice]} if twice else {}
        engine = connect_engine(settings, application_name="test")
        try:
            with run_processes(workers, log, lines) as processes:
                url = f"http://127.0.0.1:{port}"
                place = Place(settings, postgres, valkey, processes, engine, Shelf(engine), token, url)
                place.wait_for_edge()
                yield place
        finally:
            engine.dispose()
    finally:
        valkey.stop()
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def empty(place: Place) -> None:
    """Delete every cart, checkout and variant."""
    tables = place.shelf.rows(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('public', 'sandbox')"
    )
    kept = {"public.alembic_version", "public.api_keys", "public.heartbeats"}
    with place.engine.begin() as connection:
        empty_tables(connection, [table for (table,) in tables if table not in kept])


def pid_of(place: Place, unit: str) -> int:
    """Return the process id of a unit."""
    return place.processes.supervisor.pids()[unit]
