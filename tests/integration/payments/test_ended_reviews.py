"""Late funds that cannot be refunded need review, once, until they are settled."""

from uuid import UUID

import pytest

from models.states import CheckoutState
from pipeline.gateways.sandbox.invariants import BankTotals
from tests.integration.payments.afterlife import (
    end_refunded,
    end_unpaid,
    late_events,
    poll,
    return_refund,
    revive,
)
from tests.integration.payments.stage import PAID, RETURNED, Stage
from tests.support.workbench import NOTHING


@pytest.mark.parametrize(
    ("kinds", "verb", "sentence", "code", "left"),
    [
        (
            ["authorize"],
            "cancel",
            "7.00 EUR authorised could not be voided (cancel_declined): void it at the provider, then retry.",
            "void_failed",
            NOTHING,
        ),
        (
            ["authorize", "capture"],
            "refund",
            "7.00 EUR could not be refunded (refund_declined): refund it at the provider, then retry.",
            "refund_failed",
            RETURNED,
        ),
    ],
    ids=["authorized", "captured"],
)
def test_a_refund_that_the_bank_refuses_needs_review_once(
    stage: Stage, kinds: list[str], verb: str, sentence: str, code: str, left: BankTotals
) -> None:
    # Given
    checkout_id, reference = end_unpaid(stage)
    stage.shelf.run("UPDATE payments SET token = :token", token=f"tok_{verb}_declined")
    revive(stage, reference, *kinds)
    # When it is polled three times
    for _ in range(3):
        poll(stage)
    # Then it needs review once, about this money, and nothing is repeated in a loop
    status = stage.works.status(checkout_id)
    assert (status.state, status.ended_at is not None) == (CheckoutState.CANCELLED, True)
    assert status.review is not None
    assert (status.review.code, status.review.message) == (code, sentence)
    assert late_events(stage, checkout_id) == ["payment.late_funds", "payment.needs_review"]
    made = [each for each, _ in stage.spy.calls].count(verb)
    assert stage.works.sweep().scheduled == 0
    # When they retry and the bank has not changed its mind
    assert stage.works.service.retry(checkout_id, actor="ops", reason="try again").changed
    stage.wait(checkout_id, lambda: stage.works.status(checkout_id).review is not None)
    # Then they are asked again, after a call under a new key
    assert [each for each, _ in stage.spy.calls].count(verb) == made + 1
    assert late_events(stage, checkout_id)[2:] == ["payment.review_closed", "payment.needs_review"]
    # When the bank plays along
    stage.shelf.run("UPDATE payments SET token = 'tok_ok'")
    assert stage.works.service.retry(checkout_id, actor="ops", reason="they opened it").changed
    stage.wait(checkout_id, lambda: stage.totals(checkout_id) == left)
    # Then it is settled, under a key of its own
    assert stage.works.status(checkout_id).review is None
    undo = {"cancel": "void"}.get(verb, verb)
    keys = [each for each in stage.operations(checkout_id) if each[0] == undo]
    assert [status for *_, status in keys][-3:] == ["declined", "declined", "succeeded"]
    assert [n for _, n, _ in keys] == list(range(1, len(keys) + 1))
    assert not stage.works.service.retry(checkout_id, actor="ops", reason="once more").changed
    poll(stage)
    assert stage.totals(checkout_id) == left


def test_a_returned_refund_needs_review(stage: Stage) -> None:
    # Given a refund that was accepted, and that the buyer's bank sent back later
    checkout_id, reference = end_refunded(stage)
    assert stage.totals(checkout_id) == RETURNED
    return_refund(stage, reference)
    assert stage.totals(checkout_id) == PAID
    # When it is polled, more than once
    poll(stage)
    poll(stage)
    # Then
    review = stage.works.status(checkout_id).review
    assert review is not None
    assert (review.code, review.message) == (
        "refund_failed",
        "7.00 EUR could not be refunded (refund_returned): refund it at the provider, then retry.",
    )
    assert late_events(stage, checkout_id) == ["payment.late_funds", "payment.needs_review"]
    # When they retry
    stage.works.service.retry(checkout_id, actor="ops", reason="the account is open again")
    stage.wait(checkout_id, lambda: stage.totals(checkout_id) == RETURNED)
    # Then it was refunded under a new key, and the review is closed
    assert [each for each in stage.operations(checkout_id) if each[0] == "refund"] == [
        ("refund", 1, "declined"),
        ("refund", 2, "succeeded"),
    ]
    assert stage.works.status(checkout_id).review is None
    assert late_events(stage, checkout_id) == [
        "payment.late_funds",
        "payment.needs_review",
        "payment.review_closed",
        "payment.refunded_late",
    ]


