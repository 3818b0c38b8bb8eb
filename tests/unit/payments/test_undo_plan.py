"""What comes next for a payment on the way back."""

from dataclasses import replace
from datetime import timedelta

import pytest

from models.states import CheckoutState, OperationKind, PaymentStatus
from pipeline.checkouts import Done, Retry, Review
from pipeline.errors import Code
from pipeline.gateways.gateway import ALREADY_CAPTURED, Verb
from pipeline.payments.operation import REFUND_RETURNED
from pipeline.payments.payment import Intent
from pipeline.payments.undo import plan_undo
from pipeline.phases.payment_capture import plan as plan_capture
from tests.unit.payments.planned import MEMBER, NOW, OPENED, SETTINGS, K, P, S, books, operation

TURNED = replace(MEMBER, state=CheckoutState.UNWINDING, fence=1)


def test_what_never_began_needs_no_undo() -> None:
    declined = operation(K.OPEN, S.DECLINED)

    assert plan_undo(TURNED, None, SETTINGS) == Done()
    assert plan_undo(TURNED, books(P.NEW), SETTINGS) == Done()
    assert plan_undo(TURNED, books(P.NEW, declined), SETTINGS) == Done()
    assert plan_undo(TURNED, books(P.CANCELLED, OPENED), SETTINGS) == Done()
    assert plan_undo(TURNED, books(P.REFUNDED, OPENED), SETTINGS) == Done()


@pytest.mark.parametrize("status", [P.OPEN, P.ACTION_REQUIRED, P.AUTHORIZED])
def test_what_was_not_taken_is_cancelled(status: PaymentStatus) -> None:
    assert plan_undo(TURNED, books(status, OPENED), SETTINGS) == Intent(K.VOID, 1, Verb.CANCEL)


def test_what_was_taken_is_refunded() -> None:
    taken = operation(K.VOID, S.DECLINED, code=ALREADY_CAPTURED)

    assert plan_undo(TURNED, books(P.CAPTURED, OPENED), SETTINGS) == Intent(K.REFUND, 1, Verb.REFUND)
    assert plan_undo(TURNED, books(P.AUTHORIZED, OPENED, taken), SETTINGS) == Intent(K.REFUND, 1, Verb.REFUND)


def test_without_a_reference_the_same_open_is_repeated() -> None:
    unknown = operation(K.OPEN, S.UNKNOWN, attempts=SETTINGS.max_attempts)
    leased = operation(K.OPEN, S.INTENDED, leased_seconds=2)

    assert plan_undo(TURNED, books(P.NEW, unknown), SETTINGS) == Intent(K.OPEN, 1, Verb.OPEN)
    assert plan_undo(TURNED, books(P.NEW, leased), SETTINGS) == Retry(2.01, "open is being called")


def test_an_open_that_stays_unknown_is_let_be() -> None:
    unknown = operation(K.OPEN, S.UNKNOWN, attempts=SETTINGS.max_undo_attempts)
    old = operation(K.OPEN, S.UNKNOWN, age_seconds=SETTINGS.idempotency_key_max_age_seconds + 1)

    assert plan_undo(TURNED, books(P.NEW, unknown), SETTINGS) == Done()
    assert plan_undo(TURNED, books(P.NEW, old), SETTINGS) == Done()


@pytest.mark.parametrize(
    ("kind", "status", "verb", "code"),
    [
        (K.VOID, P.AUTHORIZED, Verb.CANCEL, Code.VOID_FAILED),
        (K.REFUND, P.CAPTURED, Verb.REFUND, Code.REFUND_FAILED),
    ],
)
def test_a_refused_undo_is_for_a_person_whose_retry_is_a_new_attempt(
    kind: OperationKind, status: PaymentStatus, verb: Verb, code: Code
) -> None:
    declined = operation(kind, S.DECLINED, code="no", fence=1)
    again = replace(TURNED, fence=2)

    assert plan_undo(TURNED, books(status, OPENED, declined), SETTINGS) == Review(
        code, {"amount": "5.00 EUR", "error": "no"}
    )
    assert plan_undo(again, books(status, OPENED, declined), SETTINGS) == Intent(kind, 2, verb)


def test_an_undo_is_tried_under_new_keys_for_a_day_and_then_for_a_person() -> None:
    unknown = operation(K.REFUND, S.UNKNOWN, code="timeout", fence=1, attempts=SETTINGS.max_attempts)
    old = replace(unknown, created_at=NOW - timedelta(days=1))
    again = replace(TURNED, fence=2)

    assert plan_undo(TURNED, books(P.CAPTURED, OPENED, unknown), SETTINGS) == Intent(K.REFUND, 2, Verb.REFUND)
    assert plan_undo(TURNED, books(P.CAPTURED, OPENED, old), SETTINGS) == Review(
        Code.PAYMENT_UNRESOLVED, {"kind": K.REFUND, "amount": "5.00 EUR"}
    )
    assert plan_undo(again, books(P.CAPTURED, OPENED, old), SETTINGS) == Intent(K.REFUND, 2, Verb.REFUND)


def test_what_was_let_go_and_is_live_again_is_let_go_again() -> None:
    void = operation(K.VOID, S.SUCCEEDED, fence=1)
    returned = operation(K.REFUND, S.DECLINED, code=REFUND_RETURNED, fence=1)

    assert plan_undo(TURNED, books(P.AUTHORIZED, OPENED, void), SETTINGS) == Intent(K.VOID, 2, Verb.CANCEL)
    assert plan_undo(TURNED, books(P.CAPTURED, OPENED, returned), SETTINGS) == Review(
        Code.REFUND_FAILED, {"amount": "5.00 EUR", "error": REFUND_RETURNED}
    )


def test_another_amount_than_the_order_is_over_is_never_taken() -> None:
    with pytest.raises(ValueError, match="the order is over 499"):
        plan_capture(MEMBER, replace(books(P.AUTHORIZED), order_minor=499), SETTINGS)
