"""Idempotency: one key, one answer, one effect."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from uuid import UUID, uuid4

import pytest

from models.money import Money
from pipeline.gateways.conformance.purchase import AUTHORIZED, CAPTURED, MINOR, OPEN, STEPS, Purchase, need
from pipeline.gateways.gateway import KEYED_VERBS, Answer, Details, Recipient, Succeeded, Unknown, Verb

RIVALS = 8

ODD = "\N{SNOWMAN} [/x] '\"\r\n&=%" * 25
DETAILS = [
    Details("R-1", UUID(int=1), Recipient("Ada Lovelace", "1 High Street", "GB", city="London"), "ada@example.com"),
    Details(ODD[:255], UUID(int=2), Recipient(ODD[:500], ODD[:500], "ZZ", ODD[:500], ODD[:500], "?", "?", "?"), None),
]


@pytest.mark.parametrize("verb", KEYED_VERBS)
def test_a_repeated_key_gives_the_same_answer_and_one_effect(purchase: Purchase, verb: Verb) -> None:
    """A caller without an answer may simply repeat the call."""
    before, after = STEPS[verb]
    call = purchase.bring_to(before).call()

    answers = [purchase.insist(verb, call) for _ in range(3)]

    assert isinstance(answers[0], Succeeded)
    assert answers[0] == answers[1] == answers[2]
    purchase.assert_stands(after)


@pytest.mark.parametrize("details", DETAILS, ids=["plain", "odd"])
@pytest.mark.parametrize("verb", KEYED_VERBS)
def test_a_repeated_key_gives_the_same_answer_with_any_details_of_the_purchase(
    purchase: Purchase, verb: Verb, details: Details
) -> None:
    """The details of a purchase change no answer."""
    before, after = STEPS[verb]
    call = replace(purchase.bring_to(before).call(), details=details)

    answers = [purchase.insist(verb, call) for _ in range(2)]

    assert isinstance(answers[0], Succeeded)
    assert answers[0] == answers[1]
    purchase.assert_stands(after)


@pytest.mark.parametrize("verb", KEYED_VERBS)
def test_a_key_used_by_many_at_once_has_one_effect(purchase: Purchase, verb: Verb) -> None:
    """Eight at once get the same answer, or `Unknown`; a later repeat is answered."""
    before, after = STEPS[verb]
    call = purchase.bring_to(before).call()
    start = Barrier(RIVALS)

    def race(_: int) -> Answer:
        start.wait(10)
        return purchase.ask(verb, call)

    with ThreadPoolExecutor(RIVALS) as threads:
        answers = list(threads.map(race, range(RIVALS)))

    repeat = purchase.insist(verb, call)
    assert isinstance(repeat, Succeeded)
    assert repeat.status == after
    assert [answer for answer in answers if not isinstance(answer, Unknown) and answer != repeat] == []
    purchase.reference = repeat.reference
    purchase.assert_stands(after)


@pytest.mark.parametrize("verb", [Verb.CAPTURE, Verb.CANCEL, Verb.REFUND])
def test_many_keys_at_once_have_one_effect(purchase: Purchase, verb: Verb) -> None:
    """Capture, cancel and refund move the whole amount: with any key, only once."""
    before, after = STEPS[verb]
    calls = [purchase.bring_to(before).call()]
    calls += [purchase.call() for _ in range(RIVALS - 1)]
    start = Barrier(RIVALS)

    def race(number: int) -> Answer:
        start.wait(10)
        return purchase.insist(verb, calls[number])

    with ThreadPoolExecutor(RIVALS) as threads:
        answers = list(threads.map(race, range(RIVALS)))

    assert answers == [Succeeded(purchase.reference or "", after)] * RIVALS
    purchase.assert_stands(after)


def test_a_key_with_another_amount_opens_nothing_more(purchase: Purchase) -> None:
    """A key with another request is a fault: the second request has no effect of its own."""
    count_objects = need(purchase.subject.count_objects, "count_objects")
    call = purchase.call()
    first = purchase.insist(Verb.OPEN, call)
    assert isinstance(first, Succeeded)

    answer = purchase.ask(Verb.OPEN, replace(call, amount=Money(MINOR + 1, purchase.subject.currency)))

    assert not isinstance(answer, Succeeded) or answer == first
    assert count_objects(purchase.checkout_id) == 1
    purchase.assert_stands(OPEN)


def test_a_key_with_another_token_authorises_nothing_more(purchase: Purchase) -> None:
    """A declined key does not become an authorisation with another card."""
    declined = need(purchase.subject.tokens.declined, "tokens.declined")
    call = purchase.bring_to(OPEN).call(token=declined)
    purchase.insist(Verb.AUTHORIZE, call)

    answer = purchase.ask(Verb.AUTHORIZE, replace(call, token=purchase.subject.tokens.ok))

    assert not isinstance(answer, Succeeded)
    purchase.assert_stands(OPEN)


def test_a_key_of_one_verb_is_none_for_another(purchase: Purchase) -> None:
    """The key of a capture does not refund."""
    call = purchase.bring_to(AUTHORIZED).call()
    purchase.insist(Verb.CAPTURE, call)

    answer = purchase.ask(Verb.REFUND, call)

    assert not isinstance(answer, Succeeded) or answer.status == CAPTURED
    purchase.assert_stands(CAPTURED)


def test_a_key_of_one_object_is_none_for_another(purchase: Purchase) -> None:
    """The key of one capture does not capture another purchase."""
    other = Purchase(purchase.subject, checkout_id=uuid4()).bring_to(AUTHORIZED)
    call = purchase.bring_to(AUTHORIZED).call()
    purchase.insist(Verb.CAPTURE, call)

    answer = other.ask(Verb.CAPTURE, replace(call, checkout_id=other.checkout_id, reference=other.reference))

    assert not isinstance(answer, Succeeded) or answer.reference == purchase.reference
    purchase.assert_stands(CAPTURED)
    other.assert_stands(AUTHORIZED)
