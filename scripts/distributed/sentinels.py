"""Valkey and its Sentinels: who is the master, and whether every Sentinel knows every host. Asked among the buyers."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from scripts.distributed.layout import ADDRESSES, DATABASE_HOSTS, SENTINEL_PORT, SERVICE, VALKEY_PORT

#: A question to a host that is cut off costs so long.
ASK_SECONDS: Final = 1.0
#: Of three Sentinels.
MAJORITY: Final = 2
OTHERS: Final = len(DATABASE_HOSTS) - 1
#: What a master calls its replicas: those that follow, and those that are still copying it.
ONLINE: Final = ("online",)
LISTED: Final = ("online", "send_bulk", "wait_bgsave")
#: What a Sentinel adds to the kind of an instance that is not up, or is being replaced. Other words may last.
TROUBLES: Final = {"s_down", "o_down", "disconnected", "failover_in_progress"}
#: `replica-priority`: a Sentinel promotes the replica with the lowest.
PREFERRED: Final = 1
NOT_PREFERRED: Final = 100


@dataclass(frozen=True, slots=True)
class View:
    """What one Sentinel knows. `is_calm`: the master is up, and no failover is under way that this Sentinel knows of.

    A Sentinel learns of replicas from the master only, every ten seconds. One that it does not know when the master
    dies is never told of the new master, and stays a replica of the dead one.
    """

    master: str | None
    is_calm: bool
    #: That are up.
    replicas: int
    sentinels: int


def ask_sentinel(name: str) -> View | None:
    """Return what this host's Sentinel knows; None when it does not answer, or has no such service."""
    with suppress(redis.RedisError), open_redis(name, SENTINEL_PORT) as client:
        facts = _ask(client, "MASTER")[0]
        master = next((host for host, address in ADDRESSES.items() if address == facts["ip"]), None)
        replicas = sum(_is_up(each) for each in _ask(client, "REPLICAS"))
        return View(master, _is_up(facts), replicas, sum(_is_up(each) for each in _ask(client, "SENTINELS")))
    return None


def find_valkey(*, calm: bool = False) -> str | None:
    """Return the host that most Sentinels name as the master; with `calm`, only while no failover is under way."""
    views = [view for name in DATABASE_HOSTS if (view := ask_sentinel(name)) is not None]
    votes = [view.master for view in views if view.master is not None and (view.is_calm or not calm)]
    best = max(votes, key=votes.count, default=None)
    return best if best is not None and votes.count(best) >= MAJORITY else None


def list_missing() -> list[str]:
    """Return what is not settled: one master for all Sentinels, who know every replica and each other."""
    views = {name: ask_sentinel(name) for name in DATABASE_HOSTS}
    masters = {view.master if view is not None else None for view in views.values()}
    master = next(iter(masters))
    if len(masters) != 1 or master is None:
        return [f"the Sentinels name {', '.join(sorted(map(str, masters)))} as Valkey's master"]
    found = [
        f"the Sentinel of {name} knows {view.replicas} replicas and {view.sentinels} Sentinels that are up"
        for name, view in views.items()
        if view is not None and (view.replicas, view.sentinels) != (OTHERS, OTHERS)
    ]
    found += [
        f"the Sentinel of {name} sees no quiet master" for name, view in views.items() if view and not view.is_calm
    ]
    if (count := count_replicas(master)) != OTHERS:
        found.append(f"{count} replicas follow Valkey's master {master}")
    return found


def count_replicas(name: str, states: tuple[str, ...] = ONLINE) -> int:
    """Return how many replicas of this host's Valkey are in one of these states."""
    with suppress(redis.RedisError), open_redis(name, VALKEY_PORT) as client:
        facts: dict[str, Any] = client.info("replication")
        replicas = [each for key, each in facts.items() if key.startswith("slave") and isinstance(each, dict)]
        return sum(each.get("state") in states for each in replicas)
    return 0


def prefer_valkey(host: str) -> None:
    """Have the Sentinels promote this host's Valkey before others."""
    for name in DATABASE_HOSTS:
        with open_redis(name, VALKEY_PORT) as client:
            client.config_set("replica-priority", PREFERRED if name == host else NOT_PREFERRED)


def fail_over_valkey(host: str) -> None:
    """Ask a Sentinel for a failover if it knows already that this host is preferred, which it reads now and then."""
    sentinel = DATABASE_HOSTS[0]
    with suppress(redis.RedisError), open_redis(sentinel, SENTINEL_PORT) as client:
        facts = _ask(client, "REPLICAS")
        if any(each["ip"] == ADDRESSES[host] and int(each["slave-priority"]) == PREFERRED for each in facts):
            client.execute_command("SENTINEL", "FAILOVER", SERVICE)


def open_redis(name: str, port: int) -> redis.Redis:
    """Return a client of one host's Valkey or Sentinel."""
    return redis.Redis(
        host=ADDRESSES[name],
        port=port,
        socket_timeout=ASK_SECONDS,
        socket_connect_timeout=ASK_SECONDS,
        decode_responses=True,
        # By default a host that is off is asked eleven times.
        retry=Retry(NoBackoff(), 0),
    )


def _ask(client: redis.Redis, question: str) -> list[dict[str, str]]:
    """Return what a Sentinel says to `SENTINEL MASTER`, `REPLICAS` or `SENTINELS` of the service."""
    answer = client.execute_command("SENTINEL", question, SERVICE)
    found = [answer] if question == "MASTER" else answer
    return [each if isinstance(each, dict) else dict(zip(each[::2], each[1::2], strict=True)) for each in found]


def _is_up(facts: dict[str, str]) -> bool:
    return not TROUBLES & set(facts["flags"].split(","))
