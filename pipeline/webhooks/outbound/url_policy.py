"""The addresses to which webhooks may go: no network that is not public, unless the settings name it.

The owner of an endpoint chooses an address that the engine calls. So a call resolves the name once, checks all its
addresses, and connects to a checked one: a second look-up could return another.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from pipeline.errors import Code, Invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: Returns the addresses of a host name; raises OSError when it has none.
Resolve = Callable[[str, int], Sequence[str]]

#: IPv6 addresses that reach an IPv4 address: NAT64 (RFC 6052).
NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
MAX_URL: Final = 2000


class ForbiddenAddressError(Exception):
    """Raised when a webhook would go to a forbidden address; its text names the address."""


@dataclass(frozen=True, slots=True)
class Target:
    """The target of one call: the checked address, and the host name."""

    scheme: str
    host: str
    port: int
    address: str
    path: str


def check_url(url: str, private_networks: Sequence[Network]) -> SplitResult:
    """Return the parts of an endpoint's URL. Raises Invalid(ENDPOINT_INVALID) for one to which no webhook may go."""
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise Invalid(Code.ENDPOINT_INVALID, reason=f"it is not an address of at most {MAX_URL} plain characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Invalid(Code.ENDPOINT_INVALID, reason="it cannot be read") from None
    if parts.scheme not in {"http", "https"}:
        raise Invalid(Code.ENDPOINT_INVALID, reason="it is neither https nor http")
    if parts.username is not None or parts.password is not None:
        raise Invalid(Code.ENDPOINT_INVALID, reason="it carries a name or a password")
    if not host or port == 0:
        raise Invalid(Code.ENDPOINT_INVALID, reason="it names no host")
    if parts.scheme == "http" and not private_networks:
        raise Invalid(Code.ENDPOINT_INVALID, reason="it is not https")
    return parts


def find_target(url: str, private_networks: Sequence[Network], resolve: Resolve) -> Target:
    """Return the target of a call to this URL now. Raises ForbiddenAddressError, Invalid or OSError."""
    parts = check_url(url, private_networks)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses = [ipaddress.ip_address(each.partition("%")[0]) for each in resolve(host, port)]
    if not addresses:
        raise OSError(f"{host} has no address")
    for address in addresses:
        is_private = any(address in network for network in private_networks)
        if not is_private and not is_public(address):
            raise ForbiddenAddressError(f"{host} is at {address}, which is not a public address")
        if parts.scheme == "http" and not is_private:
            raise ForbiddenAddressError(f"{host} is at {address}, which may only be called over https")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, str(addresses[0]), path)


def is_public(address: Address) -> bool:
    """Return whether an address, or the IPv4 address that it reaches, is public."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def read_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a list with commas. Raises ValueError for what is not a network."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def resolve_host(host: str, port: int) -> list[str]:
    """Return the addresses of a host, from the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))
