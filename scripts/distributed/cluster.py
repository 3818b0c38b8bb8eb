"""The cluster: its hosts and what runs on them, and the wait for a stable state."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from pydantic import SecretStr
from sqlalchemy import Engine

from pipeline.database import connect_engine
from pipeline.database.migrations import migrate
from pipeline.database.roles import Role, grant, make_user
from pipeline.gateways.installed import list_grants
from pipeline.settings import Settings, read_settings
from scripts.distributed.host_processes import BankHost, DatabaseHost, WorkerHost, find_postgres
from scripts.distributed.layout import (
    ADDRESSES,
    BUYERS,
    DATABASE,
    DATABASE_HOSTS,
    SUPERUSER,
    WEB_PORT,
    WORKER,
    WORKER_HOSTS,
    name_bank_url,
    name_database_url,
    name_redis_url,
)
from scripts.distributed.network import Network
from scripts.distributed.sentinels import LISTED, OTHERS, count_replicas, fail_over_valkey, find_valkey, prefer_valkey
from scripts.distributed.state import find_primary, find_standby, list_hindrances, need
from scripts.environments.command_errors import CommandError
from scripts.environments.ending import Ending
from scripts.environments.supervisor import build_env
from scripts.local_servers.embedded import SANDBOX
from scripts.local_servers.owner import make_folder

#: For a cluster to start, and for one to be stable again after its hosts are back, on a busy machine.
READY_SECONDS: Final = 180.0
POLL_SECONDS: Final = 0.2
#: A Sentinel reads the priorities of replicas every ten seconds, and then fails over.
MOVE_SECONDS: Final = 60.0
#: Nothing limits the buyers but the engine itself.
NO_LIMIT: Final = 10_000_000

Report = Callable[[str], None]


@dataclass
class Cluster:
    """A running cluster. Its waits are called inside the buyers' namespace, where the hosts can be asked."""

    network: Network
    folder: Path
    databases: dict[str, DatabaseHost]
    workers: dict[str, WorkerHost]
    ending: Ending
    #: The superuser's, for the checks.
    settings: Settings
    engine: Engine

    def wait_for_stable(self, seconds: float = READY_SECONDS) -> float:
        """Return after how many seconds the cluster was stable; raise CommandError with what it lacks."""
        return self.wait(lambda: not list_hindrances(), self._explain, seconds)

    def wait(
        self, holds: Callable[[], bool], lacking: Callable[[], str] | str, seconds: float = READY_SECONDS
    ) -> float:
        """Return after how many seconds this held; raise CommandError with what is lacking after too many."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > seconds:
                what = lacking if isinstance(lacking, str) else lacking()
                raise CommandError(f"After {seconds:.0f} s {what}")
            self.ending.sleep(POLL_SECONDS)
        return time.monotonic() - began

    def wait_for_valkey(self, *, other_than: str | None = None) -> str:
        """Return the master that two of three Sentinels name, when none of them sees a failover under way.

        A Valkey that starts in the middle of a failover would follow a host that is not the master any more.
        """
        found: list[str] = []

        def is_settled() -> bool:
            host = find_valkey(calm=True)
            found[:] = [host] if host not in {None, other_than} else []
            return bool(found)

        self.wait(is_settled, "the Sentinels agree on no master.", MOVE_SECONDS)
        return found[0]

    def move_valkey(self, host: str) -> None:
        """Have this host's Valkey be the master."""
        if find_valkey() == host:
            return

        def has_moved() -> bool:
            fail_over_valkey(host)
            self.ending.sleep(1)
            return find_valkey() == host

        prefer_valkey(host)
        self.wait(has_moved, f"Valkey's master has not moved to {host}.", MOVE_SECONDS)
        self.wait_for_stable()

    def _explain(self) -> str:
        hosts = (*self.databases.values(), *self.workers.values())
        return "\n".join(("the cluster is not stable.", *list_hindrances(), *(host.read_tail(2) for host in hosts)))


