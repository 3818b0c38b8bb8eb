"""What is secret stays out of logs, texts and pictures of objects."""

import io
import logging
from contextlib import redirect_stderr, redirect_stdout

import pytest
import structlog
from structlog.testing import capture_logs

from pipeline.gateways.conformance.subject import Fault
from pipeline.gateways.gateway import Answer, Verb
from pipeline.gateways.stripe.gateway import StripeGateway
from tests.integration.gateways.stripe.front import Front
from tests.integration.gateways.stripe.local import KEY, Local
from tests.integration.gateways.stripe.purse import Purse, make_call, open_intent
from tests.integration.gateways.stripe.setting import WEBHOOK_SECRET, make_settings


def test_pictures_of_the_gateway_show_no_key(gateway: StripeGateway, front: Front) -> None:
    settings = make_settings(front.url)
    shown = "".join(
        map(repr, [gateway, gateway.__dict__, gateway._wire, gateway._wire.__dict__, settings, gateway.open])
    )
    assert KEY not in shown
    assert WEBHOOK_SECRET not in shown


def test_nothing_is_logged_of_a_call_that_went_well(
    gateway: StripeGateway, purse: Purse, caplog: pytest.LogCaptureFixture
) -> None:
    out = io.StringIO()
    with capture_logs() as events, redirect_stderr(out), redirect_stdout(out), caplog.at_level(logging.DEBUG):
        reference = open_intent(gateway)
        gateway.authorize(make_call(reference, token=purse.challenged))
        gateway.cancel(make_call(reference))
    assert events == []
    assert out.getvalue() == ""
    # The SDK's own lines would contain whole bodies.
    assert [each for each in caplog.records if each.name.startswith("stripe")] == []
    assert "_secret_" not in caplog.text


@pytest.mark.parametrize("fault", [Fault.ACCESS, Fault.BUSY, Fault.ERROR_AFTER, Fault.MALFORMED, Fault.BROKEN_AFTER])
def test_a_call_that_went_wrong_is_logged_by_its_kind(
    gateway: StripeGateway, front: Front, purse: Purse, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    reference = open_intent(gateway)
    call = make_call(reference, token=purse.challenged)
    with capture_logs() as events, caplog.at_level(logging.DEBUG), front.bewitch(fault, Verb.AUTHORIZE):
        answer: Answer = gateway.authorize(call)
    [event] = events
    assert (event["event"], event["log_level"]) == ("stripe.no_answer", "warning")
    assert (event["verb"], event["checkout_id"]) == ("authorize", str(call.checkout_id))
    assert event["error"] == answer.error  # type: ignore[union-attr] # a success would have been logged as nothing
    shown = f"{events!r}{answer!r}{caplog.text}"
    assert not any(secret in shown for secret in (KEY, "sk_test", "_secret_", WEBHOOK_SECRET))


def test_the_request_id_is_logged_for_stripes_support(gateway: StripeGateway, front: Front) -> None:
    with capture_logs() as events, front.bewitch(Fault.ACCESS, Verb.OPEN):
        gateway.open(make_call())
    assert (events[0]["status"], events[0]["request_id"]) == (401, "req_1")


def test_a_card_number_that_came_as_a_token_is_in_no_answer(gateway: StripeGateway, local: Local) -> None:
    # The provider's own text quotes it.
    del local
    number = "4242424242424242"
    reference = open_intent(gateway)
    with capture_logs() as events:
        answer = gateway.authorize(make_call(reference, token=number))
    assert number not in f"{answer!r}{events!r}"


def test_the_logger_is_the_one_that_tests_listen_to() -> None:
    # Guards the tests above: an event that is logged is seen.
    with capture_logs() as events:
        structlog.get_logger("test").warning("seen")
    assert [each["event"] for each in events] == ["seen"]
