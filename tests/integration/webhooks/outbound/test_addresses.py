"""Where webhooks may not go, through the code that sends them."""

from collections.abc import Sequence
from ipaddress import ip_network

import pytest

from pipeline.errors import Invalid
from pipeline.webhooks.outbound.http_client import post
from pipeline.webhooks.outbound.url_policy import ForbiddenAddressError, check_url, find_target, resolve_host
from tests.integration.webhooks.outbound.post import Post
from tests.integration.webhooks.outbound.receiver import Receiver

SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
LOOPBACK = [ip_network("127.0.0.0/8")]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 (an address to be refused)
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
        "2001:0:53aa:64c::1",
    ],
)
def test_a_name_at_a_private_address_is_not_called(address: str) -> None:
    def resolve(_host: str, _port: int) -> Sequence[str]:
        # One good address among them does not help.
        return ["93.184.216.34", address]

    with pytest.raises(ForbiddenAddressError, match="not a public address"):
        find_target("https://shop.example/hook", [], resolve)


@pytest.mark.parametrize("url", ["https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/"])
def test_other_spellings_of_loopback_are_seen_through(url: str) -> None:
    answer = post(url, "{}", secret=SECRET, event_id="evt_1", networks=[], resolve=resolve_host, timeout_seconds=1)
    assert answer.status is None
    assert "127.0.0.1, which is not a public address" in str(answer.error)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "neither https nor http"),
        ("gopher://shop.example/", "neither https nor http"),
        ("//shop.example/", "neither https nor http"),
        ("https:///hook", "names no host"),
        ("https://user@shop.example/", "a name or a password"),
        ("https://user:word@shop.example/", "a name or a password"),
        ("http://shop.example/", "not https"),
        ("https://shop.example:99999/", "cannot be read"),
        ("https://[::1/", "cannot be read"),
        ("https://shop.example/a b", "not an address"),
        ("https://shop.example/\r\nHost: x", "not an address"),
        ("https://shöp.example/", "not an address"),
        ("https://shop.example/" + "x" * 2000, "not an address"),
    ],
)
def test_an_invalid_address_is_refused_when_it_is_added(post: Post, url: str, reason: str) -> None:
    strict = post.settings.model_copy(update={"outbound_webhook_private_networks": ""})
    with pytest.raises(Invalid, match=reason):
        check_url(url, [])
    post.settings = strict
    with pytest.raises(Invalid, match=reason):
        post.subscribe(url)
    assert post.shelf.rows("SELECT count(*) FROM webhook_endpoints") == [(0,)]


def test_an_unknown_event_is_refused(post: Post, receiver: Receiver) -> None:
    with pytest.raises(Invalid, match=r"checkout\.paid is none of the events checkout\.started, "):
        post.subscribe(receiver.url, "checkout.paid")


def test_a_name_is_resolved_once_and_that_address_is_called(receiver: Receiver) -> None:
    # Given a name server that says another address each time
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    asked = []

    def resolve(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    url = receiver.url.replace("127.0.0.1", "shop.example")
    # When
    answer = post(url, "{}", secret=SECRET, event_id="evt_1", networks=LOOPBACK, resolve=resolve, timeout_seconds=2)
    # Then the checked address was called, under its host name
    assert (answer.status, asked) == (204, ["shop.example"])
    assert receiver.got[0].headers["host"] == url.split("/")[2]


def test_http_is_for_named_networks_alone() -> None:
    with pytest.raises(ForbiddenAddressError, match="only be called over https"):
        find_target("http://shop.example/", LOOPBACK, lambda _host, _port: ["93.184.216.34"])


def test_a_certificate_must_be_the_names(receiver: Receiver) -> None:
    # Given a server that speaks no TLS at all
    url = receiver.url.replace("http://", "https://")
    # When
    answer = post(
        url, "{}", secret=SECRET, event_id="evt_1", networks=LOOPBACK, resolve=resolve_host, timeout_seconds=2
    )
    # Then
    assert (answer.status, receiver.got) == (None, [])
    assert "SSL" in str(answer.error)
