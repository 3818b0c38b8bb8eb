"""The two request headers of a payment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Invalid
from workers.web.headers import read_key, read_wait


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("order-4711", "order-4711"),
        ('"order-4711"', "order-4711"),
        (' "order 4711" ', "order 4711"),
        (r'"a\"b\\c"', 'a"b\\c'),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("k" * 255, "k" * 255),
        ('"' + "k" * 255 + '"', "k" * 255),
    ],
)
def test_a_key_is_quoted_or_bare(header: str, key: str) -> None:
    assert read_key(header) == key


@pytest.mark.parametrize(
    "header", ["", '""', " ", '"', '"a', 'a"', "a b", "k" * 256, "schlüssel", "a\x00", '"a\\"', "a\nb"]
)
def test_what_is_no_key_is_refused(header: str) -> None:
    with pytest.raises(Invalid, match="needs an idempotency key"):
        read_key(header)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("wait=10", 10),
        ("WAIT = 10", 10),
        ('wait="10"', 10),
        ("respond-async, wait=10", 10),
        ("wait=10, respond-async", 10),
        ("wait=10; foo=bar", 10),
        ("wait=0", 0),
        ("wait=31", 30),
        ("wait=999999", 30),
        ("wait=-1", 0),
        ("wait=abc", 0),
        ("wait=1.5", 0),
        ("await=10", 0),
        ("wait", 0),
        ("return=minimal", 0),
    ],
)
def test_a_wait_is_a_number_of_seconds_among_preferences(header: str | None, seconds: int) -> None:
    assert read_wait(header, 30) == seconds


@given(st.text(max_size=300))
def test_whatever_comes_is_read_or_refused(header: str) -> None:
    assert 0 <= read_wait(header, 30) <= 30
    try:
        key = read_key(header)
    except Invalid:
        return
    assert 1 <= len(key) <= 255
    assert key.isascii()
    assert key.isprintable()
