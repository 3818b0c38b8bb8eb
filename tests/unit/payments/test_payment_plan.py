"""What comes next for a payment, decided on our books alone."""

from dataclasses import replace
from datetime import timedelta

import pytest

from models.states import CheckoutState, OperationKind, PaymentStatus
from pipeline.checkouts.batch import Done, Rejected, Retry, Review, Wait
from pipeline.errors import Code
from pipeline.gateways.gateway import ActionRequired, Verb
from pipeline.payments.operation import MISCONFIGURED
from pipeline.payments.payment import Intent
from pipeline.phases.payment_authorization import plan as plan_authorization
from pipeline.phases.payment_capture import plan as plan_capture
from tests.unit.payments.planned import MEMBER, NOW, OPENED, SETTINGS, K, P, S, books, operation

STARTED = replace(MEMBER, straight_through=False)


def test_an_authorisation_opens_then_authorises() -> None:
    assert plan_authorization(MEMBER, books(P.NEW), SETTINGS) == Intent(K.OPEN, 1, Verb.OPEN)
    assert plan_authorization(MEMBER, books(P.OPEN, OPENED), SETTINGS) == Intent(K.AUTHORIZE, 1, Verb.AUTHORIZE)
    assert plan_authorization(MEMBER, books(P.OPEN, OPENED, attempts=2), SETTINGS) == Intent(
        K.AUTHORIZE, 2, Verb.AUTHORIZE
    )
    assert plan_authorization(MEMBER, books(P.AUTHORIZED, OPENED), SETTINGS) == Done()


@pytest.mark.parametrize("status", [P.CANCELLED, P.REFUNDED])
def test_an_object_that_ended_at_the_provider_is_no_payment(status: PaymentStatus) -> None:
    answer = plan_authorization(MEMBER, books(status, OPENED), SETTINGS)

    assert answer == Rejected(Code.PAYMENT_DECLINED, {"reason": "cancelled at the provider"})


def test_a_decline_lets_a_started_checkout_try_again_while_tries_and_time_last() -> None:
    declined = operation(K.AUTHORIZE, S.DECLINED, code="card_declined")
    first = books(P.OPEN, OPENED, declined)
    third = books(P.OPEN, OPENED, replace(declined, n=3), attempts=3)
    no = Rejected(Code.PAYMENT_DECLINED, {"reason": "card_declined", "attempt": 1})

    assert plan_authorization(STARTED, first, SETTINGS) == Wait(
        CheckoutState.AWAITING_PAYMENT, "payment.declined", {"reason": "card_declined", "attempt": 1}
    )
    assert plan_authorization(MEMBER, first, SETTINGS) == no
    assert plan_authorization(replace(STARTED, expires_at=NOW), first, SETTINGS) == no
    assert plan_authorization(STARTED, third, SETTINGS) == replace(no, detail={"reason": "card_declined", "attempt": 3})


def test_a_call_that_is_out_or_backing_off_is_waited_for() -> None:
    leased = operation(K.AUTHORIZE, S.INTENDED, leased_seconds=3)
    resting = operation(K.AUTHORIZE, S.UNKNOWN, attempts=3, age_seconds=1, code="timeout")
    rested = operation(K.AUTHORIZE, S.UNKNOWN, attempts=3, age_seconds=4.5)

    assert plan_authorization(MEMBER, books(P.OPEN, leased), SETTINGS) == Retry(3.01, "authorize is being called")
    assert plan_authorization(MEMBER, books(P.OPEN, resting), SETTINGS) == Retry(3.0, "authorize is unknown: timeout")
    assert plan_authorization(MEMBER, books(P.OPEN, rested), SETTINGS) == Intent(K.AUTHORIZE, 1, Verb.AUTHORIZE)


@pytest.mark.parametrize("kind", [K.OPEN, K.AUTHORIZE])
def test_before_the_pivot_too_many_unknowns_turn_back(kind: OperationKind) -> None:
    unknown = operation(kind, S.UNKNOWN, attempts=SETTINGS.max_attempts)
    status = P.NEW if kind is K.OPEN else P.OPEN

    assert plan_authorization(MEMBER, books(status, unknown), SETTINGS) == Rejected(
        Code.PAYMENT_UNRESOLVED, {"kind": kind}
    )


def test_a_buyer_who_must_act_is_waited_for_once_and_looked_after_when_called_on() -> None:
    pending = operation(K.AUTHORIZE, S.ACTION_REQUIRED)

    answered = plan_authorization(MEMBER, books(P.ACTION_REQUIRED, pending, answered=True), SETTINGS)
    called_on = plan_authorization(MEMBER, books(P.ACTION_REQUIRED, pending), SETTINGS)

    assert answered == Wait(CheckoutState.ACTION_REQUIRED, "checkout.action_required", {"action": None}, 0)
    assert called_on == Intent(K.AUTHORIZE, 1, Verb.RETRIEVE)


@pytest.mark.parametrize(("window_seconds", "held_seconds"), [(None, 900.0), (60.0, 60.0)])
def test_the_hold_follows_the_providers_window_once(window_seconds: float | None, held_seconds: float) -> None:
    asked = ActionRequired("ref", {"type": "redirect"}, window_seconds)
    pending = operation(K.AUTHORIZE, S.ACTION_REQUIRED)
    known = replace(books(P.ACTION_REQUIRED, pending, answered=True), asked=asked)

    plan = plan_authorization(MEMBER, known, SETTINGS)

    assert isinstance(plan, Wait)
    assert plan.extend_seconds == held_seconds


