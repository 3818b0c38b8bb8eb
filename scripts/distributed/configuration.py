"""The configuration of Patroni, etcd, Valkey and the Sentinels, as data. `docs/cluster.md` has the reasons."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from scripts.distributed.layout import (
    ADDRESSES,
    DATABASE_HOSTS,
    ETCD_PEER_PORT,
    ETCD_PORT,
    NETWORK,
    PATRONI_PORT,
    POSTGRES_PORT,
    SENTINEL_PORT,
    SERVICE,
    SUPERUSER,
    VALKEY_PORT,
    list_addresses,
)

#: Twice some fifteen processes of three connections for each of two worker hosts.
MAX_CONNECTIONS: Final = 300
#: After so long without a word a Sentinel holds the master for dead, and after so long it tries a failover again.
VALKEY_DOWN_MILLISECONDS: Final = 2000
VALKEY_FAILOVER_MILLISECONDS: Final = 6000
QUORUM: Final = 2
#: etcd's own defaults. Every lease begins again when etcd has a new leader: a primary whose host had the old one is
#: replaced later, by up to three times the second figure.
ETCD_HEARTBEAT_MILLISECONDS: Final = 100
ETCD_ELECTION_MILLISECONDS: Final = 1000

#: What the whole cluster agrees on; Patroni keeps it in etcd.
CLUSTER_SETTINGS: Final[Mapping[str, Any]] = {
    "ttl": 20,
    "loop_wait": 4,
    "retry_timeout": 5,
    "maximum_lag_on_failover": 1_048_576,
    "synchronous_mode": True,
    "synchronous_mode_strict": True,
    "synchronous_node_count": 1,
    "failsafe_mode": True,
    "primary_start_timeout": 0,
}
SERVER_SETTINGS: Final[Mapping[str, Any]] = {
    "max_connections": MAX_CONNECTIONS,
    "wal_log_hints": "on",
    "wal_receiver_timeout": "5s",
    "wal_sender_timeout": "5s",
    "tcp_user_timeout": 5000,
    "wal_keep_size": "256MB",
}
INITDB: Final = (
    {"encoding": "UTF8"},
    {"locale": "C"},
    {"locale-provider": "builtin"},
    {"builtin-locale": "C.UTF-8"},
    "data-checksums",
)
#: Everybody is let in, without a password: nobody but these hosts can reach the addresses. The second line is for a
#: demoted primary, which rewinds and follows through the loopback.
ACCESS: Final = (
    "local all all trust",
    "host replication all 127.0.0.1/32 trust",
    "host all all 127.0.0.1/32 trust",
    f"host replication all {NETWORK} trust",
    f"host all all {NETWORK} trust",
)


def configure_patroni(host: str, folder: Path, binaries: Path) -> dict[str, Any]:
    """Return the configuration of one host's Patroni; `binaries` are PostgreSQL's. It is read as YAML or JSON."""
    address = ADDRESSES[host]
    return {
        "scope": SERVICE,
        "name": host,
        "restapi": {"listen": f"{address}:{PATRONI_PORT}", "connect_address": f"{address}:{PATRONI_PORT}"},
        "etcd3": {"hosts": list_addresses(DATABASE_HOSTS, ETCD_PORT)},
        "bootstrap": {
            "dcs": {
                **CLUSTER_SETTINGS,
                "postgresql": {"use_pg_rewind": True, "use_slots": True, "parameters": dict(SERVER_SETTINGS)},
            },
            "initdb": list(INITDB),
        },
        "postgresql": {
            "listen": f"{address},127.0.0.1:{POSTGRES_PORT}",
            "connect_address": f"{address}:{POSTGRES_PORT}",
            "data_dir": str(folder / "data"),
            "bin_dir": str(binaries),
            "pgpass": str(folder / "pgpass"),
            "authentication": {"superuser": {"username": SUPERUSER}, "replication": {"username": "replicator"}},
            "pg_hba": list(ACCESS),
            "parameters": {"unix_socket_directories": str(folder)},
        },
    }


def list_etcd_arguments(host: str, folder: Path) -> list[str]:
    """Return the arguments of one host's etcd: a member of a cluster of three."""
    address = ADDRESSES[host]
    client, peer = f"http://{address}:{ETCD_PORT}", f"http://{address}:{ETCD_PEER_PORT}"
    members = ",".join(f"{name}=http://{ADDRESSES[name]}:{ETCD_PEER_PORT}" for name in DATABASE_HOSTS)
    options = {
        "name": host,
        "data-dir": folder / "etcd",
        "listen-client-urls": f"{client},http://127.0.0.1:{ETCD_PORT}",
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": members,
        "initial-cluster-token": SERVICE,
        "heartbeat-interval": ETCD_HEARTBEAT_MILLISECONDS,
        "election-timeout": ETCD_ELECTION_MILLISECONDS,
    }
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


def list_valkey_arguments(host: str, folder: Path, master: str | None) -> list[str]:
    """Return the arguments of one host's Valkey; `master` is the host that it follows."""
    options = {
        "bind": "*",
        "port": VALKEY_PORT,
        "protected-mode": "no",
        "save": "",
        "appendonly": "no",
        "maxmemory-policy": "noeviction",
        "dir": folder,
        # The Sentinels learn a replica's address from its master.
        "replica-announce-ip": ADDRESSES[host],
        # The title would be written over the environment, and with it over the mark by which it is ended.
        "set-proc-title": "no",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return arguments if master is None else [*arguments, "--replicaof", f"{ADDRESSES[master]} {VALKEY_PORT}"]


def render_sentinel(host: str, folder: Path, master: str) -> str:
    """Return the file of one host's Sentinel, which it rewrites; `master` is the host to begin with."""
    return "\n".join(
        (
            f"port {SENTINEL_PORT}",
            "bind *",
            "protected-mode no",
            "set-proc-title no",
            f"dir {folder}",
            f"sentinel announce-ip {ADDRESSES[host]}",
            f"sentinel monitor {SERVICE} {ADDRESSES[master]} {VALKEY_PORT} {QUORUM}",
            f"sentinel down-after-milliseconds {SERVICE} {VALKEY_DOWN_MILLISECONDS}",
            f"sentinel failover-timeout {SERVICE} {VALKEY_FAILOVER_MILLISECONDS}",
            f"sentinel parallel-syncs {SERVICE} 2",
            "",
        )
    )
