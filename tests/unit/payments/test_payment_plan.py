"""What comes next for a payment, decided on our books alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from pydantic import SecretStr

from models.money import Money
from models.states import CheckoutState, OperationKind, OperationStatus, PaymentStatus
from pipeline.checkouts.batch import Done, LockedCheckout, Rejected, Retry, Review, Wait
from pipeline.checkouts.expected import Expected
from pipeline.errors import Code
from pipeline.gateways.gateway import ALREADY_CAPTURED, ActionRequired, Verb
from pipeline.payments.operation import MISCONFIGURED, REFUND_RETURNED, Operation
from pipeline.payments.payment import Intent, PaymentState
from pipeline.payments.undo import plan_undo
from pipeline.phases.payment_authorization import plan as plan_authorization
from pipeline.phases.payment_capture import plan as plan_capture
from pipeline.settings import Settings

K, S, P = OperationKind, OperationStatus, PaymentStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = Settings(_env_file=None, database_url=SecretStr("postgresql://"), redis_url=SecretStr("redis://"))

MEMBER = LockedCheckout(
    id=UUID(int=1),
    cart_id=UUID(int=2),
    owner="shop-1",
    reference=None,
    currency="EUR",
    state=CheckoutState.RUNNING,
    phase=3,
    fence=0,
    straight_through=True,
    payment_given=True,
    expected=Expected(),
    expires_at=NOW + timedelta(minutes=15),
    pivot_at=None,
    attempts=0,
    ending=None,
    now=NOW,
)
STARTED = replace(MEMBER, straight_through=False)
TURNED = replace(MEMBER, state=CheckoutState.UNWINDING, fence=1)

OPENED = Operation(K.OPEN, 1, S.SUCCEEDED, fence=0, attempts=0)


def operation(
    kind: OperationKind,
    status: OperationStatus,
    *,
    n: int = 1,
    attempts: int = 0,
    fence: int = 0,
    code: str | None = None,
    age_seconds: float = 3600,
    claimed_seconds: float | None = None,
) -> Operation:
    return Operation(
        kind,
        n,
        status,
        fence,
        attempts,
        code=code,
        leased_until=None if claimed_seconds is None else NOW + timedelta(seconds=claimed_seconds),
        created_at=NOW - timedelta(seconds=age_seconds),
        updated_at=NOW - timedelta(seconds=age_seconds),
    )


def books(status: PaymentStatus, *operations: Operation, tries: int = 1, answered: bool = False) -> PaymentState:
    reference = None if status is P.NEW else "ref"
    amount = Money(500, "EUR")
    return PaymentState(
        MEMBER.id, "sandbox", "tok", tries, reference, status, None, amount, operations, answered, amount.minor
    )


def test_an_authorisation_opens_then_authorises() -> None:
    assert plan_authorization(MEMBER, books(P.NEW), SETTINGS) == Intent(K.OPEN, 1, Verb.OPEN)
    assert plan_authorization(MEMBER, books(P.OPEN, OPENED), SETTINGS) == Intent(K.AUTHORIZE, 1, Verb.AUTHORIZE)
    assert plan_authorization(MEMBER, books(P.OPEN, OPENED, tries=2), SETTINGS) == Intent(
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
    third = books(P.OPEN, OPENED, replace(declined, n=3), tries=3)
    no = Rejected(Code.PAYMENT_DECLINED, {"reason": "card_declined", "try": 1})

    assert plan_authorization(STARTED, first, SETTINGS) == Wait(
        CheckoutState.AWAITING_PAYMENT, "payment.declined", {"reason": "card_declined", "try": 1}
    )
    assert plan_authorization(MEMBER, first, SETTINGS) == no
    assert plan_authorization(replace(STARTED, expires_at=NOW), first, SETTINGS) == no
    assert plan_authorization(STARTED, third, SETTINGS) == replace(no, detail={"reason": "card_declined", "try": 3})


def test_a_call_that_is_out_or_backing_off_is_waited_for() -> None:
    claimed = operation(K.AUTHORIZE, S.INTENDED, claimed_seconds=3)
    resting = operation(K.AUTHORIZE, S.UNKNOWN, attempts=3, age_seconds=1, code="timeout")
    rested = operation(K.AUTHORIZE, S.UNKNOWN, attempts=3, age_seconds=4.5)

    assert plan_authorization(MEMBER, books(P.OPEN, claimed), SETTINGS) == Retry(3.01, "authorize is being called")
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
    assert plan.hold_seconds == held_seconds


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
    claimed = operation(K.OPEN, S.INTENDED, claimed_seconds=2)

    assert plan_undo(TURNED, books(P.NEW, unknown), SETTINGS) == Intent(K.OPEN, 1, Verb.OPEN)
    assert plan_undo(TURNED, books(P.NEW, claimed), SETTINGS) == Retry(2.01, "open is being called")


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
