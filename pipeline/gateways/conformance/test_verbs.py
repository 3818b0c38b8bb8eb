"""The ordinary steps of a payment, and the effects of declines and retrievals."""

from datetime import UTC, datetime

import pytest

from models.states import PaymentStatus
from pipeline.gateways.conformance.purchase import (
    AUTHORIZED,
    CANCELLED,
    CAPTURED,
    OPEN,
    PENDING,
    REFUNDED,
    STEPS,
    Purchase,
    need,
)
from pipeline.gateways.conformance.subject import Subject
from pipeline.gateways.gateway import KEYED_VERBS, Declined, Misconfigured, Succeeded, Verb


def test_it_has_a_name_and_bounds_its_calls(subject: Subject) -> None:
    """The engine distinguishes adapters by name, and must know how long a call can take."""
    assert subject.gateway.name.strip()
    assert 0 < subject.gateway.call_seconds < 3600


@pytest.mark.parametrize("verb", KEYED_VERBS)
def test_each_verb_leads_to_its_status_and_moves_its_amount(purchase: Purchase, verb: Verb) -> None:
    """A verb that succeeds has done exactly its work: the provider's own ledger shows it."""
    before, after = STEPS[verb]
    purchase.bring_to(before)

    answer = purchase.insist(verb)

    assert isinstance(answer, Succeeded)
    assert (answer.reference, answer.status) == (purchase.reference, after)
    purchase.assert_stands(after)


def test_two_checkouts_have_two_objects(subject: Subject) -> None:
    """The object of one checkout never becomes another's."""
    one, other = Purchase(subject).bring_to(OPEN), Purchase(subject).bring_to(OPEN)

    assert one.reference != other.reference
    one.bring_to(CAPTURED)
    other.assert_stands(OPEN)


def test_an_authorisation_that_runs_out_does_so_in_the_future(purchase: Purchase) -> None:
    """`authorized_until`, where the provider returns it, is a time with its zone, and `retrieve` returns the same."""
    purchase.bring_to(OPEN)

    answer = purchase.insist(Verb.AUTHORIZE)

    assert isinstance(answer, Succeeded)
    if answer.authorized_until is not None:
        assert answer.authorized_until > datetime.now(UTC)
    assert purchase.retrieve() == answer


def test_a_decline_leaves_the_object_open_for_another_card(purchase: Purchase) -> None:
    """A declined card ends nothing: a new key with another token is a new attempt on the same object."""
    declined = need(purchase.subject.tokens.declined, "tokens.declined")
    purchase.bring_to(OPEN)

    answer = purchase.insist(Verb.AUTHORIZE, purchase.call(token=declined))

    assert isinstance(answer, Declined)
    assert answer.code
    purchase.assert_stands(OPEN)
    purchase.insist(Verb.AUTHORIZE)
    purchase.assert_stands(AUTHORIZED)
    purchase.insist(Verb.CAPTURE)
    purchase.assert_stands(CAPTURED)


def test_a_decline_is_repeated_with_its_key(purchase: Purchase) -> None:
    """The same key has the same answer, a decline too: it cannot become a charge later."""
    declined = need(purchase.subject.tokens.declined, "tokens.declined")
    call = purchase.bring_to(OPEN).call(token=declined)

    first, second = purchase.insist(Verb.AUTHORIZE, call), purchase.insist(Verb.AUTHORIZE, call)

    assert isinstance(first, Declined)
    assert isinstance(second, Declined)
    assert first.code == second.code
    purchase.assert_stands(OPEN)


@pytest.mark.parametrize("status", [OPEN, PENDING, AUTHORIZED, CAPTURED, CANCELLED, REFUNDED])
def test_a_retrieval_changes_nothing(purchase: Purchase, status: PaymentStatus) -> None:
    """`retrieve` may be called at any time and any number of times."""
    purchase.bring_to(status)

    retrieved = [purchase.retrieve() for _ in range(3)]

    assert retrieved[0] == retrieved[1] == retrieved[2]
    purchase.assert_stands(status)


@pytest.mark.parametrize("verb", [verb for verb in KEYED_VERBS if verb is not Verb.OPEN])
def test_an_object_that_is_not_there_is_an_operators_matter(purchase: Purchase, verb: Verb) -> None:
    """An object that the provider does not have was made with another API key: no card is declined for that."""
    answer = purchase.insist(verb, purchase.call(reference=purchase.subject.missing))

    assert isinstance(answer, Misconfigured)
    assert answer.error


def test_retrieving_an_object_that_is_not_there_is_an_operators_matter(purchase: Purchase) -> None:
    """`retrieve` does not report absence as a status either."""
    purchase.reference = purchase.subject.missing

    assert isinstance(purchase.retrieve(), Misconfigured)
