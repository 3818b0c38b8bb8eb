"""Which requests are refused for their address and headers, and which cookie is left to be parsed."""

import random
import time
from typing import Any, Final

import pytest
from starlette.requests import cookie_parser

from workers.web.protection.request_bounds import (
    MAX_COOKIE_BYTES,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_PARAMETERS,
    MAX_PATH_BYTES,
    MAX_QUERY_BYTES,
    find_excess,
    keep_cookie,
)

COOKIE: Final = b"checkout_admin"


def make_scope(**changes: Any) -> dict[str, Any]:
    """Return the scope that a server passes for a request."""
    return {"path": "/", "raw_path": b"/", "query_string": b"", "headers": [], **changes}


EDGES: Final[dict[str, tuple[str, Any, Any]]] = {
    "headers": ("headers", [(b"a", b"b")] * MAX_HEADERS, [(b"a", b"b")] * (MAX_HEADERS + 1)),
    "head": ("headers", [(b"a", b"b" * (MAX_HEAD_BYTES - 5))], [(b"a", b"b" * (MAX_HEAD_BYTES - 4))]),
    "path": ("raw_path", b"/" * MAX_PATH_BYTES, b"/" * (MAX_PATH_BYTES + 1)),
    "query": ("query_string", b"a" * MAX_QUERY_BYTES, b"a" * (MAX_QUERY_BYTES + 1)),
    "parameters": ("query_string", b"&" * (MAX_PARAMETERS - 1), b"&" * MAX_PARAMETERS),
    "parameters by semicolons": ("query_string", b"a=1;" * (MAX_PARAMETERS - 1), b"a=1;" * MAX_PARAMETERS),
}


@pytest.mark.parametrize(("part", "fits", "too_large"), EDGES.values(), ids=EDGES.keys())
def test_a_bound_is_where_it_is(part: str, fits: Any, too_large: Any) -> None:
    assert find_excess(make_scope(**{part: fits})) is None
    refusal = find_excess(make_scope(**{part: too_large}))
    assert refusal is not None
    assert refusal.code.value == ("headers_too_large" if part == "headers" else "address_too_long")
    assert "?" not in str(refusal)


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        ([b"checkout_admin=abc"], [b"checkout_admin=abc"]),
        ([b"other=1; checkout_admin=abc; more=2"], [b"checkout_admin=abc"]),
        # A page of the same host may keep what it likes in its own.
        ([b'other="a\\"b"; checkout_admin=abc'], [b"checkout_admin=abc"]),
        ([b"other=1", b"checkout_admin=abc"], [b"checkout_admin=abc"]),
        ([b'checkout_admin="abc"'], []),
        ([b"checkout_admin=a\\142c"], []),
        ([b'checkout_admin="' + b'\\"' * 30_000 + b'"'], []),
        ([b'checkout_admin="' + b"\\101" * 500 + b'"'], []),
        ([b"a=b; " * 1000 + b"checkout_admin=abc"], []),
        ([b"other=" + b"a" * MAX_COOKIE_BYTES, b"checkout_admin=abc"], [b"checkout_admin=abc"]),
        ([b"CHECKOUT_ADMIN=abc; xcheckout_admin=abc; checkout_admin"], [b"checkout_admin="]),
        ([b""], []),
        ([b";;=;"], []),
    ],
    ids=range(13),
)
def test_only_our_cookie_is_left_and_only_if_it_is_safe_to_parse(sent: list[bytes], left: list[bytes]) -> None:
    host = (b"host", b"shop")
    headers = [host, *((b"cookie", each) for each in sent)]
    assert keep_cookie(headers, COOKIE) == [host, *((b"cookie", each) for each in left)]


def test_parsing_what_is_left_takes_no_longer_for_any_cookie() -> None:
    seed = random.randrange(10**6)
    source = random.Random(seed)
    pieces = [
        b'"',
        b"\\",
        b'\\"',
        b"\\101",
        b";",
        b"=",
        b"checkout_admin=",
        b"checkout_admin",
        b" ",
        b"a",
        b"\xff",
        b",",
    ]

    def cost(value: bytes) -> float:
        began = time.process_time()
        for _, each in keep_cookie([(b"cookie", value)], COOKIE):
            cookie_parser(each.decode("latin-1"))
        return time.process_time() - began

    honest = max(cost(b"checkout_admin=a; " * (MAX_COOKIE_BYTES // 20)) for _ in range(3))
    for size in (100, 4000, 16_000, 60_000):
        for _ in range(20):
            value = b"".join(source.choices(source.sample(pieces, 3), k=size))[:size]
            # Quadratic parsing would take 80 times as long for a piece of 4 kB that is all backslashes and quotes.
            assert cost(value) < 5 * honest + 0.002, seed