@contextmanager
def open_cluster(ending: Ending, report: Report) -> Iterator[Cluster]:
    """Build a cluster, and yield it when it is stable; nothing of it is left at the end.

    Raises CommandError, and Ended on a signal.
    """
    with ExitStack() as stack:
        folder = make_folder()
        folder.chmod(0o711)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        network = stack.enter_context(Network(ADDRESSES))
        report("network: " + ", ".join(f"{name} {address}" for name, address in ADDRESSES.items()))
        binaries = find_postgres(folder)
        BankHost(BUYERS, network.hosts[BUYERS], folder / BUYERS).power_on(binaries)
        databases = {name: DatabaseHost(name, network.hosts[name], folder / name, binaries) for name in DATABASE_HOSTS}
        for database in databases.values():
            database.start_etcd()
            database.start_patroni()
        settings = _choose_settings()
        with network.hosts[BUYERS].inside():
            # A pool's connections are made by the thread that asks for them: outside, none would reach anything.
            engine = connect_engine(settings, application_name="cluster", pool_size=8, statement_timeout_seconds=0)
            stack.callback(engine.dispose)
            cluster = Cluster(network, folder, databases, {}, ending, settings, engine)
            seconds = cluster.wait(
                lambda: None not in {find_primary(), find_standby()}, "no standby follows a primary."
            )
            primary = need(find_primary(), "primary")
            report(f"databases: {primary} is the primary after {seconds:.0f} s, and a synchronous standby follows")
            for database in databases.values():
                database.start_valkey(primary)
            # A Sentinel asks the master for its replicas at once, and then every ten seconds: one that it does not know
            # is not told of a new master.
            cluster.wait(lambda: count_replicas(primary, LISTED) == OTHERS, "no replica follows Valkey's master.")
            for database in databases.values():
                database.start_sentinel(primary)
            _make_databases(cluster)
            report("schema: made in the cluster, and in the bank's own database")
            env = build_env(_limit(settings))
            for name in WORKER_HOSTS:
                cluster.workers[name] = WorkerHost(name, network.hosts[name], folder / name, env)
                cluster.workers[name].power_on()
            seconds = cluster.wait_for_stable()
            report(f"workers: {' and '.join(WORKER_HOSTS)} serve after {seconds:.0f} s; the cluster is stable")
        yield cluster


def _choose_settings() -> Settings:
    return read_settings(
        database_url=SecretStr(name_database_url(SUPERUSER)),
        redis_url=SecretStr(name_redis_url()),
        gateway=SANDBOX,
        web_host="0.0.0.0",  # noqa: S104 (in a namespace that only these hosts reach)
        web_port=WEB_PORT,
        web_writes_per_minute=NO_LIMIT,
        web_reads_per_minute=NO_LIMIT,
        web_anonymous_per_minute=NO_LIMIT,
        web_connections=4,
        pool_size=3,
        log_level="warning",
        log_format="json",
        # Polls of ended checkouts follow the clock: at the end nothing may change by itself.
        post_end_poll_seconds=24 * 3600,
    ).with_gateway_options(database_url=SecretStr(name_bank_url()))


def _limit(settings: Settings) -> Settings:
    """Return the settings of the worker hosts: their user has the least privileges that they need."""
    return settings.model_copy(update={"database_url": SecretStr(name_database_url(WORKER))})


def _make_databases(cluster: Cluster) -> None:
    """Make the schema, the workers' user, and the bank's tables in its own database."""
    with psycopg.connect(name_database_url(SUPERUSER, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
    with cluster.engine.begin() as own:
        migrate(own)
        grant(own, list_grants())
        make_user(own, WORKER, Role.WORKER)
    bank = connect_engine(cluster.settings, application_name="bank", pool_size=1, url=name_bank_url())
    try:
        with bank.begin() as own:
            migrate(own)
    finally:
        bank.dispose()
