"""What a PaymentIntent says to each verb."""

from datetime import UTC, datetime
from typing import Any

import pytest

from models.money import Money
from models.states import PaymentStatus
from pipeline.gateways.gateway import ActionRequired, Declined, Succeeded, Unknown, Verb
from pipeline.gateways.stripe.answers import describe, read_intent, read_refund
from tests.factories.intents import (
    REFERENCE,
    SECRET,
    TOTAL,
    make_intent,
    make_refund,
    write_charge,
    write_refunds,
)

DECLINED = {"code": "card_declined", "decline_code": "insufficient_funds", "message": "Your card has too little."}
NOT_AUTHENTICATED = {"code": "payment_intent_authentication_failure", "message": "It has failed authentication."}

#: status -> verb -> the answer: a status of the engine, a code of a decline, or None for unknown.
TABLE: dict[str, dict[Verb, PaymentStatus | str | None]] = {
    "requires_payment_method": {
        Verb.OPEN: PaymentStatus.OPEN,
        Verb.AUTHORIZE: None,
        Verb.CAPTURE: "not_authorized",
        Verb.CANCEL: None,
        Verb.REFUND: "not_captured",
        Verb.RETRIEVE: PaymentStatus.OPEN,
    },
    "requires_confirmation": {
        Verb.OPEN: PaymentStatus.OPEN,
        Verb.AUTHORIZE: None,
        Verb.CAPTURE: "not_authorized",
        Verb.CANCEL: None,
        Verb.REFUND: "not_captured",
        Verb.RETRIEVE: PaymentStatus.OPEN,
    },
    "requires_capture": {
        Verb.OPEN: None,
        Verb.AUTHORIZE: PaymentStatus.AUTHORIZED,
        Verb.CAPTURE: None,
        Verb.CANCEL: None,
        Verb.REFUND: "not_captured",
        Verb.RETRIEVE: PaymentStatus.AUTHORIZED,
    },
    "succeeded": {
        Verb.OPEN: None,
        Verb.AUTHORIZE: PaymentStatus.CAPTURED,
        Verb.CAPTURE: PaymentStatus.CAPTURED,
        Verb.CANCEL: "already_captured",
        Verb.REFUND: None,
        Verb.RETRIEVE: PaymentStatus.CAPTURED,
    },
    "canceled": {
        Verb.OPEN: None,
        Verb.AUTHORIZE: "payment_cancelled",
        Verb.CAPTURE: "payment_cancelled",
        Verb.CANCEL: PaymentStatus.CANCELLED,
        Verb.REFUND: "not_captured",
        Verb.RETRIEVE: PaymentStatus.CANCELLED,
    },
    "processing": dict.fromkeys(Verb),
    "of_another_version": dict.fromkeys(Verb),
}


@pytest.mark.parametrize(("status", "verb"), [(status, verb) for status, verbs in TABLE.items() for verb in verbs])
def test_what_an_intent_says_to_a_verb(status: str, verb: Verb) -> None:
    expected = TABLE[status][verb]
    match read_intent(verb, make_intent(status), TOTAL):
        case Succeeded(reference, seen):
            assert (reference, seen) == (REFERENCE, expected)
        case Declined(code):
            assert code == expected
        case other:
            assert isinstance(other, Unknown)
            assert expected is None
            assert status in other.error


@pytest.mark.parametrize("verb", [Verb.AUTHORIZE, Verb.RETRIEVE])
@pytest.mark.parametrize(
    ("next_action", "action"),
    [
        (
            {
                "type": "redirect_to_url",
                "redirect_to_url": {"url": "https://bank.example/3ds", "return_url": "https://s"},
            },
            {"type": "redirect", "url": "https://bank.example/3ds"},
        ),
        ({"type": "use_stripe_sdk", "use_stripe_sdk": {}}, {"type": "client_secret", "client_secret": SECRET}),
        ({"type": "of_another_version"}, {"type": "client_secret", "client_secret": SECRET}),
    ],
)
def test_the_storefront_gets_the_buyers_action(verb: Verb, next_action: dict[str, Any], action: dict[str, str]) -> None:
    # No window: Stripe names none.
    intent = make_intent("requires_action", next_action=next_action)
    assert read_intent(verb, intent, TOTAL) == ActionRequired(REFERENCE, action, None)


