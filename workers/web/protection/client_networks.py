"""The network that counts as one client, wherever a bound is by address."""

from ipaddress import IPv6Address, ip_address, ip_network

from starlette.requests import Request


def find_network(request: Request) -> str:
    """Return the network of this request's client; empty where the connection has no address."""
    return name_network(request.client.host) if request.client is not None else ""


def name_network(address: str) -> str:
    """Return the network that counts as one client: a /64 of IPv6, a single address of IPv4."""
    try:
        read = ip_address(address)
    except ValueError:
        return address[:100]
    if isinstance(read, IPv6Address):
        return str(read.ipv4_mapped or ip_network((read, 64), strict=False))
    return str(read)
