"""The engine on hosts of its own: one PostgreSQL, with two standbys if they are asked for, one Valkey, worker hosts."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, cast

import psycopg
from pydantic import SecretStr

from pipeline.database import connect_engine
from pipeline.database.migrations import migrate
from pipeline.saga import get_chain
from pipeline.settings import Settings, read_settings
from scripts.benchmarks.runner import STALL_SECONDS
from scripts.benchmarks.workload import fill_carts, read_makespan, start_all, stock_variants
from scripts.distributed.host_processes import HostProcesses, find_postgres
from scripts.distributed.layout import POSTGRES_PORT, SUPERUSER, VALKEY_PORT, WEB_PORT
from scripts.distributed.network import Network
from scripts.distributed.plain_hosts import FleetHost, PostgresHost, ValkeyHost
from scripts.distributed.requirements import PLAIN_MODULES, PLAIN_PROGRAMS, explain_missing
from scripts.environments.command_errors import CommandError, open_redis
from scripts.environments.ending import Ending
from scripts.environments.fleet import read_procfile
from scripts.environments.supervisor import build_env
from scripts.local_servers.embedded import SANDBOX
from scripts.local_servers.owner import make_folder
from workers.bootstrap import Components, build_components
from workers.broker.queue_stats import NAMESPACE, name_heartbeats

#: The addresses exist inside the hosts' network namespaces only.
ADDRESSES: Final = {
    "db": "10.80.0.11",
    "far": "10.80.0.12",
    "work1": "10.80.0.21",
    "work2": "10.80.0.22",
    "work3": "10.80.0.23",
    "work4": "10.80.0.24",
    "load": "10.80.0.31",
}
WORKER_HOSTS: Final = ("work1", "work2", "work3", "work4")
#: The port of the standby beside the primary, and of the relay through which the far one follows.
LOCAL_PORT: Final = 5433
RELAY_PORT: Final = 6432
VARIANTS: Final = 1000
#: More than a round buys.
UNITS: Final = 1_000_000
#: Sixty processes start on a busy machine.
READY_SECONDS: Final = 240.0
#: A longer round is stuck.
ROUND_SECONDS: Final = 600.0
POLL_SECONDS: Final = 0.1


class Standby(StrEnum):
    """The standby that a commit waits for."""

    NONE = "no"
    LOCAL = "local"
    FAR = "far"


@dataclass
class Rig:
    """The running engine. Everything is called inside the namespace of the load."""

    network: Network
    workers: dict[str, FleetHost]
    settings: Settings
    components: Components
    ending: Ending

    def wait(self, holds: Callable[[], bool], what: str, seconds: float = READY_SECONDS) -> None:
        """Return when this holds; raise CommandError after too long."""
        ends_at = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > ends_at:
                tails = "\n".join(host.read_tail(3) for host in self.workers.values())
                raise CommandError(f"After {seconds:.0f} s {what}.\n{tails}")
            self.ending.sleep(POLL_SECONDS)

    def run_workers(self, count: int, *, with_web: bool = False) -> None:
        """Have so many worker hosts run, and no others: each has every phase, the first one every line."""
        lines = read_procfile(with_web=with_web)
        phases = [phase.name for phase in get_chain()]
        for number, (name, host) in enumerate(self.workers.items(), start=1):
            if number > count and host.running:
                host.stop("fleet")
            elif number <= count and not host.running:
                before = self._list_workers()
                chosen = list(lines) if name == WORKER_HOSTS[0] else phases
                host.start_fleet(build_env(self.settings), sys.executable, chosen)
                expected = sum(lines[each].startswith("dramatiq") for each in chosen)
                self.wait(
                    lambda: len(self._list_workers() - before) >= expected,  # noqa: B023 (awaited here)
                    f"the workers of {name} do not start",
                )

    def choose_standby(self, standby: Standby) -> None:
        """Have each commit wait for this standby."""
        names = "" if standby is Standby.NONE else standby
        with self._connect() as connection:
            connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'".encode())
            connection.execute("SELECT pg_reload_conf()")
        self.wait(lambda: self._find_synchronous() == ([names] if names else []), "no standby is synchronous")

    def measure_backlog(self, count: int) -> float:
        """Return checkouts a second of a backlog that is sent at once to running workers."""
        database = self.components.database
        carts = fill_carts(database, count, VARIANTS)
        began = time.time()
        messages = start_all(self.components, carts)
        self.components.publisher.send(messages)
        found: list[float] = []

        def is_over() -> bool:
            seconds = read_makespan(database, since=began)
            found[:] = [] if seconds is None else [seconds]
            return bool(found)

        self.wait(is_over, "a round is not over", ROUND_SECONDS)
        return count / found[0]

    def _list_workers(self) -> set[bytes]:
        with open_redis(self.settings) as client:
            return set(cast("list[bytes]", client.zrange(name_heartbeats(NAMESPACE), 0, -1)))

    def _find_synchronous(self) -> list[str]:
        with self._connect() as connection:
            rows = connection.execute("SELECT application_name FROM pg_stat_replication WHERE sync_state = 'sync'")
            return [str(row[0]) for row in rows]

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(name_url("db"), autocommit=True)


@contextmanager
def open_rig(ending: Ending, *, bank_seconds: float = 0, far_seconds: float | None = None) -> Iterator[Rig]:
    """Build the hosts, and yield them inside the namespace of the load; no worker runs yet.

    With `far_seconds` there are two standbys: one beside the primary, and one whose bytes take so long in each
    direction. Raises CommandError where hosts cannot be made.
    """
    if missing := explain_missing(programs=PLAIN_PROGRAMS, modules=PLAIN_MODULES):
        raise CommandError(missing)
    with ExitStack() as stack:
        folder = make_folder()
        folder.chmod(0o711)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        network = stack.enter_context(Network(ADDRESSES))
        binaries = find_postgres(folder)

        def add(host: HostProcesses) -> None:
            stack.callback(host.power_off)

        databases = {
            name: PostgresHost(name, network.hosts[name], folder / name, binaries, ADDRESSES[name])
            for name in ("db", "far", "load")
        }
        valkey = ValkeyHost("db", network.hosts["db"], folder / "valkey")
        workers = {name: FleetHost(name, network.hosts[name], folder / name) for name in WORKER_HOSTS}
        for host in (*databases.values(), valkey, *workers.values()):
            add(host)
        for name in ("db", "load"):
            databases[name].make()
            databases[name].start_postgres()
        valkey.start_valkey()
        settings = _choose_settings(bank_seconds)
        stack.enter_context(network.hosts["load"].inside())
        _wait_for_postgres(ending, "db", POSTGRES_PORT)
        _wait_for_postgres(ending, "load", POSTGRES_PORT)
        for url in (name_url("db"), name_url("load")):
            _make_schema(settings, url)
        components = build_components(settings, "bench")
        stack.callback(components.close)
        stock_variants(components.database, VARIANTS, UNITS)
        if far_seconds is not None:
            databases["db"].copy(ADDRESSES["db"], POSTGRES_PORT, Standby.LOCAL)
            databases["db"].start_postgres(Standby.LOCAL, LOCAL_PORT)
            command = [sys.executable, "-m", "scripts.distributed.scale.relay", str(RELAY_PORT), ADDRESSES["db"]]
            databases["far"].start("relay", [*command, str(POSTGRES_PORT), str(far_seconds)])
            ending.sleep(1)
            databases["far"].copy("127.0.0.1", RELAY_PORT, Standby.FAR)
            databases["far"].start_postgres(Standby.FAR)
        yield Rig(network, workers, settings, components, ending)


def name_url(host: str) -> str:
    """Return the URL of a host's PostgreSQL."""
    return f"postgresql://{SUPERUSER}@{ADDRESSES[host]}:{POSTGRES_PORT}/{SUPERUSER}"


