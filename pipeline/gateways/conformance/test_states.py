"""Verbs where they are not allowed, twice, and against each other."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from models.states import PaymentStatus
from pipeline.gateways.conformance.purchase import (
    AUTHORIZED,
    CANCELLED,
    CAPTURED,
    OPEN,
    PENDING,
    REFUNDED,
    Purchase,
    need,
)
from pipeline.gateways.conformance.subject import Subject
from pipeline.gateways.gateway import (
    ALREADY_CAPTURED,
    AUTHORIZATION_EXPIRED,
    PAYMENT_CANCELLED,
    Answer,
    Declined,
    Succeeded,
    Verb,
)


def assert_declined(answer: Answer, code: str) -> None:
    assert isinstance(answer, Declined), answer
    assert answer.code == code


@pytest.mark.parametrize("status", [OPEN, PENDING, AUTHORIZED])
def test_an_object_in_any_state_before_capture_can_be_cancelled_twice(
    purchase: Purchase, status: PaymentStatus
) -> None:
    """An undo is safe twice, and safe when only half of the way was gone."""
    purchase.bring_to(status)

    answers = purchase.insist(Verb.CANCEL), purchase.insist(Verb.CANCEL)

    assert answers == (Succeeded(purchase.reference or "", CANCELLED),) * 2
    purchase.assert_stands(CANCELLED)


@pytest.mark.parametrize("status", [OPEN, AUTHORIZED])
@pytest.mark.parametrize("verb", [Verb.AUTHORIZE, Verb.CAPTURE])
def test_after_a_cancel_no_money_can_move(purchase: Purchase, status: PaymentStatus, verb: Verb) -> None:
    """A worker that wakes up after the undo is refused by the provider itself, for ever."""
    purchase.bring_to(status)
    purchase.insist(Verb.CANCEL)

    assert_declined(purchase.insist(verb), PAYMENT_CANCELLED)
    assert_declined(purchase.insist(verb), PAYMENT_CANCELLED)

    purchase.assert_stands(CANCELLED)


@pytest.mark.parametrize("status", [CAPTURED, REFUNDED])
def test_taken_money_is_not_cancelled(purchase: Purchase, status: PaymentStatus) -> None:
    """Cancelling what was captured is declined with the code that says: refund it."""
    purchase.bring_to(status)

    assert_declined(purchase.insist(Verb.CANCEL), ALREADY_CAPTURED)

    purchase.assert_stands(status)


def test_taken_money_is_given_back_after_a_cancel_came_too_late(purchase: Purchase) -> None:
    """The refund is what is left once a cancel has been declined."""
    purchase.bring_to(CAPTURED)
    purchase.insist(Verb.CANCEL)

    assert purchase.insist(Verb.REFUND) == Succeeded(purchase.reference or "", REFUNDED)

    purchase.assert_stands(REFUNDED)


@pytest.mark.parametrize(
    ("verb", "before", "after"), [("capture", AUTHORIZED, CAPTURED), ("refund", CAPTURED, REFUNDED)]
)
def test_the_same_under_two_keys_moves_money_once(
    purchase: Purchase, verb: str, before: PaymentStatus, after: PaymentStatus
) -> None:
    """Both are told that it is done: a new key is safe once an old one answers nothing."""
    purchase.bring_to(before)

    answers = purchase.insist(Verb(verb)), purchase.insist(Verb(verb))

    assert answers == (Succeeded(purchase.reference or "", after),) * 2
    purchase.assert_stands(after)


@pytest.mark.parametrize("status", [OPEN, PENDING, AUTHORIZED, CANCELLED])
def test_what_was_not_taken_is_not_given_back(purchase: Purchase, status: PaymentStatus) -> None:
    """A refund without a capture is declined, and nothing moves."""
    purchase.bring_to(status)

    assert isinstance(purchase.insist(Verb.REFUND), Declined)

    purchase.assert_stands(status)


@pytest.mark.parametrize("status", [OPEN, PENDING])
def test_what_was_not_authorised_is_not_taken(purchase: Purchase, status: PaymentStatus) -> None:
    """A capture without an authorisation is declined, and nothing moves."""
    purchase.bring_to(status)

    assert isinstance(purchase.insist(Verb.CAPTURE), Declined)

    purchase.assert_stands(status)


def test_what_went_back_is_not_taken_again(purchase: Purchase) -> None:
    """A capture after the refund moves nothing, whatever it answers."""
    purchase.bring_to(REFUNDED)

    purchase.insist(Verb.CAPTURE)

    purchase.assert_stands(REFUNDED)


@pytest.mark.parametrize("status", [AUTHORIZED, CAPTURED])
def test_a_second_authorisation_moves_nothing(purchase: Purchase, status: PaymentStatus) -> None:
    """One object holds one authorisation, whatever a second one answers."""
    purchase.bring_to(status)

    purchase.insist(Verb.AUTHORIZE)

    purchase.assert_stands(status)


def test_an_authorisation_that_ran_out_is_not_taken(purchase: Purchase) -> None:
    """The provider let it go: capture is declined with the code that says so, and the object is cancelled."""
    let_expire = need(purchase.subject.let_expire, "let_expire")
    purchase.bring_to(AUTHORIZED)
    let_expire(purchase.reference or "")

    assert_declined(purchase.insist(Verb.CAPTURE), AUTHORIZATION_EXPIRED)

    purchase.assert_stands(CANCELLED)
    assert purchase.insist(Verb.CANCEL) == Succeeded(purchase.reference or "", CANCELLED)


def test_a_capture_and_a_cancel_at_once_agree_on_the_first(subject: Subject) -> None:
    """Whoever comes second is declined: never is money taken from an object that was cancelled."""
    for _ in range(5):
        purchase = Purchase(subject).bring_to(AUTHORIZED)
        start = Barrier(2)

        def race(verb: Verb, purchase: Purchase = purchase, start: Barrier = start) -> Answer:
            start.wait(10)
            return purchase.insist(verb)

        with ThreadPoolExecutor(2) as threads:
            captured, cancelled = threads.map(race, [Verb.CAPTURE, Verb.CANCEL])

        if isinstance(captured, Succeeded):
            assert_declined(cancelled, ALREADY_CAPTURED)
            purchase.assert_stands(CAPTURED)
        else:
            assert_declined(captured, PAYMENT_CANCELLED)
            assert cancelled == Succeeded(purchase.reference or "", CANCELLED)
            purchase.assert_stands(CANCELLED)
