"""The faults: each is one function that injects it, waits, and heals it, and one line of the table."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from scripts.distributed.cluster import Cluster
from scripts.distributed.layout import (
    ADDRESSES,
    DATABASE_HOSTS,
    PATRONI_PORT,
    POSTGRES_PORT,
    SUPERUSER,
    WORKER_HOSTS,
)
from scripts.distributed.proof.commits import DATABASE, Writer
from scripts.distributed.requirements import FAKETIME, find_program
from scripts.distributed.sentinels import find_valkey
from scripts.distributed.state import find_primary, find_standby, need, open_session
from scripts.environments.command_errors import CommandError

#: A leader's lease of 20 s, the vote, and the promotion.
LEADER_SECONDS: Final = 30.0
#: A Sentinel waits two seconds; a worker's requests go to the other host.
SERVICE_SECONDS: Final = 10.0
#: 4.3 s of Patroni, which waits twice for two seconds, and the pause before a transaction is repeated.
SWITCHOVER_SECONDS: Final = 6.0
#: Of the slow host: a five-hundredth of a local network's.
SLOW_KILOBITS: Final = 2000
#: For the old leader to stop, and the new one to be promoted.
PROMOTION_SECONDS: Final = 60.0


class Skipped(Exception):
    """The fault cannot be injected here; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done, and for how many seconds no purchase may be finished.

    `hold_seconds` is how long it lasts before it is healed. `prepare` runs before the clock does.
    """

    meaning: str
    bound_seconds: float
    hold_seconds: float
    begin: Callable[[Cluster], "AbstractContextManager[Injected]"]
    prepare: Callable[[Cluster], None] = lambda _cluster: None


@dataclass(slots=True)
class Injected:
    """A fault that lasts: where, and the writers whose commits must be kept too."""

    detail: str
    writers: Sequence[Writer] = ()


@contextmanager
def power_off_primary(cluster: Cluster) -> Iterator[Injected]:
    """Power off the host with the primary and, after `gather`, Valkey's master."""
    host = need(find_primary(), "primary")
    cluster.network.cut(host)
    cluster.databases[host].power_off()
    yield Injected(f"{host} off")
    cluster.network.join(host)
    cluster.databases[host].power_on(cluster.wait_for_valkey())


def gather(cluster: Cluster) -> None:
    """Move Valkey's master to the primary's host, so that one host has both."""
    cluster.move_valkey(need(find_primary(), "primary"))


@contextmanager
def cut_primary(cluster: Cluster) -> Iterator[Injected]:
    """Cut the primary's host off, alive, with a writer on it."""
    host = need(find_primary(), "primary")
    inside = f"postgresql://{SUPERUSER}@127.0.0.1:{POSTGRES_PORT}/{DATABASE}"
    with cluster.network.hosts[host].inside():
        writer = Writer(f"inside {host} {time.monotonic()}", inside)
        cluster.network.cut(host)
        writer.__enter__()
    try:
        injected = Injected(f"{host} cut off", [writer])
        yield injected
        injected.detail += f", {len(writer.acknowledged)} commits acknowledged inside"
    finally:
        writer.__exit__()
        cluster.network.join(host)


@contextmanager
def cut_standby(cluster: Cluster) -> Iterator[Injected]:
    """Cut the synchronous standby off."""
    host = need(find_standby(), "synchronous standby")
    cluster.network.cut(host)
    yield Injected(f"{host} cut off")
    cluster.network.join(host)


@contextmanager
def kill_standbys(cluster: Cluster) -> Iterator[Injected]:
    """Kill PostgreSQL and Patroni on both standbys: no commit is acknowledged until one is back."""
    primary = need(find_primary(), "primary")
    hosts = [name for name in DATABASE_HOSTS if name != primary]
    for name in hosts:
        cluster.databases[name].kill_postgres()
    yield Injected(f"PostgreSQL killed on {' and '.join(hosts)}")
    for name in hosts:
        cluster.databases[name].start_patroni()


@contextmanager
def lose_etcd(cluster: Cluster) -> Iterator[Injected]:
    """Kill etcd on two of three hosts, the primary's among them: no vote can be held."""
    primary = need(find_primary(), "primary")
    hosts = [primary, *(name for name in DATABASE_HOSTS if name != primary)][:2]
    for name in hosts:
        cluster.databases[name].kill("etcd")
    yield Injected(f"etcd killed on {' and '.join(hosts)}")
    for name in hosts:
        cluster.databases[name].start_etcd()


@contextmanager
def kill_valkey(cluster: Cluster) -> Iterator[Injected]:
    """Kill Valkey's master."""
    host = need(find_valkey(), "Valkey master")
    cluster.databases[host].kill("valkey")
    yield Injected(f"Valkey killed on {host}")
    cluster.databases[host].start_valkey(cluster.wait_for_valkey())