def run_buyers(rig: Rig, plan: str, module: str) -> str:
    """Run the program of the buyers on the host of the HTTP edge; return what it prints."""
    done = subprocess.run(
        [*rig.workers[WORKER_HOSTS[0]].namespace.enter(), sys.executable, "-m", module],
        input=plan,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[3],
        timeout=ROUND_SECONDS,
    )
    rig.ending.check()
    if done.returncode:
        raise CommandError(f"The buyers ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def _wait_for_postgres(ending: Ending, host: str, port: int) -> None:
    address = f"host={ADDRESSES[host]} port={port} user={SUPERUSER} dbname={SUPERUSER} connect_timeout=2"
    ends_at = time.monotonic() + READY_SECONDS
    while time.monotonic() < ends_at:
        with suppress(psycopg.Error), psycopg.connect(address):
            return
        ending.sleep(POLL_SECONDS)
    raise CommandError(f"PostgreSQL on {host} does not answer after {READY_SECONDS:.0f} s.")


def _make_schema(settings: Settings, url: str) -> None:
    engine = connect_engine(settings, application_name="schema", pool_size=1, url=url)
    try:
        with engine.begin() as connection:
            migrate(connection)
    finally:
        engine.dispose()


def _choose_settings(bank_seconds: float) -> Settings:
    return read_settings(
        database_url=SecretStr(name_url("db")),
        redis_url=SecretStr(f"redis://{ADDRESSES['db']}:{VALKEY_PORT}/0"),
        gateway=SANDBOX,
        web_host="0.0.0.0",  # noqa: S104 (in a namespace that only these hosts reach)
        web_port=WEB_PORT,
        web_writes_per_minute=10_000_000,
        log_level="warning",
        log_format="json",
        redeliver_after_seconds=STALL_SECONDS,
        redeliver_always_after_seconds=STALL_SECONDS,
    ).with_gateway_options(database_url=SecretStr(name_url("load")), latency_seconds=bank_seconds)
