"""Two cells on hosts of their own, HAProxy before them, and buyers: each host is a network namespace."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
from pydantic import SecretStr
from sqlalchemy import Engine

from pipeline.audit import take_report
from pipeline.catalog import PriceRow, StockRow, VariantRow, set_prices, set_stock, upsert_variants
from pipeline.database import connect_engine
from pipeline.database.migrations import migrate
from pipeline.security import Scope, create_key
from pipeline.settings import Settings, read_settings
from scripts.distributed.host_processes import HostProcesses, find_postgres
from scripts.distributed.layout import POSTGRES_PORT, SUPERUSER, VALKEY_PORT, WEB_PORT
from scripts.distributed.network import Network
from scripts.distributed.plain_hosts import FleetHost, PostgresHost
from scripts.distributed.requirements import need_program
from scripts.distributed.state import open_session
from scripts.environments.supervisor import build_env
from scripts.local_servers.embedded import ROOT, SANDBOX
from scripts.local_servers.owner import make_folder
from tests.support.patience import WAIT_SECONDS

ADDRESSES: Final = {
    "a-db": "10.79.0.11",
    "a-work": "10.79.0.12",
    "b-db": "10.79.0.21",
    "b-work": "10.79.0.22",
    "router": "10.79.0.31",
    "buyers": "10.79.0.41",
}
ROUTER_PORT: Final = 8080
#: The shops of each cell; one of the first cell moves.
SHOPS: Final = {"a": ("mover", "stayer"), "b": ("other",)}
VARIANTS: Final = 20
UNITS: Final = 1_000_000
#: A cell starts beside another one on a busy machine.
READY_SECONDS: Final = 3 * WAIT_SECONDS


def name_url(host: str, database: str = SUPERUSER) -> str:
    """Return the address of a host's PostgreSQL."""
    return f"postgresql://{SUPERUSER}@{ADDRESSES[host]}:{POSTGRES_PORT}/{database}"


@dataclass
class Cell:
    """One cell: the host of its database, and the one of everything else."""

    name: str
    database: PostgresHost
    work: FleetHost
    settings: Settings
    engine: Engine
    #: The API key of each of its shops.
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def edge(self) -> str:
        """The address of its HTTP edge."""
        return f"http://{self.work_address}:{WEB_PORT}"

    @property
    def work_address(self) -> str:
        """The address of the host of its workers."""
        return ADDRESSES[f"{self.name}-work"]

    def fill(self) -> None:
        """Make the schema, the same catalog as in the other cell, and the keys of its shops."""
        skus = [f"cell-{number}" for number in range(VARIANTS)]
        with self.engine.begin() as connection:
            migrate(connection)
            upsert_variants(connection, [VariantRow(sku=sku, title=sku) for sku in skus])
            set_prices(connection, [PriceRow(sku=sku, currency="EUR", amount_minor=1999) for sku in skus])
            set_stock(connection, [StockRow(sku, "main", UNITS) for sku in skus])
            for shop in SHOPS[self.name]:
                _, self.keys[shop] = create_key(
                    connection, owner=shop, name="till", scopes=[Scope.CHECKOUT], cell=self.name
                )

    def is_serving(self) -> bool:
        """Return whether its edge is healthy."""
        with suppress(OSError, ValueError), open_session() as session:
            return session.get(f"{self.edge}/health/checkout", timeout=5).status_code == 200
        return False

    def list_violations(self) -> list[str]:
        """Return what the audit finds."""
        # A connection that nobody used meanwhile may be one to a server that has died.
        self.engine.dispose()
        with self.engine.connect() as connection:
            return [each.invariant for each in take_report(connection, self.settings).violations]


