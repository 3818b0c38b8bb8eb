"""Faults by chance: the right share, in every way that passes, and the same again with the same seed."""

from collections import Counter
from uuid import UUID

import pytest

from models.money import Money
from pipeline.gateways.gateway import Call, Declined, Succeeded, Transient, Unknown, Verb
from pipeline.gateways.sandbox.faults import CHANCES, HEARD, LASTING, WITHOUT_EFFECT, Conduct, Faults
from pipeline.gateways.sandbox.requests import Keyed, Reply
from pipeline.gateways.sandbox.tokens import TokenFault


def keyed(key: str, token: str = "tok_ok") -> Keyed:
    return Keyed(Verb.CAPTURE, Call(UUID(int=1), key, Money(1, "EUR"), token, "sbx_1"))


def draw(conduct: Conduct, count: int = 4000) -> list[TokenFault | None]:
    faults = Faults(conduct)
    return [faults.of_call(keyed(f"key-{number}"), 0) for number in range(count)]


def test_only_what_a_repeat_cures_comes_by_chance() -> None:
    assert set(CHANCES) == {
        TokenFault.TIMEOUT_BEFORE,
        TokenFault.TIMEOUT_AFTER,
        TokenFault.ERROR,
        TokenFault.ERROR_AFTER,
        TokenFault.MALFORMED,
        TokenFault.SLOW,
        TokenFault.UNAVAILABLE,
    }
    assert set(TokenFault) - set(CHANCES) == LASTING


def test_every_fault_without_effect_is_received_as_something_else_than_an_answer() -> None:
    assert set(HEARD) >= WITHOUT_EFFECT


def test_a_rate_of_zero_spoils_nothing() -> None:
    faults = Faults(Conduct())

    assert draw(Conduct()) == [None] * 4000
    assert [faults.of_retrieval("sbx_1") for _ in range(100)] == [None] * 100


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.6])
def test_the_rate_is_the_share_of_calls_that_go_wrong(rate: float) -> None:
    counts = Counter(draw(Conduct(fault_rate=rate)))

    wrong = sum(count for fault, count in counts.items() if fault is not None)
    assert abs(wrong / 4000 - rate) < 0.03
    assert set(counts) == {None, *CHANCES}
    # Each of the seven ways about as often as the others.
    assert all(0.5 < counts[fault] / (wrong / 7) < 1.5 for fault in CHANCES)


def test_the_same_seed_goes_wrong_in_the_same_way_and_another_in_another() -> None:
    first, again = draw(Conduct(fault_rate=0.2, fault_seed=7)), draw(Conduct(fault_rate=0.2, fault_seed=7))

    assert first == again
    assert first != draw(Conduct(fault_rate=0.2, fault_seed=8))


def test_what_a_seed_does_is_fixed_for_ever() -> None:
    drawn = [Faults(Conduct(fault_rate=0.5, fault_seed=1)).of_call(keyed("a"), calls) for calls in range(6)]

    assert drawn == [
        TokenFault.ERROR_AFTER,
        TokenFault.SLOW,
        None,
        TokenFault.ERROR_AFTER,
        None,
        TokenFault.UNAVAILABLE,
    ]


def test_a_key_that_went_wrong_comes_through_in_the_end() -> None:
    faults = Faults(Conduct(fault_rate=0.6))

    tries = [
        next(calls for calls in range(60) if faults.of_call(keyed(f"key-{number}"), calls) is None)
        for number in range(200)
    ]
    assert 1 < sum(tries) / 200 < 2  # 0.6 / 0.4 = 1.5


def test_a_named_fault_comes_first_and_chance_after_it() -> None:
    faults = Faults(Conduct(fault_rate=0.999))
    request = keyed("key", "tok_capture_malformed")

    assert faults.of_call(request, 0) is TokenFault.MALFORMED
    assert {faults.of_call(request, calls) for calls in range(1, 200)} == set(CHANCES)
    assert faults.of_call(keyed("key", "tok_capture_misconfigured"), 5) is TokenFault.MISCONFIGURED
    # A decline is an answer, which may get lost like any other.
    assert faults.of_call(keyed("key", "tok_capture_declined"), 0) in CHANCES
    assert Faults(Conduct()).of_call(keyed("key", "tok_capture_declined"), 0) is None


def test_retrievals_are_counted_by_reference() -> None:
    one, other = Faults(Conduct(fault_rate=0.5)), Faults(Conduct(fault_rate=0.5))

    first = [one.of_retrieval("sbx_1") for _ in range(50)]
    mixed = [(other.of_retrieval("sbx_2"), other.of_retrieval("sbx_1"))[1] for _ in range(50)]

    assert first == mixed
    assert None in first
    assert len(set(first)) > 4
    assert one.of_retrieval(None) is None


def test_what_is_heard_and_when() -> None:
    faults = Faults(Conduct(hang_seconds=3, slow_seconds=2))
    answer = Declined("no")

    assert faults.spoil(None, answer) == Reply(answer)
    assert faults.spoil(TokenFault.SLOW, answer) == Reply(answer, 2)
    assert faults.spoil(TokenFault.TIMEOUT_AFTER, answer) == Reply(Unknown("timeout"), 3)
    assert faults.spoil(TokenFault.UNAVAILABLE) == Reply(Transient("unavailable"))
    assert not any(isinstance(heard, Succeeded | Declined) for heard in HEARD.values())
