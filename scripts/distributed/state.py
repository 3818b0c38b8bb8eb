"""What the hosts say about themselves. Everything here is asked inside the buyers' namespace."""

from contextlib import suppress
from typing import Any, Final

import psycopg
import requests

from scripts.distributed.layout import (
    ADDRESSES,
    DATABASE_HOSTS,
    ETCD_PORT,
    PATRONI_PORT,
    POSTGRES_PORT,
    SUPERUSER,
    WORKER_HOSTS,
    name_web_url,
)
from scripts.distributed.sentinels import ASK_SECONDS, list_missing
from scripts.environments.command_errors import CommandError

#: A replica that is only "running" has not found its primary yet, and could not replace the synchronous standby.
STABLE: Final = [("leader", "running"), ("replica", "streaming"), ("sync_standby", "streaming")]
#: The same, of PostgreSQL itself. What Patroni says of a host is that host's last word, up to twenty seconds old.
FOLLOWING: Final = ["async", "sync"]
STANDBYS: Final = """
    SELECT application_name, sync_state FROM pg_stat_replication
    WHERE state = 'streaming' AND application_name = ANY(%s) ORDER BY 1
"""
#: The least that libpq waits.
OPTIONS: Final = "connect_timeout=2 tcp_user_timeout=2000"


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
    return _query(name, "SELECT pg_is_in_recovery()") == [(False,)]


def find_followers(primary: str) -> dict[str, str]:
    """Return the standbys that have caught up with this host and follow it now: `sync` or `async` by name."""
    return dict(_query(primary, STANDBYS, list(DATABASE_HOSTS)))


def find_standby() -> str | None:
    """Return the synchronous standby that follows now."""
    found = [each["name"] for each in list_members() if (each["role"], each["state"]) == ("sync_standby", "streaming")]
    return found[0] if found else None


def is_serving(host: str) -> bool:
    """Return whether a worker host's HTTP edge reports that it is healthy."""
    with suppress(requests.RequestException), open_session() as session:
        return session.get(f"{name_web_url(host)}/health/checkout", timeout=ASK_SECONDS * 2).status_code == 200
    return False


def has_etcd(name: str) -> bool:
    """Return whether this host's etcd is a member of a cluster that has a leader."""
    with suppress(requests.RequestException, ValueError), open_session() as session:
        answer = session.get(f"http://{ADDRESSES[name]}:{ETCD_PORT}/health", timeout=ASK_SECONDS)
        return bool(answer.json().get("health") == "true")
    return False


def list_hindrances() -> list[str]:
    """Return what the cluster lacks: one primary, every standby and replica that follows, both edges that serve."""
    members = list_members()
    found = [f"etcd of {name} is not healthy" for name in DATABASE_HOSTS if not has_etcd(name)]
    if sorted((each["role"], each["state"]) for each in members) != STABLE:
        shown = ", ".join(f"{each['name']} is {each['role']} and {each['state']}" for each in members)
        found.append(f"Patroni: {shown or 'no answer'}")
    if (primary := find_primary()) is None:
        found.append("no host, or more than one, takes writes")
    elif sorted((followers := find_followers(primary)).values()) != FOLLOWING:
        shown = ", ".join(f"{name} {kind}" for name, kind in followers.items())
        found.append(f"of the standbys follow {primary}: {shown or 'none'}")
    found += list_missing()
    return found + [f"the HTTP edge of {name} is not healthy" for name in WORKER_HOSTS if not is_serving(name)]


def need(found: str | None, what: str) -> str:
    """Return what was found; raise CommandError when there is none."""
    if found is None:
        raise CommandError(f"The cluster has no {what}.")
    return found


def _query(name: str, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
    """Return the rows that this host's PostgreSQL answers with; none when it does not answer."""
    address = f"host={ADDRESSES[name]} port={POSTGRES_PORT} user={SUPERUSER} dbname=postgres {OPTIONS}"
    with suppress(psycopg.Error), psycopg.connect(address, autocommit=True) as connection:
        return connection.execute(statement, arguments).fetchall()
    return []
