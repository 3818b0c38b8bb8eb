"""Requests that are made to cost as much as they can, for any route: long, deep, and of many small things."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from tests.support.harness import ADDRESS

#: A megabyte: the largest body that a setting allows unless it is changed.
SIZE: Final = 2**20
LINE: Final = {"sku": "cup", "quantity": 1}
TAX: Final = {"name": "VAT", "rate": "0.2", "amount_minor": 1}


@dataclass(frozen=True, slots=True)
class Shot:
    """One request, as the application gets it."""

    name: str
    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


def dump(value: object) -> bytes:
    """Return JSON."""
    return json.dumps(value).encode()


def fill(piece: str, size: int, start: str = "", end: str = "") -> bytes:
    """Return a text of about this size that repeats a piece."""
    return (start + piece * max(1, (size - len(start) - len(end)) // len(piece)) + end).encode()


def wrap(field: str) -> tuple[str, str]:
    """Return what stands before and after the value of a cart's field."""
    return f'{{"currency": "EUR", "lines": [], "{field}": ', "}"


#: Bodies by what they are, of a size.
BODIES: Final[dict[str, Callable[[int], bytes]]] = {
    "empty lines": lambda size: fill("{},", size, '{"currency": "EUR", "lines": [', "{}]}"),
    "bare lines": lambda size: fill("0,", size, '{"currency": "EUR", "lines": [', "0]}"),
    "lines": lambda size: fill(json.dumps(LINE) + ",", size, '{"currency": "EUR", "lines": [', json.dumps(LINE) + "]}"),
    "taxes": lambda size: fill(
        json.dumps(TAX) + ",", size, '{"currency": "EUR", "lines": [{"sku": "a", "quantity": 1, "taxes": [', "{}]}]}"
    ),
    "coupons": lambda size: fill('"",', size, wrap("coupon_codes")[0] + "[", '""]}'),
    "address fields": lambda size: dump(
        {"currency": "EUR", "lines": [], "shipping_address": {str(n): "" for n in range(size // 15)}}
    ),
    "address depth": lambda size: fill('{"a":', size, wrap("billing_address")[0], "1}"),
    "address list": lambda size: fill("[],", size, wrap("billing_address")[0] + '{"a": [', "[]]}}"),
    "names twice": lambda size: fill('"a": 1,', size, "{", '"a": 1}'),
    "unknown names": lambda size: dump({str(n): n for n in range(size // 20)}),
    "digits in a payment": lambda size: fill("3 ", size, '{"cart_id": "x", "payment": {"token": "', '"}}'),
    "digits beside a token": lambda size: fill('"3 3 3 ",', size, '{"payment": {"token": "t", "more": [', '""]}}'),
    "expected lines": lambda size: dump({"expected_lines": {str(n): 1 for n in range(size // 13)}}),
    "wrong expected lines": lambda size: dump({"expected_lines": {f"x{n}": "" for n in range(size // 16)}}),
    "brackets": lambda size: b"[" * size,
    "braces": lambda size: fill('{"a":', size),
    "number": lambda size: b"9" * size,
    "many numbers": lambda size: fill("1" * 4000 + ",", size, "[", "1]"),
    "float": lambda size: b"0." + b"9" * size,
    "text": lambda size: b'"' + b"a" * size + b'"',
    "escapes": lambda size: b'"' + b"\\u0033" * (size // 6) + b'"',
    "backslashes": lambda size: b'"' + b"\\\\" * (size // 2) + b'"',
    "constants": lambda size: fill("NaN,", size, "[", "NaN]"),
    "long sku": lambda size: fill("a", size, '{"currency": "EUR", "lines": [{"quantity": 1, "sku": "', '"}]}'),
    "long id": lambda size: fill("0", size, '{"checkout_id": "', '"}'),
    "long reason": lambda size: fill(" ", size, '{"reason": "', '"}'),
    "form fields": lambda size: fill("key=a&", size),
    "form escapes": lambda size: fill("%41", size, "key=", "&next=%"),
    "form blanks": lambda size: fill("+", size, "reason="),
    "zeros": lambda size: b"\x00" * size,
    "not text": lambda size: b"\xff" * size,
    "nothing": lambda _size: b"",
}

#: Headers by what they are, of a size that fits into a head, or does not.
HEADERS: Final[dict[str, Callable[[int], list[tuple[bytes, bytes]]]]] = {
    "none": lambda _size: [],
    "quoted cookie": lambda size: [(b"cookie", b'checkout_admin="' + b'\\"' * (size // 2) + b'"')],
    "octal cookie": lambda size: [(b"cookie", b'checkout_admin="' + b"\\101" * (size // 4) + b'"')],
    "many cookies": lambda size: [(b"cookie", b"a=b;" * (size // 4))],
    "cookie headers": lambda size: [(b"cookie", b"checkout_admin=x")] * (size // 20),
    "session": lambda _size: [(b"cookie", b"checkout_admin=" + b"a" * 43)],
    "key": lambda size: [(b"idempotency-key", b'"' + b'\\"' * (size // 2) + b'"')],
    "preferences": lambda size: [(b"prefer", b",wait=1" + b" " * size + b"x")],
    "many preferences": lambda size: [(b"prefer", b"wait=1 x," * (size // 9))],
    "bearer": lambda size: [(b"authorization", b"Bearer ck_" + b"a" * size)],
    "bearer blanks": lambda size: [(b"authorization", b"Bearer" + b" " * size + b"x")],
    "content type": lambda size: [(b"content-type", b"application/json" + b'; a="\\""' * (size // 9))],
    "multipart": lambda size: [(b"content-type", b"multipart/form-data; boundary=" + b"-" * size)],
    "length": lambda size: [(b"content-length", b"9" * size)],
    "accept": lambda size: [(b"accept", b"text/html;q=0.1," * (size // 16))],
    "hosts": lambda size: [(b"host", b"[" * size)],
    "odd host": lambda _size: [(b"host", b"[::1]:99999999999")],
    "origin": lambda size: [(b"origin", b"http://[" + b":" * size)],
    "forwarded": lambda size: [(b"x-forwarded-for", b"1.1.1.1," * (size // 8)), (b"x-forwarded-proto", b"x" * 100)],
    "many": lambda size: [(b"x-%d" % number, b"") for number in range(size // 10)],
    "not text": lambda size: [(b"x-a", b"\xff" * size), (b"idempotency-key", b"\xff" * 10)],
}

QUERIES: Final[dict[str, Callable[[int], bytes]]] = {
    "none": lambda _size: b"",
    "parameters": lambda size: b"cart_id=a&" * (size // 10),
    "semicolons": lambda size: b"cart_id=a;" * (size // 10),
    "escapes": lambda size: b"cart_id=" + b"%41" * (size // 3),
    "broken escapes": lambda size: b"next=" + b"%" * size,
    "number": lambda size: b"ttl_seconds=" + b"9" * size + b"&limit=" + b"9" * 100,
    "seconds": lambda size: b"cart_id=%032d&ttl_seconds=%d" % (size, size * 10**5),
    "date": lambda size: b"since=2026-01-01" + b"0" * size,
    "owner": lambda size: b"owner=" + b"%00" * (size // 3),
}


def draw(
    source: random.Random, method: str, path: str, cookie_or_key: tuple[bytes, bytes], *, honest: bool = False
) -> Shot:
    """Return a request to a route, and with `honest` one that has nothing in it."""
    large, small = source.choice([1000, SIZE // 16, SIZE]), source.choice([100, 4000, 15_000])
    body, header, query = (source.choice(list(each)) for each in (BODIES, HEADERS, QUERIES))
    if honest:
        body, header, query = "nothing", "none", "none"
    ids: dict[str, Any] = dict.fromkeys(
        ("cart_id", "checkout_id", "order_id", "change_id"), UUID(int=source.getrandbits(128))
    )
    names = {
        "gateway": source.choice(["sandbox", "stripe", "%" * 500]),
        "action": source.choice(["refund", "%" * 500]),
        **ids,
    }
    kinds = [b"application/json", b"application/x-www-form-urlencoded"]
    headers = [
        (b"host", b"shop"),
        (b"content-type", source.choice(kinds)),
        (b"origin", b"http://shop"),
        (b"accept", source.choice([b"*/*", b"text/html"])),
        (b"idempotency-key", b"k%d" % source.getrandbits(64)),
        *([cookie_or_key] if source.random() < 0.8 or honest else []),
    ]
    added = HEADERS[header](small)
    kept = [(name, value) for name, value in headers if name not in {other for other, _ in added}]
    name = f"{method} {path} body={body} {large} header={header} {small} query={query}"
    return Shot(name, method, path.format(**names), QUERIES[query](small), kept + added, BODIES[body](large))


def make_cart(lines: int) -> bytes:
    """Return an honest cart."""
    given = [{"sku": f"cup-{number}", "quantity": 1} for number in range(lines)]
    return dump({"currency": "EUR", "shipping_address": ADDRESS, "lines": given})
