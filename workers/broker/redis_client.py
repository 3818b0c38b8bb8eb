"""Clients of Redis or Valkey: one server, or the master that Sentinels name. One function reads every REDIS_URL.

`redis://`, `rediss://` and `unix://` are redis-py's. `redis+sentinel://HOST:26379,HOST:26379/SERVICE/DB`,
with `rediss+sentinel` for TLS, asks the Sentinels for the master of a service at every new connection. Its user and
password are those of the servers; the parameters `sentinel_username` and `sentinel_password` those of the Sentinels.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

import redis
import redis.asyncio
from redis.asyncio import connection as asynchronous
from redis.asyncio import sentinel as asynchronous_sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from pipeline.settings import SettingsError

#: A Redis that does not answer costs a caller one second, not the client's default of five to fifty-nine.
SOCKET_SECONDS: Final = 1.0
SENTINEL_PORT: Final = 26379
MAX_SENTINELS: Final = 16
MAX_LENGTH: Final = 4096
#: Parameters for the Sentinels, not for the servers.
SENTINEL_PARAMETERS: Final = ("sentinel_username", "sentinel_password")

_SENTINEL: Final = re.compile(
    r"^redis(?P<tls>s?)\+sentinel://(?:(?P<user>[^@/]*)@)?(?P<hosts>[^/?@]+)/(?P<service>[A-Za-z0-9_.\-]{1,100})"
    r"(?:/(?P<db>[0-9]{1,5}))?/?(?:\?(?P<query>.*))?$"
)
_HOST: Final = re.compile(r"^(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.\-]{1,253})(?::(?P<port>[0-9]{1,5}))?$")
_FORM: Final = "use one such as redis://host:6379/1, or redis+sentinel://host:26379,host:26379/service/1"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is, and how it is connected to. Without Sentinels the options have the host and port."""

    options: Mapping[str, Any]
    tls: bool
    unix: bool = False
    service: str | None = None
    sentinels: tuple[tuple[str, int], ...] = ()
    sentinel_options: Mapping[str, Any] = field(default_factory=dict)


def read_redis_url(url: str, *, floor_seconds: float = 0.0) -> RedisAddress:
    """Return the address of a URL; SettingsError for any other text.

    A client raises within a second and never retries: a retried enqueue whose reply was lost would run twice at once.
    Options in the URL precede these, except that a socket time-out is at least `floor_seconds` (a blocking command must
    not be cut off) and that replies are bytes.
    """
    if len(url) > MAX_LENGTH:
        raise SettingsError(f"REDIS_URL has more than {MAX_LENGTH} characters.")
    if "+sentinel://" in url:
        return _read_sentinels(url, floor_seconds)
    return _read_server(url, floor_seconds)


def connect_redis(url: str, *, floor_seconds: float = 0.0) -> redis.Redis:
    """Return a client; it connects at first use. Options as for `read_redis_url`."""
    address = read_redis_url(url, floor_seconds=floor_seconds)
    options = dict(address.options)
    if address.service is None:
        if address.tls or address.unix:
            options["connection_class"] = SSLConnection if address.tls else UnixDomainSocketConnection
        return redis.Redis(connection_pool=redis.ConnectionPool(**options))
    # By default each Sentinel is asked eleven times: one that is dead would cost a client more than a minute.
    once = Retry(NoBackoff(), 0)
    sentinel = Sentinel(address.sentinels, sentinel_kwargs={**address.sentinel_options, "retry": once})
    return redis.Redis(connection_pool=SentinelConnectionPool(address.service, sentinel, ssl=address.tls, **options))


@asynccontextmanager
async def open_redis_async(url: str, *, name: str) -> AsyncIterator[redis.asyncio.Redis]:
    """Yield a client for an event loop, whose connections have this name; otherwise like `connect_redis`."""
    address = read_redis_url(url)
    options: dict[str, Any] = {"client_name": name, **address.options}
    if address.service is None:
        if address.tls or address.unix:
            options["connection_class"] = (
                asynchronous.SSLConnection if address.tls else asynchronous.UnixDomainSocketConnection
            )
        async with redis.asyncio.Redis.from_pool(redis.asyncio.ConnectionPool(**options)) as client:
            yield client
        return
    once = AsyncRetry(NoBackoff(), 0)
    kwargs = {**address.sentinel_options, "retry": once}
    sentinel = asynchronous_sentinel.Sentinel(address.sentinels, sentinel_kwargs=kwargs)
    pool = asynchronous_sentinel.SentinelConnectionPool(address.service, sentinel, ssl=address.tls, **options)
    try:
        async with redis.asyncio.Redis.from_pool(pool) as client:
            yield client
    finally:
        for each in sentinel.sentinels:
            await each.aclose()


def find_master(client: redis.Redis) -> str | None:
    """Return host and port of the master that the client's connections use; None without Sentinels, or before one."""
    pool = client.connection_pool
    address = pool.master_address if isinstance(pool, SentinelConnectionPool) else None
    if address is None:
        return None
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _read_server(url: str, floor_seconds: float) -> RedisAddress:
    try:
        options = parse_url(url)
    except ValueError:
        raise SettingsError(f"REDIS_URL is not a Redis address: {_FORM}.") from None
    kind = options.pop("connection_class", None)
    return RedisAddress(
        _bound(options, floor_seconds), tls=kind is SSLConnection, unix=kind is UnixDomainSocketConnection
    )


def _read_sentinels(url: str, floor_seconds: float) -> RedisAddress:
    found = _SENTINEL.match(url)
    if found is None:
        raise SettingsError(f"REDIS_URL is not an address of Sentinels and their service: {_FORM}.")
    hosts = tuple(_read_host(each) for each in found["hosts"].split(","))
    if len(hosts) > MAX_SENTINELS:
        raise SettingsError(f"REDIS_URL names {len(hosts)} Sentinels, and {MAX_SENTINELS} are the most.")
    query = parse_qs(found["query"] or "")
    own = {name.removeprefix("sentinel_"): query.pop(name)[0] for name in SENTINEL_PARAMETERS if name in query}
    tls = bool(found["tls"])
    user = f"{found['user']}@" if found["user"] else ""
    server = _read_server(f"redis://{user}server/{found['db'] or 0}?{urlencode(query, doseq=True)}", floor_seconds)
    options = {name: value for name, value in server.options.items() if name not in {"host", "port"}}
    timeouts = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout")}
    certificates = {name: value for name, value in options.items() if name.startswith("ssl_")}
    sentinel_options = own | timeouts | ({"ssl": True} | certificates if tls else {})
    return RedisAddress(options, tls, service=found["service"], sentinels=hosts, sentinel_options=sentinel_options)


def _read_host(text: str) -> tuple[str, int]:
    found = _HOST.match(text)
    port = int(found["port"] or SENTINEL_PORT) if found is not None else 0
    if found is None or not 0 < port <= 65535:
        raise SettingsError(f"REDIS_URL names a Sentinel that is no host and port: {_FORM}.")
    return found["host"].strip("[]"), port


def _bound(options: Mapping[str, Any], floor_seconds: float) -> dict[str, Any]:
    bounded: dict[str, Any] = {
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": SOCKET_SECONDS,
        **options,
        "decode_responses": False,
    }
    bounded["socket_timeout"] = max(bounded["socket_timeout"], floor_seconds)
    return bounded