@contextmanager
def cut_worker(cluster: Cluster) -> Iterator[Injected]:
    """Cut a worker host off while it holds messages and transactions."""
    host = WORKER_HOSTS[0]
    cluster.network.cut(host)
    yield Injected(f"{host} cut off")
    cluster.network.join(host)


@contextmanager
def cut_both(cluster: Cluster) -> Iterator[Injected]:
    """Cut the primary's host and a worker host off together: the worker still sees the old primary."""
    hosts = [need(find_primary(), "primary"), WORKER_HOSTS[0]]
    cluster.network.isolate(hosts)
    yield Injected(f"{' and '.join(hosts)} cut off together")
    for name in hosts:
        cluster.network.join(name)


@contextmanager
def switch_over(cluster: Cluster) -> Iterator[Injected]:
    """Have Patroni make the synchronous standby the primary."""
    before, after = move_primary(cluster)
    yield Injected(f"from {before} to {after}")


@contextmanager
def restart_all(cluster: Cluster) -> Iterator[Injected]:
    """Restart every host, one after another, as for new kernels: each is moved away from, stopped in order, started."""
    primary = need(find_primary(), "primary")
    for name in (*(each for each in DATABASE_HOSTS if each != primary), primary):
        if find_primary() == name:
            move_primary(cluster)
        host = cluster.databases[name]
        host.stop("sentinel", "valkey", "patroni", "etcd")
        host.power_on(cluster.wait_for_valkey(other_than=name))
        cluster.wait_for_stable()
    for worker in cluster.workers.values():
        worker.stop("fleet")
        worker.power_on()
        cluster.wait_for_stable()
    yield Injected(f"{len(DATABASE_HOSTS)} database hosts and {len(WORKER_HOSTS)} worker hosts")


@contextmanager
def slow_line(cluster: Cluster) -> Iterator[Injected]:
    """Let two megabits a second through to the primary's host."""
    host = need(find_primary(), "primary")
    cluster.network.slow(host, SLOW_KILOBITS)
    try:
        yield Injected(f"{host} has {SLOW_KILOBITS} kbit/s")
    finally:
        cluster.network.hasten(host)


@contextmanager
def shift_clock(cluster: Cluster) -> Iterator[Injected]:
    """Start a worker host again with a clock that is an hour fast."""
    if find_program(FAKETIME) is None:
        raise Skipped(f"`{FAKETIME}` is not installed (`apt-get install --no-install-recommends {FAKETIME}`)")
    host = cluster.workers[WORKER_HOSTS[1]]
    host.stop("fleet")
    host.power_on("+1h")
    yield Injected(f"{host.name} is an hour fast")
    host.stop("fleet")
    host.power_on()


def move_primary(cluster: Cluster) -> tuple[str, str]:
    """Switch over to the synchronous standby; return the old and the new primary."""
    before = need(find_primary(), "primary")
    cluster.wait(lambda: find_standby() is not None, "there is no synchronous standby", PROMOTION_SECONDS)
    after = need(find_standby(), "synchronous standby")
    answer = open_session().post(
        f"http://{ADDRESSES[before]}:{PATRONI_PORT}/switchover",
        json={"leader": before, "candidate": after},
        timeout=PROMOTION_SECONDS,
    )
    if answer.status_code != 200:
        raise CommandError(f"Patroni refused the switchover from {before} to {after}: {answer.text.strip()}.")
    cluster.wait(lambda: find_primary() == after, f"{after} is not the primary", PROMOTION_SECONDS)
    return before, after


#: By the names of `--fault`, in the order of a run: what costs most comes last.
FAULTS: Final[Mapping[str, Fault]] = {
    "primary-off": Fault(
        "the host of the primary and of Valkey's master loses power", LEADER_SECONDS, 45, power_off_primary, gather
    ),
    "valkey-killed": Fault("Valkey's master is killed", SERVICE_SECONDS, 15, kill_valkey),
    "switchover": Fault("a planned switchover to the standby", SWITCHOVER_SECONDS, 10, switch_over),
    "primary-cut": Fault("the primary's host is cut off, alive, with a writer on it", LEADER_SECONDS, 45, cut_primary),
    "standby-cut": Fault("the synchronous standby is cut off", 15, 25, cut_standby),
    "standbys-killed": Fault("PostgreSQL is killed on both standbys for 10 s", 35, 10, kill_standbys),
    "etcd-lost": Fault("etcd is killed on two of three hosts", SERVICE_SECONDS, 25, lose_etcd),
    "worker-cut": Fault("a worker host that holds messages is cut off", SERVICE_SECONDS, 25, cut_worker),
    "both-cut": Fault("the primary's host and a worker host are cut off together", LEADER_SECONDS, 45, cut_both),
    "slow-line": Fault("the primary's host has 2 megabits a second", SERVICE_SECONDS, 20, slow_line),
    "clock-off": Fault("the clock of a worker host is an hour fast", SERVICE_SECONDS, 20, shift_clock),
    "rolling-restart": Fault("every host is restarted, one after another", SERVICE_SECONDS, 0, restart_all),
}
