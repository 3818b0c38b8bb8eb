"""How often one may try to sign in."""

import random
from collections import Counter

import pytest

from pipeline.errors import Code, Refused
from workers.web.admin.sign_in_attempts import CLIENTS, SignInAttempts, name_network


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that is set by hand."""
    now = [1000.0]
    monkeypatch.setattr("workers.web.admin.sign_in_attempts.time.monotonic", lambda: now[0])
    return now


def is_let_in(counted: SignInAttempts, address: str) -> bool:
    """Try once."""
    try:
        counted.count(address)
    except Refused as error:
        refused = error
    else:
        return True
    assert refused.code is Code.SIGN_INS_LIMITED
    assert 1 <= refused.detail["seconds"] <= 60
    return False


def test_one_address_has_its_share_of_each_minute(clock: list[float]) -> None:
    counted = SignInAttempts(2)
    assert [is_let_in(counted, "192.0.2.1") for _ in range(3)] == [True, True, False]
    assert is_let_in(counted, "192.0.2.2")
    clock[0] += 59.9
    assert not is_let_in(counted, "192.0.2.1")
    clock[0] += 0.2
    assert [is_let_in(counted, "192.0.2.1") for _ in range(3)] == [True, True, False]


def test_all_addresses_together_have_a_limit_and_one_alone_cannot_use_it_up(clock: list[float]) -> None:
    counted = SignInAttempts(1)
    assert [is_let_in(counted, "192.0.2.1") for _ in range(100)].count(True) == 1
    allowed = [is_let_in(counted, f"198.51.100.{number}") for number in range(CLIENTS)]
    assert allowed == [True] * (CLIENTS - 1) + [False]


def test_no_minute_ever_has_more(clock: list[float]) -> None:
    seed = random.randrange(10**6)
    source = random.Random(seed)
    counted = SignInAttempts(3)
    let_in: list[tuple[float, str]] = []
    for _ in range(3000):
        clock[0] += source.expovariate(2)
        address = f"192.0.2.{source.randrange(80)}"
        if is_let_in(counted, address):
            let_in.append((clock[0], address))
    for at, _ in let_in:
        minute = Counter(name for other, name in let_in if at - 60 < other <= at)
        assert max(minute.values()) <= 3, seed
        assert minute.total() <= 3 * CLIENTS, seed


def test_whose_an_address_is() -> None:
    assert name_network("192.0.2.1") == "192.0.2.1"
    assert name_network("::ffff:192.0.2.1") == "192.0.2.1"
    assert name_network("2001:db8::1") == name_network("2001:db8::ffff:1") != name_network("2001:db8:0:1::1")
    assert name_network("x" * 1000) == "x" * 100
    assert name_network("") == ""
