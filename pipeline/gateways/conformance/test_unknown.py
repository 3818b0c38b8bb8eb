"""Calls with an unknown outcome: every fault on every verb."""

import time
from dataclasses import replace
from typing import Final

import pytest

from pipeline.gateways.conformance.purchase import STEPS, Purchase, need
from pipeline.gateways.conformance.subject import Fault
from pipeline.gateways.gateway import KEYED_VERBS, Answer, Call, Misconfigured, Succeeded, Transient, Unknown, Verb

#: Nothing happened, which the caller cannot know: `Unknown`, until the same key is repeated.
HIDDEN: Final = [Fault.TIMEOUT_BEFORE, Fault.ERROR_BEFORE, Fault.BROKEN_BEFORE]
#: It happened, which the caller cannot know.
DONE_AND_HIDDEN: Final = [Fault.TIMEOUT_AFTER, Fault.ERROR_AFTER, Fault.BROKEN_AFTER, Fault.MALFORMED]

#: The time that a busy machine may add to a call.
SLACK_SECONDS: Final = 1


def go_wrong(purchase: Purchase, verb: Verb, fault: Fault) -> tuple[Call, Answer]:
    """Bring the object to the status before the verb and make one call that goes wrong, within `call_seconds`."""
    provoke = need(purchase.subject.provoke, "provoke")
    if fault not in purchase.subject.faults:
        pytest.skip(f"The subject's faults have no {fault}.")
    purchase.bring_to(STEPS[verb][0])
    with provoke(fault, verb, purchase.subject.tokens.ok) as token:
        call = purchase.call(token=token)
        started = time.monotonic()
        answer = purchase.ask(verb, call)
        duration = time.monotonic() - started
    assert duration <= purchase.subject.gateway.call_seconds + SLACK_SECONDS
    return call, answer


def assert_one_effect(purchase: Purchase, verb: Verb, call: Call) -> None:
    """Repeat the call until it succeeds: it has one effect, and a repeat returns the same."""
    first, second = purchase.insist(verb, call), purchase.insist(verb, call)

    assert isinstance(first, Succeeded)
    assert first == second
    purchase.assert_stands(STEPS[verb][1])


@pytest.mark.parametrize("fault", HIDDEN)
@pytest.mark.parametrize("verb", KEYED_VERBS)
def test_what_never_reached_the_provider_is_unknown_and_can_be_repeated(
    purchase: Purchase, verb: Verb, fault: Fault
) -> None:
    """Not declined, since it might have happened; the same key makes it happen, once."""
    call, answer = go_wrong(purchase, verb, fault)

    assert isinstance(answer, Unknown)
    purchase.assert_stands(STEPS[verb][0])
    assert_one_effect(purchase, verb, call)


@pytest.mark.parametrize("fault", DONE_AND_HIDDEN)
@pytest.mark.parametrize("verb", KEYED_VERBS)
def test_what_happened_without_an_answer_is_unknown_and_known_on_repeat(
    purchase: Purchase, verb: Verb, fault: Fault
) -> None:
    """The same key returns what happened, and nothing happens twice."""
    call, answer = go_wrong(purchase, verb, fault)

    assert isinstance(answer, Unknown)
    assert_one_effect(purchase, verb, call)


@pytest.mark.parametrize("verb", KEYED_VERBS)
def test_a_late_answer_is_an_answer(purchase: Purchase, verb: Verb) -> None:
    """An answer within the time-out counts, however late it is."""
    call, answer = go_wrong(purchase, verb, Fault.SLOW)

    assert isinstance(answer, Succeeded)
    assert answer.status == STEPS[verb][1]
    assert_one_effect(purchase, verb, call)


@pytest.mark.parametrize("verb", KEYED_VERBS)
def test_too_many_requests_is_transient(purchase: Purchase, verb: Verb) -> None:
    """The provider has answered that it did nothing: the same key may be used later."""
    call, answer = go_wrong(purchase, verb, Fault.BUSY)

    assert isinstance(answer, Transient)
    purchase.assert_stands(STEPS[verb][0])
    assert_one_effect(purchase, verb, call)


@pytest.mark.parametrize("verb", KEYED_VERBS)
def test_a_provider_that_is_not_there_is_no_decline(purchase: Purchase, verb: Verb) -> None:
    """It is transient where the adapter knows that nothing was sent, else unknown."""
    call, answer = go_wrong(purchase, verb, Fault.REFUSED)

    assert isinstance(answer, Transient | Unknown)
    purchase.assert_stands(STEPS[verb][0])
    assert_one_effect(purchase, verb, call)


@pytest.mark.parametrize("verb", KEYED_VERBS)
def test_a_refused_access_key_is_an_operators_matter(purchase: Purchase, verb: Verb) -> None:
    """No card is declined because the shop's API key is wrong, and nothing moved."""
    _, answer = go_wrong(purchase, verb, Fault.ACCESS)

    assert isinstance(answer, Misconfigured)
    purchase.assert_stands(STEPS[verb][0])
    assert_one_effect(purchase, verb, purchase.call())


@pytest.mark.parametrize("verb", KEYED_VERBS)
def test_a_key_without_an_answer_is_replaced_by_a_new_one(purchase: Purchase, verb: Verb) -> None:
    """Providers replay server errors with their key: the key stays unknown, and a new one has one effect."""
    call, answer = go_wrong(purchase, verb, Fault.STUCK)

    assert isinstance(answer, Unknown)
    assert isinstance(purchase.ask(verb, call), Unknown)
    purchase.assert_stands(STEPS[verb][0])
    assert_one_effect(purchase, verb, replace(call, key=purchase.call().key))
