"""Which credentials a process remembers as valid."""

import pytest
from starlette.requests import Request

from workers.web.protection import known_credentials
from workers.web.protection.known_credentials import KnownCredentials


def send(**headers: str) -> Request:
    """Return a request with these headers."""
    return Request({"type": "http", "headers": [(name.encode(), value.encode()) for name, value in headers.items()]})


def test_the_api_key_counts_and_without_one_the_session() -> None:
    known = KnownCredentials()
    known.add(send(authorization="Bearer a", cookie="x"))
    known.add(send(cookie="y"))
    assert known.include(send(authorization="Bearer a"))
    assert known.include(send(cookie="y"))
    assert not known.include(send(authorization="Bearer b", cookie="y"))
    assert not known.include(send(cookie="x"))
    assert not known.include(send())


def test_what_is_not_valid_any_more_is_forgotten() -> None:
    known = KnownCredentials()
    known.discard(send(authorization="Bearer a"))
    known.add(send(authorization="Bearer a"))
    known.discard(send(authorization="Bearer a"))
    assert not known.include(send(authorization="Bearer a"))


def test_no_more_are_kept_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_credentials, "MAX_KNOWN", 2)
    known = KnownCredentials()
    for key in ("a", "b", "b", "c"):
        known.add(send(authorization=key))
    assert [known.include(send(authorization=key)) for key in ("a", "b", "c")] == [False, True, True]
