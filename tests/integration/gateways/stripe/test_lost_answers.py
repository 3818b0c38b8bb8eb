"""Time-outs, repeats of the SDK's own, and what may be said after each."""

import socket
import time

import pytest
import stripe

from models.states import PaymentStatus
from pipeline.gateways.conformance.subject import Fault
from pipeline.gateways.gateway import Answer, Declined, Misconfigured, Succeeded, Transient, Unknown, Verb
from pipeline.gateways.stripe.gateway import StripeGateway
from tests.integration.gateways.stripe.front import Front
from tests.integration.gateways.stripe.local import Local
from tests.integration.gateways.stripe.purse import Purse, authorize_intent, make_call, open_intent
from tests.integration.gateways.stripe.setting import run_gateway

#: What the suite's machine may add.
SLACK_SECONDS = 1.5


@pytest.mark.parametrize("fault", [Fault.TIMEOUT_AFTER, Fault.ERROR_AFTER, Fault.BROKEN_AFTER])
def test_the_sdks_own_repeat_uses_the_engines_key_and_gets_the_answer(
    gateway: StripeGateway, front: Front, local: Local, purse: Purse, fault: Fault
) -> None:
    # Given
    reference = authorize_intent(gateway, purse)
    call = make_call(reference)
    # When the answer to the first request is lost
    with front.bewitch(fault, Verb.CAPTURE, times=1):
        answer = gateway.capture(call)
    # Then
    assert answer == Succeeded(reference, PaymentStatus.CAPTURED)
    assert [each.key for each in front.find(Verb.CAPTURE)] == [call.key, call.key]
    assert front.replays == 1
    assert local.read_intent(reference)["latest_charge"]["captured"] is True


def test_a_connection_that_broke_while_unused_costs_nothing(gateway: StripeGateway, front: Front, purse: Purse) -> None:
    reference = authorize_intent(gateway, purse)
    with front.bewitch(Fault.BROKEN_BEFORE, Verb.CAPTURE, times=1):
        assert gateway.capture(make_call(reference)) == Succeeded(reference, PaymentStatus.CAPTURED)


@pytest.mark.parametrize("seconds", [0.2, 0.6])
def test_reading_is_given_up_after_the_time_that_is_set(front: Front, seconds: float) -> None:
    with (
        run_gateway(front.url, gateway_timeout_seconds=seconds) as gateway,
        front.bewitch(Fault.TIMEOUT_AFTER, Verb.OPEN),
    ):
        started = time.monotonic()
        answer = gateway.open(make_call())
        duration = time.monotonic() - started
    assert answer == Unknown("timeout")
    # Two attempts and the pause between them, which the conformance suite shortens.
    assert 2 * seconds + stripe.HTTPClient.INITIAL_DELAY <= duration < gateway.call_seconds + SLACK_SECONDS
    assert len(front.find(Verb.OPEN)) == 2


def test_connecting_is_given_up_too_and_is_surely_nothing() -> None:
    # Given an address that takes connections and never accepts one: its queue is full
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        port = deaf.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.settimeout(0)
            each.connect_ex(("127.0.0.1", port))
        with run_gateway(f"http://127.0.0.1:{port}") as gateway:
            # When
            started = time.monotonic()
            answer = gateway.open(make_call())
            duration = time.monotonic() - started
        for each in waiting:
            each.close()
    # Then
    assert answer == Transient("unreachable")
    assert duration < gateway.call_seconds + SLACK_SECONDS


def test_where_no_server_listens_nothing_was_done() -> None:
    with run_gateway("http://127.0.0.1:1") as gateway:
        assert gateway.open(make_call()) == Transient("unreachable")


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (Fault.ERROR_BEFORE, Unknown("server_error (500)")),
        (Fault.BROKEN_BEFORE, Unknown("connection_broken")),
        (Fault.MALFORMED, Unknown("malformed")),
        (Fault.BUSY, Transient("rate_limit")),
        (Fault.ACCESS, Misconfigured("access_refused (401)")),
        (Fault.REFUSED, Transient("unreachable")),
        (Fault.STUCK, Unknown("server_error (500)")),
    ],
)
def test_each_thing_that_goes_wrong_has_its_answer(
    gateway: StripeGateway, front: Front, fault: Fault, answer: Answer
) -> None:
    reference = open_intent(gateway)
    with front.bewitch(fault, Verb.CANCEL):
        assert gateway.cancel(make_call(reference)) == answer


@pytest.mark.parametrize(
    ("second", "answer"),
    [
        (Fault.REFUSED, Unknown("unreachable, after an attempt without an answer")),
        (Fault.BUSY, Unknown("rate_limit, after an attempt without an answer")),
        (Fault.ACCESS, Unknown("access_refused (401), after an attempt without an answer")),
    ],
)
def test_a_refusal_after_an_attempt_without_an_answer_is_not_nothing(
    front: Front, local: Local, purse: Purse, second: Fault, answer: Answer
) -> None:
    # Given a capture that is done, whose answer is lost
    with run_gateway(front.url) as gateway:
        reference = authorize_intent(gateway, purse)
        # When the SDK's repeat is refused without a check of the key
        with front.bewitch_in_turn([Fault.BROKEN_AFTER, second], Verb.CAPTURE):
            repeat = gateway.capture(make_call(reference))
    # Then
    assert local.read_intent(reference)["latest_charge"]["captured"] is True
    assert repeat == answer


def test_the_doubt_of_one_call_does_not_reach_the_next(gateway: StripeGateway, front: Front) -> None:
    reference = open_intent(gateway)
    with front.bewitch(Fault.ERROR_BEFORE, Verb.CANCEL):
        gateway.cancel(make_call(reference))
    with front.bewitch(Fault.BUSY, Verb.CANCEL):
        assert gateway.cancel(make_call(reference)) == Transient("rate_limit")


def test_a_key_that_is_still_at_work_is_unknown(gateway: StripeGateway, front: Front) -> None:
    call = make_call()
    front.hold_key(call.key)
    assert gateway.open(call) == Unknown("key_in_use")
    assert len(front.find(Verb.OPEN)) == 2


def test_a_key_with_another_request_is_unknown(gateway: StripeGateway, purse: Purse) -> None:
    # This answer does not show what the first one did.
    call = make_call()
    opened = gateway.open(call)
    assert isinstance(opened, Succeeded)
    assert gateway.cancel(type(call)(call.checkout_id, call.key, call.amount, "", opened.reference)) == Unknown(
        "key_reused"
    )


def test_a_payment_method_that_is_not_there_is_the_buyers_matter(gateway: StripeGateway) -> None:
    reference = open_intent(gateway)
    answer = gateway.authorize(make_call(reference, token="pm_that_nobody_made"))
    assert answer == Declined("payment_method_unknown")


def test_a_declined_card_says_why(gateway: StripeGateway, purse: Purse) -> None:
    reference = open_intent(gateway)
    answer = gateway.authorize(make_call(reference, token=purse.declined))
    assert answer == Declined("generic_decline", "Your card was declined.")