@pytest.mark.parametrize(("verb", "code"), [(Verb.CAPTURE, "not_authorized"), (Verb.REFUND, "not_captured")])
def test_money_cannot_move_while_the_buyer_is_asked(verb: Verb, code: str) -> None:
    answer = read_intent(verb, make_intent("requires_action", next_action={"type": "use_stripe_sdk"}), TOTAL)
    assert isinstance(answer, Declined)
    assert answer.code == code


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (DECLINED, Declined("insufficient_funds", "Your card has too little.")),
        (NOT_AUTHENTICATED, Declined("payment_intent_authentication_failure", "It has failed authentication.")),
        ({"code": "expired_card"}, Declined("expired_card", "")),
        ({"type": "card_error"}, Declined("payment_failed", "")),
    ],
    ids=["declined", "authentication", "code_only", "no_code"],
)
def test_a_confirmation_that_comes_back_without_a_payment_method_is_a_decline(
    error: dict[str, Any], answer: Declined
) -> None:
    assert (
        read_intent(Verb.AUTHORIZE, make_intent("requires_payment_method", last_payment_error=error), TOTAL) == answer
    )


@pytest.mark.parametrize(
    ("error", "three_d_secure", "code"),
    [
        (NOT_AUTHENTICATED, None, "payment_intent_authentication_failure"),
        (DECLINED, {"result": "authenticated"}, "insufficient_funds"),
        (DECLINED, None, None),
    ],
    ids=["refused_by_the_buyer", "declined_after_the_challenge", "declined_at_once"],
)
def test_a_retrieval_shows_a_decline_only_after_the_buyer_was_asked(
    error: dict[str, Any], three_d_secure: dict[str, str] | None, code: str | None
) -> None:
    details = {"card": {"three_d_secure": three_d_secure}}
    intent = make_intent(
        "requires_payment_method", last_payment_error=error, latest_charge=write_charge(payment_method_details=details)
    )
    answer = read_intent(Verb.RETRIEVE, intent, TOTAL)
    if code is None:
        assert answer == Succeeded(REFERENCE, PaymentStatus.OPEN)
    else:
        assert isinstance(answer, Declined)
        assert answer.code == code


def test_an_authorisation_says_when_it_runs_out() -> None:
    charge = write_charge(payment_method_details={"type": "card", "card": {"capture_before": 1_700_604_800}})
    answer = read_intent(Verb.AUTHORIZE, make_intent("requires_capture", latest_charge=charge), TOTAL)
    until = datetime(2023, 11, 21, 22, 13, 20, tzinfo=UTC)
    assert answer == Succeeded(REFERENCE, PaymentStatus.AUTHORIZED, until)


@pytest.mark.parametrize("charge", ["ch_1", None, write_charge(), write_charge(payment_method_details=None)])
def test_an_authorisation_that_does_not_say_so_is_one_too(charge: Any) -> None:
    answer = read_intent(Verb.AUTHORIZE, make_intent("requires_capture", latest_charge=charge), TOTAL)
    assert answer == Succeeded(REFERENCE, PaymentStatus.AUTHORIZED, None)


@pytest.mark.parametrize("reason", ["abandoned", "requested_by_customer", "automatic", None])
def test_a_cancelled_intent_is_not_captured(reason: str | None) -> None:
    answer = read_intent(Verb.CAPTURE, make_intent("canceled", cancellation_reason=reason, latest_charge="ch_1"), TOTAL)
    assert isinstance(answer, Declined)
    assert answer.code == "payment_cancelled"


