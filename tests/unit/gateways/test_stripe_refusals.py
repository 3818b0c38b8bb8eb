"""What an error of the SDK says: each of its kinds, and that no text passes on what it quotes."""

import socket
import ssl
from typing import Any

import pytest
import requests
import stripe
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError, ProtocolError

from models.states import PaymentStatus
from pipeline.gateways.charges import CHARGE_DISPUTED, REFUND_EXCEEDS_CHARGE
from pipeline.gateways.gateway import Answer, Declined, Misconfigured, Succeeded, Transient, Unknown, Verb
from pipeline.gateways.stripe.refusals import explain, explain_look_up, explain_refund
from tests.factories.intents import REFERENCE, TOTAL, make_error, write_intent

POOL = HTTPConnectionPool("api.stripe.com")
STATE = "payment_intent_unexpected_state"


def read(error: Exception, verb: Verb = Verb.AUTHORIZE) -> Answer:
    return explain(error, verb, REFERENCE, TOTAL)


def lose(*causes: BaseException) -> stripe.APIConnectionError:
    """Return the error of a lost connection, caused by these, the nearest first."""
    error = stripe.APIConnectionError("Lost.")  # type: ignore[no-untyped-call] # the SDK annotates no parameter of it
    effect: BaseException = error
    for cause in causes:
        effect.__cause__ = effect = cause
    return error


@pytest.mark.parametrize(
    ("status", "details", "answer"),
    [
        (
            402,
            {"type": "card_error", "code": "card_declined", "decline_code": "lost_card", "message": "Declined."},
            Declined("lost_card", "Declined."),
        ),
        (
            402,
            {"type": "card_error", "code": "expired_card", "message": "Expired."},
            Declined("expired_card", "Expired."),
        ),
        (402, {"type": "card_error", "message": "Declined."}, Declined("card_declined", "Declined.")),
        (429, {"code": "rate_limit"}, Transient("rate_limit")),
        (429, {"code": "lock_timeout"}, Transient("lock_timeout")),
        (400, {"code": "rate_limit"}, Transient("rate_limit")),
        (409, {"code": "lock_timeout"}, Transient("lock_timeout")),
        (409, {"type": "idempotency_error", "code": "idempotency_key_in_use"}, Unknown("key_in_use")),
        (400, {"type": "idempotency_error"}, Unknown("key_reused")),
        (401, {"message": "Invalid API Key provided: sk_test_1"}, Misconfigured("access_refused (401)")),
        (403, {}, Misconfigured("access_refused (403)")),
        (404, {"code": "resource_missing", "param": "intent"}, Misconfigured("payment_unknown")),
        (404, {}, Misconfigured("payment_unknown")),
        (400, {"code": "resource_missing", "param": "payment_intent"}, Misconfigured("payment_unknown")),
        (400, {"code": "resource_missing", "param": "payment_method"}, Declined("payment_method_unknown")),
        (400, {"param": "payment_method"}, Declined("payment_method_unknown")),
        (400, {"code": "payment_method_unactivated"}, Declined("payment_method_unactivated")),
        (400, {"code": "resource_missing", "param": "confirmation_token"}, Declined("payment_method_unknown")),
        (400, {"param": "confirmation_token"}, Declined("payment_method_unknown")),
        (400, {"code": "confirmation_token_expired"}, Declined("confirmation_token_expired")),
        (400, {"code": "amount_too_small", "param": "amount"}, Declined("amount_too_small")),
        (400, {"code": "amount_too_large", "param": "amount"}, Declined("amount_too_large")),
        (
            400,
            {"code": "payment_intent_authentication_failure"},
            Declined("payment_intent_authentication_failure"),
        ),
        (400, {"code": "parameter_unknown", "param": "foo"}, Misconfigured("parameter_unknown (foo)")),
        (400, {}, Misconfigured("request_refused (no parameter named)")),
        (400, {"code": "charge_expired_for_capture"}, Declined("authorization_expired")),
        (400, {"code": "capture_charge_authorization_expired"}, Declined("authorization_expired")),
        (500, {"type": "api_error"}, Unknown("server_error (500)")),
        (503, {"type": "api_error"}, Unknown("server_error (503)")),
        (424, {"type": "api_error"}, Unknown("malformed")),
    ],
)
def test_each_kind_of_error_has_its_answer(status: int, details: dict[str, Any], answer: Answer) -> None:
    assert read(make_error(status, **details)) == answer


@pytest.mark.parametrize(
    ("verb", "status", "answer"),
    [
        (Verb.CANCEL, "canceled", Succeeded(REFERENCE, PaymentStatus.CANCELLED)),
        (Verb.CANCEL, "succeeded", Declined("already_captured")),
        (Verb.CAPTURE, "succeeded", Succeeded(REFERENCE, PaymentStatus.CAPTURED)),
        (Verb.CAPTURE, "canceled", Declined("payment_cancelled")),
        (Verb.CAPTURE, "requires_payment_method", Declined("not_authorized")),
        (Verb.AUTHORIZE, "canceled", Declined("payment_cancelled")),
        (Verb.AUTHORIZE, "requires_capture", Succeeded(REFERENCE, PaymentStatus.AUTHORIZED)),
        (Verb.AUTHORIZE, "succeeded", Succeeded(REFERENCE, PaymentStatus.CAPTURED)),
        (Verb.REFUND, "requires_capture", Declined("not_captured")),
        (Verb.CANCEL, "processing", Unknown("the intent is processing")),
    ],
)
def test_an_intent_in_another_state_answers_for_itself(verb: Verb, status: str, answer: Answer) -> None:
    error = make_error(400, code=STATE, payment_intent=write_intent(status))
    assert read(error, verb) == answer


