"""Payments changed in the provider's dashboard: money and order agree all the same."""

import pytest

from models.states import CheckoutState
from tests.integration.payments.afterlife import revive
from tests.integration.payments.buyers import by_webhook, pay_challenged, run_out
from tests.integration.payments.stage import PAID, RETURNED, Stage, expect_nothing
from tests.support.harness import OWNER
from tests.support.rivals import Crowd, Gate


def capture_in_dashboard(stage: Stage, reference: str) -> None:
    """Let the merchant take the money by hand."""
    stage.shelf.run("UPDATE sandbox.payments SET status = 'captured', captured_minor = authorized_minor")
    stage.shelf.run(
        "INSERT INTO sandbox.entries (reference, kind, amount_minor) VALUES (:reference, 'capture', 700)",
        reference=reference,
    )


def void_in_dashboard(stage: Stage, reference: str) -> None:
    """Let the merchant cancel the payment by hand."""
    stage.shelf.run("UPDATE sandbox.payments SET status = 'cancelled'")
    stage.shelf.run(
        "INSERT INTO sandbox.entries (reference, kind, amount_minor) VALUES (:reference, 'cancel', 700)",
        reference=reference,
    )


polled_or_not = pytest.mark.parametrize("polled", [True, False], ids=["polled", "not polled"])


@polled_or_not
def test_what_was_captured_before_the_engine_is_an_order_captured_once(stage: Stage, *, polled: bool) -> None:
    # Given
    checkout_id = stage.start("tok_ok")
    stage.works.pump(until="payment_capture")
    capture_in_dashboard(stage, stage.reference(checkout_id))
    # When
    if polled:
        stage.works.poller.run([checkout_id])
    stage.pump()
    # Then the engine's own call captured nothing more, and is stored as the one that captured it
    assert stage.works.status(checkout_id).state is CheckoutState.COMPLETED
    assert stage.operations(checkout_id)[-1] == ("capture", 1, "succeeded")
    assert stage.totals(checkout_id) == PAID
    assert stage.entries() == [("authorize", 700), ("capture", 700)]


@polled_or_not
def test_what_was_captured_before_a_cancellation_is_refunded(stage: Stage, *, polled: bool) -> None:
    # Given
    checkout_id = stage.start("tok_ok")
    stage.works.pump(until="payment_capture")
    capture_in_dashboard(stage, stage.reference(checkout_id))
    if polled:
        stage.works.poller.run([checkout_id])
    # When
    stage.works.service.cancel(checkout_id, OWNER)
    stage.pump()
    # Then
    assert stage.works.status(checkout_id).state is CheckoutState.CANCELLED
    assert stage.totals(checkout_id) == RETURNED
    assert stage.operations(checkout_id)[-1] == ("refund", 1, "succeeded")


@polled_or_not
def test_what_was_voided_before_the_capture_is_no_order(stage: Stage, *, polled: bool) -> None:
    # Given
    checkout_id = stage.start("tok_ok")
    stage.works.pump(until="payment_capture")
    void_in_dashboard(stage, stage.reference(checkout_id))
    # When
    if polled:
        stage.works.poller.run([checkout_id])
    stage.pump()
    # Then
    status = stage.works.status(checkout_id)
    assert status.state is CheckoutState.FAILED
    assert status.failure is not None
    assert status.failure.code == "capture_declined"
    expect_nothing(stage, checkout_id)


def test_an_approval_after_a_refusal_is_captured(stage: Stage) -> None:
    # Given a buyer whose bank declined, and a checkout that awaits another card
    checkout_id, reference = pay_challenged(stage)
    stage.bank.refuse(reference)
    by_webhook(stage, checkout_id)
    stage.pump()
    assert stage.works.status(checkout_id).state is CheckoutState.AWAITING_PAYMENT
    # When the bank has let them say yes all the same
    revive(stage, reference, "authorize")
    by_webhook(stage, checkout_id)
    stage.pump()
    # Then
    assert stage.works.status(checkout_id).state is CheckoutState.COMPLETED
    assert stage.totals(checkout_id) == PAID


def test_money_captured_after_a_refusal_is_refunded_at_the_expiry(stage: Stage) -> None:
    # Given a checkout that awaits another card, and a first one that the bank has charged all the same
    checkout_id, reference = pay_challenged(stage)
    stage.bank.refuse(reference)
    by_webhook(stage, checkout_id)
    stage.pump()
    revive(stage, reference, "authorize", "capture")
    by_webhook(stage, checkout_id)
    stage.pump()
    # When they do not come back
    run_out(stage, checkout_id)
    # Then
    assert stage.settle(checkout_id) == "expired"
    assert stage.totals(checkout_id) == RETURNED


def test_a_retrieval_that_the_capture_overtakes_is_not_applied(stage: Stage, crowd: Crowd) -> None:
    # Given a retrieval of the authorisation with a slow answer
    checkout_id = stage.start("tok_ok")
    stage.works.pump(until="payment_capture")
    gate = Gate(stage.spy, "retrieve", "after")
    polling = crowd.begin(lambda: stage.works.poller.run([checkout_id]))
    gate.wait()
    # When the money is captured meanwhile
    stage.pump()
    assert stage.works.status(checkout_id).state is CheckoutState.COMPLETED
    gate.open()
    # Then it changes nothing
    assert polling.result(10) == {checkout_id}
    assert stage.shelf.row("SELECT status FROM payments").status == "captured"
    assert stage.totals(checkout_id) == PAID


def test_a_retrieval_that_the_cancellation_overtakes_is_not_applied(stage: Stage, crowd: Crowd) -> None:
    # Given
    checkout_id = stage.start("tok_ok")
    stage.works.pump(until="payment_capture")
    gate = Gate(stage.spy, "retrieve", "after")
    polling = crowd.begin(lambda: stage.works.poller.run([checkout_id]))
    gate.wait()
    # When
    stage.works.service.cancel(checkout_id, OWNER)
    stage.pump()
    gate.open()
    # Then there are no late funds
    assert polling.result(10) == {checkout_id}
    stage.pump()
    assert "payment.late_funds" not in stage.events(checkout_id)
    assert stage.shelf.row("SELECT status FROM payments").status == "cancelled"
    expect_nothing(stage, checkout_id)