def test_an_expired_authorisation_is_distinguished_from_a_cancelled_one() -> None:
    intent = make_intent("canceled", cancellation_reason="expired", latest_charge="ch_1")
    answers = {verb: read_intent(verb, intent, TOTAL) for verb in (Verb.CAPTURE, Verb.AUTHORIZE, Verb.CANCEL)}
    assert answers == {
        Verb.CAPTURE: Declined("authorization_expired"),
        Verb.AUTHORIZE: Declined("payment_cancelled"),
        Verb.CANCEL: Succeeded(REFERENCE, PaymentStatus.CANCELLED),
    }


@pytest.mark.parametrize("verb", [Verb.CAPTURE, Verb.RETRIEVE, Verb.AUTHORIZE])
def test_another_amount_than_the_expected_is_no_success(verb: Verb) -> None:
    answer = read_intent(verb, make_intent("succeeded", amount_received=900), TOTAL)
    assert answer == Unknown("900 eur were captured, in Stripe's unit, and not 10.00 EUR")


def test_amounts_are_compared_in_stripes_unit() -> None:
    intent = make_intent("succeeded", amount=1000, amount_received=1000, currency="isk")
    assert read_intent(Verb.CAPTURE, intent, Money(10, "ISK")) == Succeeded(REFERENCE, PaymentStatus.CAPTURED)
    assert isinstance(read_intent(Verb.CAPTURE, intent, Money(1000, "ISK")), Unknown)


@pytest.mark.parametrize(
    ("refunds", "amount_refunded", "status"),
    [
        (write_refunds(), 0, PaymentStatus.CAPTURED),
        (write_refunds((1000, "succeeded")), 1000, PaymentStatus.REFUNDED),
        (write_refunds((1000, "pending")), 1000, PaymentStatus.REFUNDED),
        (write_refunds((1000, "failed")), 1000, PaymentStatus.CAPTURED),
        (write_refunds((1000, "canceled")), 0, PaymentStatus.CAPTURED),
        (write_refunds((1000, "failed"), (1000, "pending")), 1000, PaymentStatus.REFUNDED),
        (write_refunds((400, "succeeded"), (600, "succeeded")), 1000, PaymentStatus.REFUNDED),
        (write_refunds((400, "succeeded"), (600, "failed")), 400, PaymentStatus.CAPTURED),
        (write_refunds((1, "succeeded"), has_more=True), 1000, PaymentStatus.REFUNDED),
        (None, 1000, PaymentStatus.CAPTURED),
    ],
    ids=[
        "none",
        "given",
        "pending",
        "failed",
        "cancelled",
        "failed_then_again",
        "in_parts",
        "in_parts_of_which_one_failed",
        "many_parts",
        "not_sent_along",
    ],
)
def test_a_refund_counts_unless_it_failed(refunds: Any, amount_refunded: int, status: PaymentStatus) -> None:
    intent = make_intent("succeeded", latest_charge=write_charge(refunds=refunds, amount_refunded=amount_refunded))
    assert describe(intent) == status
    assert read_intent(Verb.RETRIEVE, intent, TOTAL) == Succeeded(REFERENCE, status)


def test_a_refunded_intent_is_neither_captured_nor_cancelled() -> None:
    intent = make_intent("succeeded", latest_charge=write_charge(refunds=write_refunds((1000, "succeeded"))))
    capture, cancel = read_intent(Verb.CAPTURE, intent, TOTAL), read_intent(Verb.CANCEL, intent, TOTAL)
    assert (capture, cancel) == (Declined("already_refunded"), Declined("already_captured"))


@pytest.mark.parametrize("status", ["pending", "requires_action", "succeeded"])
def test_an_accepted_refund_counts_as_done(status: str) -> None:
    assert read_refund(make_refund(status), REFERENCE) == Succeeded(REFERENCE, PaymentStatus.REFUNDED)


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_refund_that_failed_is_declined(status: str) -> None:
    answer = read_refund(make_refund(status, failure_reason="expired_or_canceled_card"), REFERENCE)
    assert answer == Declined("refund_failed", "expired_or_canceled_card")