def test_an_expired_intent_answers_for_itself() -> None:
    intent = write_intent("canceled", cancellation_reason="expired")
    assert read(make_error(400, code=STATE, payment_intent=intent), Verb.CAPTURE) == Declined("authorization_expired")


def test_an_intent_that_is_not_shown_stays_unknown() -> None:
    assert read(make_error(400, code=STATE), Verb.CANCEL) == Unknown(STATE)


def test_a_charge_that_was_captured_before_is_captured() -> None:
    error = make_error(400, code="charge_already_captured", payment_intent=write_intent("succeeded"))
    assert read(error, Verb.CAPTURE) == Succeeded(REFERENCE, PaymentStatus.CAPTURED)


@pytest.mark.parametrize(
    ("details", "answer"),
    [
        ({"code": "charge_already_refunded"}, Succeeded(REFERENCE, PaymentStatus.REFUNDED)),
        ({"code": "charge_disputed"}, Declined("charge_disputed")),
        ({"code": "insufficient_balance"}, Declined("insufficient_balance")),
        ({}, Declined("refund_refused")),
        ({"code": "resource_missing", "param": "payment_intent"}, Misconfigured("payment_unknown")),
    ],
)
def test_a_refund_that_is_refused_is_put_before_a_person_at_once(details: dict[str, Any], answer: Answer) -> None:
    assert read(make_error(400, **details), Verb.REFUND) == answer


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (lose(requests.ConnectTimeout()), Transient("unreachable")),
        (lose(requests.ConnectionError(), NewConnectionError(POOL, "refused")), Transient("unreachable")),  # type: ignore[arg-type]
        (
            lose(requests.ConnectionError(), NameResolutionError("api.stripe.com", POOL, socket.gaierror())),  # type: ignore[arg-type]
            Transient("unreachable"),
        ),
        (lose(requests.ReadTimeout()), Unknown("timeout")),
        (lose(requests.ConnectionError(), ProtocolError("Connection aborted.")), Unknown("connection_broken")),
        (lose(requests.exceptions.SSLError(), ssl.SSLError("broken")), Unknown("connection_broken")),
        (
            lose(requests.exceptions.SSLError(), ssl.SSLCertVerificationError("self-signed")),
            Misconfigured("certificate_refused"),
        ),
        (lose(), Unknown("connection_broken")),
    ],
    ids=[
        "connect_timeout",
        "refused",
        "no_such_name",
        "read_timeout",
        "dropped",
        "tls_broken",
        "certificate",
        "no_cause",
    ],
)
def test_only_a_connection_never_made_is_surely_nothing(error: Exception, answer: Answer) -> None:
    assert read(error) == answer


@pytest.mark.parametrize("error", [stripe.StripeError("?"), stripe.APIError("?"), ValueError("?")])
def test_an_error_of_unknown_kind_is_unknown(error: Exception) -> None:
    assert isinstance(read(error), Unknown)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500])
@pytest.mark.parametrize("verb", Verb)
def test_texts_that_quote_what_was_sent_are_not_passed_on(status: int, verb: Verb) -> None:
    text = "No such PaymentMethod: '4242424242424242' for sk_live_abc with pi_1_secret_x"
    for details in ({}, {"code": "resource_missing", "param": "payment_method"}, {"code": STATE}):
        answer = repr(read(make_error(status, message=text, **details), verb))
        assert not any(quoted in answer for quoted in ("4242", "sk_live", "secret"))


@pytest.mark.parametrize(
    ("status", "details", "answer"),
    [
        (400, {"param": "amount", "message": "Refund amount (9) is greater ..."}, Declined(REFUND_EXCEEDS_CHARGE)),
        (400, {"code": "charge_already_refunded"}, Declined(REFUND_EXCEEDS_CHARGE)),
        (400, {"code": "amount_too_large", "param": "amount"}, Declined(REFUND_EXCEEDS_CHARGE)),
        (400, {"code": "amount_too_small", "param": "amount"}, Declined("amount_too_small")),
        (400, {"code": "parameter_invalid_integer", "param": "amount"}, Declined("parameter_invalid_integer")),
        (400, {"code": "charge_disputed"}, Declined(CHARGE_DISPUTED)),
        (400, {"code": "refund_disputed_payment"}, Declined(CHARGE_DISPUTED)),
        (404, {"code": "resource_missing", "param": "payment_intent"}, Misconfigured("payment_unknown")),
        (400, {"type": "idempotency_error"}, Unknown("key_reused")),
        (401, {}, Misconfigured("access_refused (401)")),
        (429, {"code": "rate_limit"}, Transient("rate_limit")),
        (500, {}, Unknown("server_error (500)")),
    ],
)
def test_an_error_of_a_partial_refund(status: int, details: dict[str, Any], answer: Answer) -> None:
    assert explain_refund(make_error(status, **details), REFERENCE, TOTAL) == answer


@pytest.mark.parametrize(
    ("status", "details", "answer"),
    [
        (404, {"code": "resource_missing", "param": "intent"}, Misconfigured("payment_unknown")),
        (400, {"code": "charge_disputed"}, Unknown("not_shown")),
        (402, {"type": "card_error", "code": "card_declined"}, Unknown("not_shown")),
        (401, {}, Misconfigured("access_refused (401)")),
        (429, {"code": "rate_limit"}, Transient("rate_limit")),
        (500, {}, Unknown("server_error (500)")),
    ],
)
def test_an_error_of_a_look_up_says_nothing_of_a_refund(status: int, details: dict[str, Any], answer: Answer) -> None:
    assert explain_look_up(make_error(status, **details), REFERENCE, TOTAL) == answer