def end_unreturned(stage: Stage) -> tuple[UUID, str]:
    """End a checkout with late funds that are not refunded, so that they need review."""
    checkout_id, reference = end_unpaid(stage)
    stage.shelf.run("UPDATE payments SET token = 'tok_refund_declined'")
    revive(stage, reference, "authorize", "capture")
    poll(stage)
    assert stage.works.status(checkout_id).review is not None
    return checkout_id, reference


def refund_by_hand(stage: Stage, reference: str) -> None:
    """Refund the money in the bank's dashboard."""
    stage.shelf.run("UPDATE sandbox.payments SET status = 'refunded', refunded_minor = 700")
    stage.shelf.run(
        "INSERT INTO sandbox.entries (reference, kind, amount_minor) VALUES (:r, 'refund', 700)", r=reference
    )


def test_a_refund_by_hand_is_found_by_the_next_poll(stage: Stage) -> None:
    # Given money whose refund the bank has refused
    checkout_id, reference = end_unreturned(stage)
    # When an operator refunds it in the bank's dashboard, and the next poll comes
    refund_by_hand(stage, reference)
    tell_of_all(stage, checkout_id)
    # Then the review is closed
    assert stage.works.status(checkout_id).review is None
    assert stage.shelf.row("SELECT status FROM payments").status == "refunded"


def test_an_unwind_that_finds_it_settled_closes_the_review(stage: Stage) -> None:
    # Given a review, and a refund that was stored since
    checkout_id, reference = end_unreturned(stage)
    stage.shelf.run("UPDATE payments SET token = 'tok_ok', status = 'refunded'")
    refund_by_hand(stage, reference)
    calls = len(stage.spy.calls)
    # When
    stage.works.unwinder.run([checkout_id])
    # Then the review is closed, and the bank is not called any more
    assert stage.works.status(checkout_id).review is None
    assert late_events(stage, checkout_id)[-2:] == ["payment.needs_review", "payment.review_closed"]
    assert len(stage.spy.calls) == calls


def tell_of_all(stage: Stage, checkout_id: UUID) -> None:
    """Deliver a webhook, and poll."""
    del checkout_id
    stage.mail.deliver_new()
    stage.pump()
    poll(stage)


def test_a_bank_that_refuses_access_needs_review_after_the_last_attempt(stage: Stage) -> None:
    # Given late funds, and API keys that are not valid any more
    checkout_id, reference = end_unpaid(stage)
    stage.shelf.run("UPDATE payments SET token = 'tok_refund_misconfigured'")
    revive(stage, reference, "authorize", "capture")
    poll(stage)
    # When
    stage.wait(checkout_id, lambda: stage.works.status(checkout_id).review is not None)
    # Then
    review = stage.works.status(checkout_id).review
    assert review is not None
    assert (review.code, review.message) == (
        "gateway_misconfigured",
        "The payment provider refuses access (access_refused): correct its API keys, then retry.",
    )
    assert [each for each, _ in stage.spy.calls].count("refund") == stage.settings.max_attempts
    assert late_events(stage, checkout_id) == ["payment.late_funds", "payment.needs_review"]
    # When the keys are right again
    stage.shelf.run("UPDATE payments SET token = 'tok_ok'")
    stage.works.service.retry(checkout_id, actor="ops", reason="new keys")
    stage.wait(checkout_id, lambda: stage.totals(checkout_id) == RETURNED)
    # Then
    assert stage.works.status(checkout_id).review is None
    assert late_events(stage, checkout_id)[2:] == ["payment.review_closed", "payment.refunded_late"]
