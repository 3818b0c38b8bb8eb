"""Verbs where they are not allowed, twice, and at the same time."""

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
    """An undo is safe to repeat, and safe when the payment is not complete."""
    purchase.bring_to(status)

    answers = purchase.insist(Verb.CANCEL), purchase.insist(Verb.CANCEL)

    assert answers == (Succeeded(purchase.reference or "", CANCELLED),) * 2
    purchase.assert_stands(CANCELLED)


@pytest.mark.parametrize("status", [OPEN, AUTHORIZED])
@pytest.mark.parametrize("verb", [Verb.AUTHORIZE, Verb.CAPTURE])
def test_after_a_cancel_no_money_can_move(purchase: Purchase, status: PaymentStatus, verb: Verb) -> None:
    """The provider itself refuses the call of a worker that resumes after the undo, for ever."""
    purchase.bring_to(status)
    purchase.insist(Verb.CANCEL)

    assert_declined(purchase.insist(verb), PAYMENT_CANCELLED)
    assert_declined(purchase.insist(verb), PAYMENT_CANCELLED)

    purchase.assert_stands(CANCELLED)


@pytest.mark.parametrize("status", [CAPTURED, REFUNDED])
def test_captured_money_is_not_cancelled(purchase: Purchase, status: PaymentStatus) -> None:
    """Cancelling a captured payment is declined with the code that leads to a refund."""
    purchase.bring_to(status)

    assert_declined(purchase.insist(Verb.CANCEL), ALREADY_CAPTURED)

    purchase.assert_stands(status)


def test_captured_money_is_refunded_after_a_late_cancel(purchase: Purchase) -> None:
    """The refund remains possible after a declined cancel."""
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
    """Both succeed: a new key is safe when an old one gets no answer."""
    purchase.bring_to(before)

    answers = purchase.insist(Verb(verb)), purchase.insist(Verb(verb))

    assert answers == (Succeeded(purchase.reference or "", after),) * 2
    purchase.assert_stands(after)


@pytest.mark.parametrize("status", [OPEN, PENDING, AUTHORIZED, CANCELLED])
def test_what_was_not_captured_is_not_refunded(purchase: Purchase, status: PaymentStatus) -> None:
    """A refund without a capture is declined, and nothing moves."""
    purchase.bring_to(status)

    assert isinstance(purchase.insist(Verb.REFUND), Declined)

    purchase.assert_stands(status)


@pytest.mark.parametrize("status", [OPEN, PENDING])
def test_what_was_not_authorised_is_not_captured(purchase: Purchase, status: PaymentStatus) -> None:
    """A capture without an authorisation is declined, and nothing moves."""
    purchase.bring_to(status)

    assert isinstance(purchase.insist(Verb.CAPTURE), Declined)

    purchase.assert_stands(status)


def test_what_was_refunded_is_not_captured_again(purchase: Purchase) -> None:
    """A capture after the refund moves nothing, whatever its answer is."""
    purchase.bring_to(REFUNDED)

    purchase.insist(Verb.CAPTURE)

    purchase.assert_stands(REFUNDED)


@pytest.mark.parametrize("status", [AUTHORIZED, CAPTURED])
def test_a_second_authorisation_moves_nothing(purchase: Purchase, status: PaymentStatus) -> None:
    """One object has one authorisation, whatever a second call answers."""
    purchase.bring_to(status)

    purchase.insist(Verb.AUTHORIZE)

    purchase.assert_stands(status)


def test_an_expired_authorisation_is_not_captured(purchase: Purchase) -> None:
    """The provider has voided it: capture is declined with its own code, and the object is cancelled."""
    let_expire = need(purchase.subject.let_expire, "let_expire")
    purchase.bring_to(AUTHORIZED)
    let_expire(purchase.reference or "")

    assert_declined(purchase.insist(Verb.CAPTURE), AUTHORIZATION_EXPIRED)

    purchase.assert_stands(CANCELLED)
    assert purchase.insist(Verb.CANCEL) == Succeeded(purchase.reference or "", CANCELLED)


def test_a_capture_and_a_cancel_at_once_agree_on_the_first(subject: Subject) -> None:
    """The second call is declined: a cancelled object is never captured."""
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
