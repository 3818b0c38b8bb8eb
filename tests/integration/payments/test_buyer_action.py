"""The buyer's bank wants the buyer: what is held meanwhile, for how long, and how it goes on."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import Engine

from models.states import CheckoutState
from pipeline.gateways.gateway import ActionRequired, Answer, Declined, Succeeded
from pipeline.settings import Settings
from tests.integration.payments.buyers import (
    CHALLENGE,
    by_resume,
    by_webhook,
    challenge,
    pay_challenged,
    read_expiry,
    seconds_left,
    start_challenged,
    told_by,
)
from tests.integration.payments.stage import HELD, PAID, Stage, expect_nothing, open_stage
from tests.support.workbench import NOTHING


def test_it_parks_with_what_the_storefront_needs_and_keeps_stock_and_prices(stage: Stage) -> None:
    # When
    checkout_id, reference = start_challenged(stage)
    # Then
    status = stage.works.status(checkout_id)
    assert status.action == {"type": "redirect", "url": f"https://bank.example/authenticate/{reference}"}
    assert stage.events(checkout_id)[-1] == "checkout.action_required"
    assert stage.shelf.stock("cup") == (5, 2)
    assert stage.totals(checkout_id) == NOTHING
    # ... and nothing is due: no retrieval is made before a report
    assert stage.shelf.row("SELECT due_at FROM checkouts").due_at is None
    for _ in range(3):
        assert stage.works.sweep().expired == 0
        stage.pump()
    assert [verb for verb, _ in stage.spy.calls] == ["open", "authorize"]
    # When the price changes meanwhile
    stage.shelf.run("UPDATE prices SET amount_minor = 999")
    stage.bank.approve(reference)
    by_resume(stage, checkout_id)
    stage.pump()
    # Then the frozen one is captured
    assert stage.works.status(checkout_id).state is CheckoutState.COMPLETED
    assert stage.works.status(checkout_id).action is None
    assert stage.totals(checkout_id) == PAID


@pytest.mark.parametrize(("window", "held"), [(None, 1200), (1800.0, 1800)], ids=["own", "the provider's"])
def test_the_reservation_is_extended_to_the_window_once(
    engine: Engine, settings: Settings, window: float | None, held: int
) -> None:
    def give_window(_verb: str, answer: Answer) -> Answer:
        return replace(answer, window_seconds=window) if isinstance(answer, ActionRequired) else answer

    with open_stage(engine, settings, buyer_action_timeout_seconds=1200, payment_window_seconds=60) as stage:
        stage.spy.replace = give_window
        # Given a reservation that would end in a minute
        checkout_id = stage.works.start(stage.shelf.add_cart(("cup", 2)), ttl_seconds=60)
        stage.pump()
        assert seconds_left(stage, checkout_id) < 60
        # When
        stage.works.pay(checkout_id, CHALLENGE)
        challenge(stage, checkout_id)
        # Then
        assert held - 10 < seconds_left(stage, checkout_id) < held


@pytest.mark.parametrize("ask", [by_resume, lambda stage, id_: stage.works.poller.run([id_])], ids=["resume", "look"])
def test_repeated_polls_extend_no_reservation(
    engine: Engine, settings: Settings, ask: Callable[[Stage, UUID], object]
) -> None:
    # Given a buyer at the bank's page, whose reservation is nearly over
    with open_stage(engine, settings, payment_window_seconds=600, buyer_action_timeout_seconds=900) as stage:
        checkout_id, reference = start_challenged(stage)
        stage.shelf.run("UPDATE checkouts SET expires_at = now() + interval '30 s'")
        ends_at = read_expiry(stage, checkout_id)
        # When
        for _ in range(20):
            ask(stage, checkout_id)
            stage.pump()
            assert stage.works.status(checkout_id).state is CheckoutState.ACTION_REQUIRED
        # Then
        assert [verb for verb, _ in stage.spy.calls].count("retrieve") == 20
        assert read_expiry(stage, checkout_id) == ends_at
        # ... and once the buyer has acted, the reservation is extended, as for any payment
        stage.bank.approve(reference)
        ask(stage, checkout_id)
        stage.works.pump(until="order_creation")
        assert stage.totals(checkout_id) == HELD
        assert 590 < seconds_left(stage, checkout_id) < 600
        stage.pump()
        assert stage.works.status(checkout_id).state is CheckoutState.COMPLETED


@told_by
def test_it_goes_on_once_the_buyer_has_approved(stage: Stage, report: Callable[[Stage, UUID], None]) -> None:
    # Given
    checkout_id, reference = start_challenged(stage)
    # When
    assert isinstance(stage.bank.approve(reference), Succeeded)
    report(stage, checkout_id)
    stage.pump()
    # Then
    assert stage.works.status(checkout_id).state is CheckoutState.COMPLETED
    assert stage.operations(checkout_id) == [
        ("open", 1, "succeeded"),
        ("authorize", 1, "succeeded"),
        ("capture", 1, "succeeded"),
    ]
    assert stage.totals(checkout_id) == PAID
    assert stage.orders() == ["placed"]
    assert stage.works.sweep().redelivered == 0


@told_by
def test_a_refusal_leaves_a_started_checkout_to_another_card(
    stage: Stage, report: Callable[[Stage, UUID], None]
) -> None:
    # Given
    checkout_id, reference = pay_challenged(stage)
    # When
    stage.bank.refuse(reference)
    report(stage, checkout_id)
    stage.pump()
    # Then
    assert stage.works.status(checkout_id).state is CheckoutState.AWAITING_PAYMENT
    assert stage.events(checkout_id).count("payment.declined") == 1
    assert stage.shelf.stock("cup") == (5, 2)
    # When
    stage.works.pay(checkout_id, "tok_ok")
    stage.pump()
    # Then it is paid on the same object
    assert stage.works.status(checkout_id).state is CheckoutState.COMPLETED
    assert stage.operations(checkout_id) == [
        ("open", 1, "succeeded"),
        ("authorize", 1, "declined"),
        ("authorize", 2, "succeeded"),
        ("capture", 1, "succeeded"),
    ]
    assert stage.entries() == [("refuse", 0), ("authorize", 700), ("capture", 700)]
    assert stage.totals(checkout_id) == PAID


@told_by
def test_a_refusal_straight_through_fails(stage: Stage, report: Callable[[Stage, UUID], None]) -> None:
    # Given
    checkout_id, reference = start_challenged(stage)
    # When
    stage.bank.refuse(reference)
    report(stage, checkout_id)
    stage.pump()
    # Then
    status = stage.works.status(checkout_id)
    assert status.state is CheckoutState.FAILED
    assert status.failure is not None
    assert status.failure.message == ("The payment was declined (authentication_refused): try another payment method.")
    expect_nothing(stage, checkout_id)
    assert isinstance(stage.bank.approve(reference), Declined)


@told_by
@pytest.mark.parametrize("approves", [True, False], ids=["yes", "no"])
def test_the_second_card_may_want_its_buyer_too(
    stage: Stage, report: Callable[[Stage, UUID], None], *, approves: bool
) -> None:
    # Given a buyer that refused at the first bank, and is at the second with the same object
    checkout_id, reference = pay_challenged(stage)
    first_ends_at = read_expiry(stage, checkout_id)
    stage.bank.refuse(reference)
    report(stage, checkout_id)
    stage.pump()
    stage.works.pay(checkout_id, CHALLENGE)
    assert challenge(stage, checkout_id) == reference
    # Then it has an action and a window of its own
    assert stage.works.status(checkout_id).action is not None
    assert read_expiry(stage, checkout_id) >= first_ends_at
    assert stage.events(checkout_id).count("checkout.action_required") == 2
    # When
    (stage.bank.approve if approves else stage.bank.refuse)(reference)
    report(stage, checkout_id)
    stage.pump()
    # Then
    wanted = CheckoutState.COMPLETED if approves else CheckoutState.AWAITING_PAYMENT
    assert stage.works.status(checkout_id).state is wanted
    assert stage.totals(checkout_id) == (PAID if approves else NOTHING)
    assert [each for each in stage.operations(checkout_id) if each[0] == "authorize"] == [
        ("authorize", 1, "declined"),
        ("authorize", 2, "succeeded" if approves else "declined"),
    ]


def test_three_refusals_at_the_bank_end_it(stage: Stage) -> None:
    # Given
    checkout_id, reference = pay_challenged(stage)
    for _ in range(2):
        stage.bank.refuse(reference)
        by_resume(stage, checkout_id)
        stage.pump()
        stage.works.pay(checkout_id, CHALLENGE)
        challenge(stage, checkout_id)
    # When
    stage.bank.refuse(reference)
    by_webhook(stage, checkout_id)
    stage.pump()
    # Then
    assert stage.works.status(checkout_id).state is CheckoutState.FAILED
    expect_nothing(stage, checkout_id)
    assert stage.bank.approve(reference) == Declined("payment_cancelled", "The payment is cancelled.")