@dataclass
class TwoCells:
    """Both cells and the router; used inside the buyers' namespace."""

    network: Network
    folder: Path
    a: Cell
    b: Cell
    router: HostProcesses
    report: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address of the router."""
        return f"http://{ADDRESSES['router']}:{ROUTER_PORT}"

    @property
    def moved_keys(self) -> Path:
        """The file of the keys of moved shops."""
        return self.folder / "moved.map"

    def route(self) -> None:
        """Start HAProxy with what `checkout cells map` prints."""
        self.moved_keys.touch()
        cells = [part for cell in (self.a, self.b) for part in ("--cell", f"{cell.name}={cell.edge}")]
        done = run_checkout("cells", "map", *cells, "--bind", f":{ROUTER_PORT}", "--moved-keys", str(self.moved_keys))
        assert done.returncode == 0, done.stderr
        (self.folder / "haproxy.cfg").write_text(done.stdout)
        self.start_router()

    def start_router(self, *options: str) -> None:
        """Start HAProxy, in the foreground."""
        command = [need_program("haproxy"), "-db", "-f", str(self.folder / "haproxy.cfg"), *options]
        self.router.start("haproxy", command)

    def reload_router(self) -> None:
        """Start a second HAProxy that takes the sockets of the first one, which ends when its requests have."""
        former = self.router.running["former"] = self.router.running["haproxy"]
        self.start_router("-sf", str(former.pid))

    def run_in_cell(self, cell: Cell, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of the engine on the worker host of a cell, with its settings."""
        return run_checkout(*arguments, enter=cell.work.namespace.enter(), env=build_env(cell.settings))

    def wait(self, holds: Callable[[], bool], what: str, seconds: float = READY_SECONDS) -> None:
        """Return when this holds."""
        ends_at = time.monotonic() + seconds
        while not holds():
            hosts = (self.a.database, self.a.work, self.b.database, self.b.work, self.router)
            assert time.monotonic() < ends_at, "\n".join((what, *(host.read_tail(5) for host in hosts)))
            time.sleep(0.1)


def run_checkout(
    *arguments: str, enter: list[str] | None = None, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    command = [*(enter or ()), sys.executable, "-m", "scripts.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env or dict(os.environ), capture_output=True, text=True, check=False)


@contextmanager
def open_two_cells() -> Iterator[TwoCells]:
    """Build both cells, and yield them when they serve, inside the buyers' namespace."""
    with ExitStack() as stack:
        folder = make_folder()
        folder.chmod(0o711)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        network = stack.enter_context(Network(ADDRESSES))
        binaries = find_postgres(folder)

        def open_database(host: str) -> PostgresHost:
            made = PostgresHost(host, network.hosts[host], folder / host, binaries, ADDRESSES[host])
            stack.callback(made.power_off)
            made.make()
            made.start_postgres()
            return made

        databases = {host: open_database(host) for host in ("a-db", "b-db", "buyers")}
        stack.enter_context(network.hosts["buyers"].inside())
        cells = {}
        for name in SHOPS:
            settings = _choose_settings(name)
            engine = connect_engine(settings, application_name="test", statement_timeout_seconds=0)
            stack.callback(engine.dispose)
            host = f"{name}-work"
            work = FleetHost(host, network.hosts[host], folder / host)
            stack.callback(work.power_off)
            cells[name] = Cell(name, databases[f"{name}-db"], work, settings, engine)
        router = HostProcesses("router", network.hosts["router"], folder / "router")
        stack.callback(router.power_off)
        made = TwoCells(network, folder, cells["a"], cells["b"], router)
        made.wait(lambda: all(takes_writes(host) for host in databases), "a database does not start")
        _make_bank(made.a.settings)
        for cell in cells.values():
            cell.fill()
            cell.work.start_valkey()
            cell.work.start_fleet(build_env(cell.settings), sys.executable)
        made.route()
        made.wait(lambda: made.a.is_serving() and made.b.is_serving(), "a cell does not serve")
        yield made


def takes_writes(host: str) -> bool:
    """Return whether a host's PostgreSQL answers."""
    with suppress(psycopg.Error), psycopg.connect(f"{name_url(host)}?connect_timeout=2", autocommit=True) as it:
        it.execute("SELECT 1")
        return True
    return False


def _make_bank(settings: Settings) -> None:
    bank = connect_engine(settings, application_name="bank", pool_size=1, url=name_url("buyers"))
    try:
        with bank.begin() as connection:
            migrate(connection)
    finally:
        bank.dispose()


def _choose_settings(cell: str) -> Settings:
    return read_settings(
        database_url=SecretStr(name_url(f"{cell}-db")),
        redis_url=SecretStr(f"redis://{ADDRESSES[f'{cell}-work']}:{VALKEY_PORT}/0"),
        cell=cell,
        gateway=SANDBOX,
        web_host="0.0.0.0",  # noqa: S104 (in a namespace that only these hosts reach)
        web_port=WEB_PORT,
        web_trusted_proxies=ADDRESSES["router"],
        web_writes_per_minute=10_000_000,
        web_reads_per_minute=10_000_000,
        web_anonymous_per_minute=10_000_000,
        pool_size=3,
        log_level="warning",
        log_format="json",
        # Polls of ended checkouts follow the clock: at the end nothing may change by itself.
        post_end_poll_seconds=24 * 3600,
    ).with_gateway_options(database_url=SecretStr(name_url("buyers")))
