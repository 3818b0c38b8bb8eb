"""The hosts of the cluster, their addresses and ports, and the URLs that name them."""

from typing import Final

#: The addresses exist inside the hosts' network namespaces only.
ADDRESSES: Final = {
    "db1": "10.78.0.11",
    "db2": "10.78.0.12",
    "db3": "10.78.0.13",
    "work1": "10.78.0.21",
    "work2": "10.78.0.22",
    "buyers": "10.78.0.31",
}
PREFIX_LENGTH: Final = 24
NETWORK: Final = "10.78.0.0/24"
#: PostgreSQL under Patroni, etcd, Valkey and a Sentinel run on each of these.
DATABASE_HOSTS: Final = ("db1", "db2", "db3")
#: Every line of the Procfile runs on each of these.
WORKER_HOSTS: Final = ("work1", "work2")
#: The buyers and the sandbox bank. No fault touches it: what a buyer was told must be known at the end.
BUYERS: Final = "buyers"

POSTGRES_PORT: Final = 5432
PATRONI_PORT: Final = 8008
ETCD_PORT: Final = 2379
ETCD_PEER_PORT: Final = 2380
VALKEY_PORT: Final = 6379
SENTINEL_PORT: Final = 26379
WEB_PORT: Final = 8000

#: Of the Sentinels' master, and of Patroni's cluster.
SERVICE: Final = "checkout"
DATABASE: Final = "checkout"
SUPERUSER: Final = "postgres"
#: The user that the processes of the engine connect as.
WORKER: Final = "engine"


def list_addresses(names: tuple[str, ...], port: int) -> str:
    """Return `ADDRESS:PORT` of these hosts, with commas between them."""
    return ",".join(f"{ADDRESSES[name]}:{port}" for name in names)


def name_database_url(user: str, database: str = DATABASE) -> str:
    """Return the URL of the primary, whichever host it is on."""
    hosts = list_addresses(DATABASE_HOSTS, POSTGRES_PORT)
    return f"postgresql://{user}@{hosts}/{database}?target_session_attrs=read-write"


def name_redis_url() -> str:
    """Return the URL of the master that the Sentinels name."""
    return f"redis+sentinel://{list_addresses(DATABASE_HOSTS, SENTINEL_PORT)}/{SERVICE}/0"


def name_bank_url() -> str:
    """Return the URL of the sandbox bank's database."""
    return f"postgresql://{SUPERUSER}@{ADDRESSES[BUYERS]}:{POSTGRES_PORT}/{SUPERUSER}"


def name_web_url(host: str) -> str:
    """Return the URL of a worker host's HTTP edge."""
    return f"http://{ADDRESSES[host]}:{WEB_PORT}"
