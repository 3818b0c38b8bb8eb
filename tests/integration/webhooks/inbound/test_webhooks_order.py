"""Webhooks too early, too late, again, and in the wrong order: only the retrieved status is applied."""

import pytest

from models.states import CheckoutState
from pipeline.gateways.gateway import Call
from pipeline.gateways.sandbox.invariants import BankTotals
from pipeline.messaging import WEBHOOKS
from tests.support.harness import OWNER, Shelf
from tests.support.mail import (
    PAID,
    Mail,
    count_retrievals,
    make_due,
    picture,
    read_inbox,
    read_reference,
    read_statuses,
    start_challenged,
)
from tests.support.rivals import count_events
from tests.support.workbench import read_bank, settle, start_many


def without_retrievals(rows: dict[str, list[str]]) -> dict[str, list[str]]:
    return {table: lines for table, lines in rows.items() if table not in ("events", "checkouts")}


def test_events_in_the_wrong_order_after_the_end_change_nothing(mail: Mail, shelf: Shelf) -> None:
    # Given two orders, and one payment that came to nothing, whose events have not come yet
    works = mail.works
    ids = start_many(works, shelf, 2)
    given_up = works.start(shelf.add_cart(("cup", 1)), token="tok_capture_declined")
    works.pump()
    assert works.states([*ids, given_up]) == ["completed", "completed", "failed"]
    before = picture(works.engine)
    # When the captures come before the authorisations
    events = mail.collect()
    assert len(events) == 6
    mail.deliver(events[::-1])
    works.pump()
    # Then all that is new are the lines of the trail
    after = picture(works.engine)
    assert read_statuses(shelf) == ["applied"] * 6
    assert count_events(works.engine, "webhook.applied", [*ids, given_up]) == 6
    assert len(after["events"]) == len(before["events"]) + 6
    assert without_retrievals(after) == without_retrievals(before)


def test_the_mail_of_a_day_delivered_again_changes_nothing(mail: Mail, shelf: Shelf) -> None:
    # Given orders, declines, a challenge passed and one refused, all with webhooks of the bank
    works = mail.works
    ids = start_many(works, shelf, 3)
    ids += [
        works.start(shelf.add_cart(("cup", 1)), token=token)
        for token in ("tok_declined", "tok_capture_declined", "tok_action_required", "tok_action_required")
    ]
    works.pump()
    mail.bank.approve(read_reference(shelf, ids[-2]))
    mail.bank.refuse(read_reference(shelf, ids[-1]))
    events = mail.collect()
    mail.deliver(events)
    works.pump()
    late = mail.collect()
    mail.deliver(late)
    works.pump()
    assert works.states(ids) == ["completed"] * 3 + ["failed", "failed", "completed", "failed"]
    assert set(read_statuses(shelf)) == {"applied"}
    before, stored = picture(works.engine), read_inbox(shelf)
    # When
    again = mail.deliver([*late, *events])
    works.pump()
    works.sweep()
    works.pump()
    # Then
    assert {each.created for each in again} == {False}
    assert picture(works.engine) == before
    assert read_inbox(shelf) == stored


def test_the_late_news_of_a_first_card_does_not_disturb_the_second(mail: Mail, shelf: Shelf) -> None:
    # Given a buyer whose bank declined one card, which is stored late, and that is at the bank with another
    works, spy = mail.works, mail.spy
    shelf.add_variant("cup", price_minor=700)
    checkout_id = works.start(shelf.add_cart(("cup", 1)))
    works.pump()
    works.pay(checkout_id, "tok_action_required")
    works.pump()
    reference = read_reference(shelf, checkout_id)
    mail.bank.refuse(reference)
    late = mail.collect()
    works.service.resume(checkout_id, OWNER)
    works.pump()
    assert works.status(checkout_id).state is CheckoutState.AWAITING_PAYMENT
    works.pay(checkout_id, "tok_action_required")
    works.pump()
    # When
    mail.deliver(late)
    works.pump()
    # Then the second card is still waited for
    assert works.status(checkout_id).state is CheckoutState.ACTION_REQUIRED
    mail.bank.approve(reference)
    mail.deliver_new()
    works.pump()
    assert works.status(checkout_id).state is CheckoutState.COMPLETED
    assert read_bank(works.engine, checkout_id) == PAID
    assert read_statuses(shelf) == ["applied", "applied"]
    assert count_retrievals(spy) == 3