def test_a_capture_is_finished_forward_however_often_it_is_unknown() -> None:
    unknown = operation(K.CAPTURE, S.UNKNOWN, attempts=SETTINGS.max_attempts - 1)
    worn_out = replace(unknown, attempts=SETTINGS.max_attempts)

    assert plan_capture(MEMBER, books(P.AUTHORIZED), SETTINGS) == Intent(K.CAPTURE, 1, Verb.CAPTURE)
    assert plan_capture(MEMBER, books(P.AUTHORIZED, unknown), SETTINGS) == Intent(K.CAPTURE, 1, Verb.CAPTURE)
    assert plan_capture(MEMBER, books(P.AUTHORIZED, worn_out), SETTINGS) == Intent(K.CAPTURE, 2, Verb.CAPTURE)
    assert plan_capture(MEMBER, books(P.CAPTURED, worn_out), SETTINGS) == Done()


def test_the_back_off_goes_on_over_a_new_key() -> None:
    first = operation(K.CAPTURE, S.UNKNOWN, attempts=5)
    second = operation(K.CAPTURE, S.UNKNOWN, n=2, attempts=1, age_seconds=1, code="timeout")

    assert plan_capture(MEMBER, books(P.AUTHORIZED, first, second), SETTINGS) == Retry(
        31.0, "capture is unknown: timeout"
    )


def test_an_authorisation_about_to_run_out_is_not_relied_on() -> None:
    margin = timedelta(seconds=SETTINGS.authorization_margin_seconds)
    good = replace(books(P.AUTHORIZED), authorized_until=NOW + margin + timedelta(seconds=1))
    short = replace(good, authorized_until=NOW + margin)
    expired = operation(K.CAPTURE, S.DECLINED, code="authorization_expired")
    no = Rejected(Code.AUTHORIZATION_EXPIRED)

    assert plan_capture(MEMBER, good, SETTINGS) == Intent(K.CAPTURE, 1, Verb.CAPTURE)
    assert plan_capture(MEMBER, short, SETTINGS) == no
    assert plan_capture(MEMBER, books(P.AUTHORIZED, expired), SETTINGS) == no
    assert plan_capture(MEMBER, books(P.CANCELLED, expired), SETTINGS) == no
    # Once the call is out, only the provider says whether it was in time.
    out = operation(K.CAPTURE, S.UNKNOWN, attempts=1)
    assert plan_capture(MEMBER, replace(short, operations=(out,)), SETTINGS) == Intent(K.CAPTURE, 1, Verb.CAPTURE)


def test_a_capture_turns_back_on_a_definite_no_alone() -> None:
    declined = operation(K.CAPTURE, S.DECLINED, code="expired_card")

    assert plan_capture(MEMBER, books(P.AUTHORIZED, declined), SETTINGS) == Rejected(
        Code.CAPTURE_DECLINED, {"reason": "expired_card"}
    )
    assert plan_capture(MEMBER, books(P.CANCELLED), SETTINGS) == Rejected(
        Code.CAPTURE_DECLINED, {"reason": "the payment is cancelled"}
    )


def test_a_capture_unknown_for_a_day_is_for_a_person_whose_retry_is_a_new_key() -> None:
    old = operation(K.CAPTURE, S.UNKNOWN, age_seconds=SETTINGS.idempotency_key_max_age_seconds + 1)
    newer = operation(K.CAPTURE, S.UNKNOWN, n=2)

    assert plan_capture(MEMBER, books(P.AUTHORIZED, old), SETTINGS) == Review(
        Code.PAYMENT_UNRESOLVED, {"kind": K.CAPTURE, "amount": "5.00 EUR"}
    )
    assert isinstance(plan_capture(MEMBER, books(P.AUTHORIZED, old, newer), SETTINGS), Review)
    assert plan_capture(replace(MEMBER, fence=1), books(P.AUTHORIZED, old), SETTINGS) == Intent(
        K.CAPTURE, 2, Verb.CAPTURE
    )


@pytest.mark.parametrize("kind", [K.OPEN, K.AUTHORIZE])
def test_refused_access_turns_back_at_once_before_the_pivot(kind: OperationKind) -> None:
    refused = replace(operation(kind, S.DECLINED, code=MISCONFIGURED), last_error="no such key")
    status = P.NEW if kind is K.OPEN else P.OPEN

    assert plan_authorization(STARTED, books(status, refused), SETTINGS) == Rejected(
        Code.GATEWAY_MISCONFIGURED, {"reason": "no such key"}
    )


def test_refused_access_past_the_pivot_is_tried_again_and_then_for_a_person() -> None:
    refused = replace(operation(K.CAPTURE, S.UNKNOWN, code=MISCONFIGURED, attempts=1), last_error="no such key")
    often = replace(refused, attempts=SETTINGS.max_attempts)

    assert plan_capture(MEMBER, books(P.AUTHORIZED, refused), SETTINGS) == Intent(K.CAPTURE, 1, Verb.CAPTURE)
    assert plan_capture(MEMBER, books(P.AUTHORIZED, often), SETTINGS) == Review(
        Code.GATEWAY_MISCONFIGURED, {"reason": "no such key", "amount": "5.00 EUR"}
    )
    assert plan_capture(replace(MEMBER, fence=1), books(P.AUTHORIZED, often), SETTINGS) == Intent(
        K.CAPTURE, 2, Verb.CAPTURE
    )
