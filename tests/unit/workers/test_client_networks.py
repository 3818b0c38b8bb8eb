"""Which addresses count as one client."""

from starlette.requests import Request

from workers.web.protection.client_networks import find_network, name_network


def test_an_address_of_ipv4_is_one_client_and_so_is_a_64_of_ipv6() -> None:
    assert name_network("192.0.2.1") == "192.0.2.1"
    assert name_network("::ffff:192.0.2.1") == "192.0.2.1"
    assert name_network("2001:db8::1") == name_network("2001:db8::ffff:1") != name_network("2001:db8:0:1::1")
    assert name_network("x" * 1000) == "x" * 100
    assert name_network("") == ""


def test_a_request_without_an_address_has_a_network_too() -> None:
    scope = {"type": "http", "headers": []}
    assert find_network(Request({**scope, "client": ("2001:db8::5", 4711)})) == "2001:db8::/64"
    assert find_network(Request({**scope, "client": None})) == ""