def test_an_event_that_comes_while_its_call_is_out_waits_for_the_answer(mail: Mail, shelf: Shelf) -> None:
    # Given a bank whose webhook overtakes its answer
    works, spy = mail.works, mail.spy
    seen: list[tuple[str, str, int, str | None]] = []

    def overtake(verb: str, _call: Call) -> None:
        if verb == "authorize":
            mail.deliver_new()
            works.inbox.run(works.line.take(WEBHOOKS))
            seen.extend(read_inbox(shelf))

    spy.after = overtake
    # When
    [checkout_id] = start_many(works, shelf, 1)
    works.pump()
    # Then no retrieval was made, and the call's own answer was enough
    [(_, status, attempts, error)] = seen
    assert (status, attempts, error) == ("received", 1, "the provider gave no answer")
    assert works.status(checkout_id).state is CheckoutState.COMPLETED
    # ... and the event finds nothing left to do
    make_due(shelf)
    assert works.sweep().inbound_webhooks == 1
    works.pump()
    assert read_statuses(shelf) == ["applied"]
    assert read_bank(works.engine, checkout_id) == PAID
    assert [verb for verb, _ in spy.calls] == ["open", "authorize", "capture"]


def test_an_event_that_comes_before_the_reference_is_stored_waits_for_it(mail: Mail, shelf: Shelf) -> None:
    # Given a webhook that overtakes the answer to the very first call
    works, spy = mail.works, mail.spy
    seen: list[tuple[str, str, int, str | None]] = []

    def overtake(verb: str, call: Call) -> None:
        if verb == "open":
            reference = shelf.row("SELECT reference FROM sandbox.payments").reference
            mail.write("evt_early", reference=reference, checkout_id=call.checkout_id, kind="payment.captured")
            works.inbox.run(works.line.take(WEBHOOKS))
            seen.extend(read_inbox(shelf))

    spy.after = overtake
    # When
    [checkout_id] = start_many(works, shelf, 1)
    works.pump()
    # Then
    assert seen == [("evt_early", "received", 1, f"checkout {checkout_id} has no object at the provider yet")]
    make_due(shelf)
    works.sweep()
    works.pump()
    assert read_inbox(shelf) == [("evt_early", "applied", 1, None)]
    assert read_bank(works.engine, checkout_id) == PAID


def test_an_event_settles_a_lost_answer_before_the_repeat_of_its_call(mail: Mail, shelf: Shelf) -> None:
    # Given
    works, spy = mail.works, mail.spy
    [checkout_id] = start_many(works, shelf, 1, "tok_authorize_timeout_after")
    works.pump()
    assert works.status(checkout_id).state is CheckoutState.RUNNING
    # When
    mail.deliver_new()
    works.pump()
    # Then the same call was never made again
    assert works.status(checkout_id).state is CheckoutState.COMPLETED
    assert [verb for verb, _ in spy.calls] == ["open", "authorize", "retrieve", "capture"]
    assert read_bank(works.engine, checkout_id) == PAID


def revive(shelf: Shelf, reference: str, kinds: list[str]) -> None:
    """Make the bank authorise, and perhaps capture, a cancelled payment: providers do make mistakes."""
    captured = "capture" in kinds
    shelf.run(
        "UPDATE sandbox.payments SET status = :status, authorized_minor = amount_minor,"
        " captured_minor = CASE WHEN :captured THEN amount_minor ELSE 0 END WHERE reference = :reference",
        status="captured" if captured else "authorized",
        captured=captured,
        reference=reference,
    )
    for kind in kinds:
        shelf.run(
            "INSERT INTO sandbox.entries (reference, kind, amount_minor)"
            " SELECT reference, :kind, amount_minor FROM sandbox.payments WHERE reference = :reference",
            kind=kind,
            reference=reference,
        )


@pytest.mark.parametrize(
    ("kinds", "left", "undone"),
    [(["authorize"], BankTotals(0, 0, 0), "void"), (["authorize", "capture"], BankTotals(0, 700, 700), "refund")],
    ids=["authorized: voided", "captured: refunded"],
)
def test_money_that_is_found_after_the_end_is_refunded(
    mail: Mail, shelf: Shelf, kinds: list[str], left: BankTotals, undone: str
) -> None:
    # Given a checkout that ran out of time at the bank's page
    works = mail.works
    checkout_id, reference = start_challenged(works, shelf)
    shelf.run("UPDATE checkouts SET expires_at = now() - interval '1 s' WHERE id = :id", id=checkout_id)
    assert settle(works, [checkout_id]) == ["expired"]
    # When it turns out to be paid all the same, and only a webhook says so
    revive(shelf, reference, kinds)
    mail.deliver_new()
    works.pump()
    # Then
    assert works.status(checkout_id).state is CheckoutState.EXPIRED
    assert read_bank(works.engine, checkout_id) == left
    assert (
        shelf.row(
            "SELECT status FROM payment_operations WHERE checkout_id = :id AND kind = :kind ORDER BY n DESC LIMIT 1",
            id=checkout_id,
            kind=undone,
        ).status
        == "succeeded"
    )
    assert count_events(works.engine, "payment.late_funds", [checkout_id]) == 1
    assert set(read_statuses(shelf)) == {"applied"}
    assert shelf.stock("cup") == (20, 0)
