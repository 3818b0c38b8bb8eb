"""The URLs of databases, in libpq's own spelling: `postgresql://USER@HOST:5432,HOST:5432/DATABASE?PARAMETERS`."""

import re
from collections import Counter
from ipaddress import AddressValueError, IPv6Address
from typing import Final
from urllib.parse import parse_qsl

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL

from pipeline.settings import SettingsError

MAX_LENGTH: Final = 4096
#: A cluster has three to five hosts; each dead one may cost a new connection three seconds.
MAX_HOSTS: Final = 16
DEFAULT_PORT: Final = 5432
#: SQLAlchemy's spelling, and that of other services.
SCHEME: Final = re.compile(r"^postgres(ql)?(\+psycopg)?://")
#: Parts of a URL with such a password are read as hosts and ports, so that no sentence may show them.
ESCAPE: Final = "write host:5432,host:5432, and in a password %2F for /, %3A for : and %40 for @"
#: What `target_session_attrs` may ask for where rows are written.
WRITING: Final = ("read-write", "primary", "any")


def read_database_url(url: str, variable: str = "DATABASE_URL", *, writes: bool = True) -> URL:
    """Return this URL for SQLAlchemy. Several hosts are tried until one is what `target_session_attrs` asks for.

    Without that, it is one of several that takes writes with `writes`, otherwise a standby before the primary. Raises
    SettingsError, which names the variable and shows nothing of the URL but names of parameters.
    """
    parameters = _parse(url, variable)
    hosts = _read_hosts(parameters, variable)
    wanted = parameters.get("target_session_attrs")
    if writes and wanted not in (None, *WRITING):
        raise SettingsError(
            f"{variable} asks for target_session_attrs={wanted}, and a standby takes no writes: "
            f"say read-write, or leave it out."
        )
    if len(hosts) > 1:
        parameters.setdefault("target_session_attrs", "read-write" if writes else "prefer-standby")
    is_single = len(hosts) == 1 and not hosts[0][0].startswith("/")
    query = {name: value for name, value in parameters.items() if name not in {"user", "password", "dbname"}}
    if hosts and not is_single:
        query |= {"host": ",".join(host for host, _ in hosts), "port": ",".join(str(port) for _, port in hosts)}
    return URL.create(
        "postgresql+psycopg",
        username=parameters.get("user"),
        password=parameters.get("password"),
        host=hosts[0][0] if is_single else None,
        port=hosts[0][1] if is_single else None,
        database=parameters.get("dbname"),
        query=query,
    )


def _parse(url: str, variable: str) -> dict[str, str]:
    form = "use one such as postgresql://user@host/name, or postgresql://user@host:5432,host:5432/name"
    if len(url) > MAX_LENGTH:
        raise SettingsError(f"{variable} has more than {MAX_LENGTH} characters.")
    if not SCHEME.match(url):
        raise SettingsError(f"{variable} is not a database address: {form}.")
    given = Counter(name for name, _ in parse_qsl(url.partition("?")[2], keep_blank_values=True))
    if twice := sorted(name for name, count in given.items() if count > 1):
        raise SettingsError(f"{variable} has {', '.join(twice)} more than once: {form}.")
    try:
        found = conninfo_to_dict(SCHEME.sub("postgresql://", url))
    except (psycopg.Error, ValueError) as error:
        unknown = re.match(r'invalid URI query parameter: "([a-z_]+)"', str(error))
        what = f"has a parameter {unknown[1]}, which PostgreSQL has not" if unknown else "is not a database address"
        raise SettingsError(f"{variable} {what}: {form}.") from None
    return {name: str(value) for name, value in found.items()}


def _read_hosts(parameters: dict[str, str], variable: str) -> list[tuple[str, int]]:
    """Take the hosts, with their ports, out of these parameters; none means the local socket."""
    hosts = parameters.pop("host", "").split(",")
    ports = parameters.pop("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(hosts) != len(ports):
        raise SettingsError(f"{variable} names {len(hosts)} hosts and {len(ports)} ports.")
    if len(hosts) > MAX_HOSTS:
        raise SettingsError(f"{variable} names {len(hosts)} hosts, and {MAX_HOSTS} are the most.")
    if hosts == [""]:
        return [] if ports == [""] else [("localhost", _read_port(ports[0], variable))]
    for host in hosts:
        if not _is_host(host):
            raise SettingsError(f"{variable} has a host that is no name or address: {ESCAPE}.")
    return [(host, _read_port(port, variable)) for host, port in zip(hosts, ports, strict=True)]


def _read_port(port: str, variable: str) -> int:
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
        raise SettingsError(f"{variable} has a port that is no number from 1 to 65535: {ESCAPE}.")
    return int(port or DEFAULT_PORT)


def _is_host(host: str) -> bool:
    if host.startswith("/"):
        return True
    try:
        return bool(IPv6Address(host))
    except AddressValueError:
        return re.fullmatch(r"[A-Za-z0-9_.\-]{1,253}", host) is not None
