"""What the hosts say about themselves. Everything here is asked inside the buyers' namespace."""

from contextlib import suppress
from typing import Any, Final

import psycopg
import redis
import requests

from scripts.distributed.layout import (
    ADDRESSES,
    DATABASE_HOSTS,
    PATRONI_PORT,
    SENTINEL_PORT,
    SERVICE,
    SUPERUSER,
    VALKEY_PORT,
    WORKER_HOSTS,
    name_web_url,
)
from scripts.environments.command_errors import CommandError

#: A question to a host that is cut off costs so long.
ASK_SECONDS: Final = 1.0
#: A replica that is only "running" has not found its primary yet, and could not replace the synchronous standby.
STABLE: Final = [("leader", "running"), ("replica", "streaming"), ("sync_standby", "streaming")]
#: Of three Sentinels.
MAJORITY: Final = 2
#: `replica-priority`: a Sentinel promotes the replica with the lowest.
PREFERRED: Final = 1
OTHERS: Final = 100


def open_session() -> requests.Session:
    """Return a session without the environment's proxy, which does not know these addresses."""
    session = requests.Session()
    session.trust_env = False
    return session


def list_members() -> list[dict[str, Any]]:
    """Return the members that Patroni knows, from the first host that answers."""
    with open_session() as session:
        for name in DATABASE_HOSTS:
            with suppress(requests.RequestException, ValueError, KeyError):
                url = f"http://{ADDRESSES[name]}:{PATRONI_PORT}/cluster"
                members: list[dict[str, Any]] = session.get(url, timeout=ASK_SECONDS).json()["members"]
                return members
    return []


def find_primary() -> str | None:
    """Return the one host that takes writes, by asking PostgreSQL itself; None if there is none."""
    found = [name for name in DATABASE_HOSTS if takes_writes(name)]
    return found[0] if len(found) == 1 else None


def takes_writes(name: str) -> bool:
    """Return whether this host's PostgreSQL is a primary."""
    address = f"host={ADDRESSES[name]} user={SUPERUSER} dbname=postgres connect_timeout=2 tcp_user_timeout=2000"
    with suppress(psycopg.Error), psycopg.connect(address, autocommit=True) as connection:
        row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
        return row is not None and row[0] is False
    return False


def find_standby() -> str | None:
    """Return the synchronous standby that follows now."""
    found = [each["name"] for each in list_members() if (each["role"], each["state"]) == ("sync_standby", "streaming")]
    return found[0] if found else None


def find_valkey() -> str | None:
    """Return the host that most Sentinels name as the master."""
    votes = [each for name in DATABASE_HOSTS if (each := ask_sentinel(name)) is not None]
    best = max(votes, key=votes.count, default=None)
    return best if best is not None and votes.count(best) >= MAJORITY else None


def ask_sentinel(name: str) -> str | None:
    """Return the host that this host's Sentinel names as the master."""
    with suppress(redis.RedisError), open_redis(name, SENTINEL_PORT) as client:
        address = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next((host for host, each in ADDRESSES.items() if each == address[0]), None)
    return None


def count_replicas(name: str) -> int:
    """Return how many replicas follow this host's Valkey."""
    with suppress(redis.RedisError), open_redis(name, VALKEY_PORT) as client:
        facts: dict[str, Any] = client.info("replication")
        replicas = [each for key, each in facts.items() if key.startswith("slave") and isinstance(each, dict)]
        return sum(each.get("state") == "online" for each in replicas)
    return 0


def prefer_valkey(host: str) -> None:
    """Have the Sentinels promote this host's Valkey before others."""
    for name in DATABASE_HOSTS:
        with open_redis(name, VALKEY_PORT) as client:
            client.config_set("replica-priority", PREFERRED if name == host else OTHERS)


def fail_over_valkey(host: str) -> None:
    """Ask a Sentinel for a failover if it knows already that this host is preferred, which it reads now and then."""
    sentinel = DATABASE_HOSTS[0]
    with suppress(redis.RedisError), open_redis(sentinel, SENTINEL_PORT) as client:
        replicas = client.execute_command("SENTINEL", "REPLICAS", SERVICE)
        facts = [each if isinstance(each, dict) else dict(zip(each[::2], each[1::2], strict=True)) for each in replicas]
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
    )


def is_serving(host: str) -> bool:
    """Return whether a worker host's HTTP edge reports that it is healthy."""
    with suppress(requests.RequestException), open_session() as session:
        return session.get(f"{name_web_url(host)}/health/checkout", timeout=ASK_SECONDS * 2).status_code == 200
    return False


def list_hindrances() -> list[str]:
    """Return what the cluster lacks: one primary, every standby and replica that follows, both edges that serve."""
    members = list_members()
    found = []
    if sorted((each["role"], each["state"]) for each in members) != STABLE:
        shown = ", ".join(f"{each['name']} is {each['role']} and {each['state']}" for each in members)
        found.append(f"Patroni: {shown or 'no answer'}")
    if find_primary() is None:
        found.append("no host, or more than one, takes writes")
    votes = {ask_sentinel(name) for name in DATABASE_HOSTS}
    master = next(iter(votes))
    if len(votes) != 1 or master is None:
        found.append(f"the Sentinels name {', '.join(sorted(map(str, votes)))} as Valkey's master")
    elif (count := count_replicas(master)) != len(DATABASE_HOSTS) - 1:
        found.append(f"{count} replicas follow Valkey's master {master}")
    return found + [f"the HTTP edge of {name} is not healthy" for name in WORKER_HOSTS if not is_serving(name)]


def need(found: str | None, what: str) -> str:
    """Return what was found; raise CommandError when there is none."""
    if found is None:
        raise CommandError(f"The cluster has no {what}.")
    return found
