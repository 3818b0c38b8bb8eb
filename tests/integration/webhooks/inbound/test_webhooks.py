"""The effect of inbound webhooks: each causes a retrieval, and none is applied."""

from models.states import CheckoutState
from pipeline.gateways.sandbox.invariants import BankTotals
from pipeline.saga.sweep import SweepCounts
from tests.support.harness import Shelf
from tests.support.mail import PAID, Mail, count_retrievals, read_inbox, read_reference, read_statuses, start_challenged
from tests.support.workbench import read_bank


def test_a_buyers_yes_at_the_bank_goes_on_without_a_resume(mail: Mail, shelf: Shelf) -> None:
    # Given
    works, spy = mail.works, mail.spy
    checkout_id, reference = start_challenged(works, shelf)
    mail.bank.approve(reference)
    # When
    mail.deliver_new()
    works.pump()
    # Then
    assert works.status(checkout_id).state is CheckoutState.COMPLETED
    assert read_bank(works.engine, checkout_id) == PAID
    entry = shelf.row("SELECT id FROM sandbox.entries WHERE kind = 'authorize'")
    assert read_inbox(shelf) == [(f"evt_{entry.id}", "applied", 0, None)]
    assert count_retrievals(spy) == 1
    assert works.sweep() == SweepCounts()


def test_a_buyers_no_at_the_bank_ends_the_checkout(mail: Mail, shelf: Shelf) -> None:
    # Given
    works = mail.works
    checkout_id, reference = start_challenged(works, shelf)
    mail.bank.refuse(reference)
    # When
    mail.deliver_new()
    works.pump()
    # Then
    status = works.status(checkout_id)
    assert status.failure is not None
    assert (status.state, status.failure.code) == (CheckoutState.FAILED, "payment_declined")
    assert read_bank(works.engine, checkout_id) == BankTotals(0, 0, 0)
    assert read_statuses(shelf) == ["applied"]


def test_a_buyers_no_at_the_bank_leaves_time_for_another_card(mail: Mail, shelf: Shelf) -> None:
    # Given a checkout that waited to be paid, and whose buyer is now at the bank
    works = mail.works
    shelf.add_variant("cup", price_minor=700)
    checkout_id = works.start(shelf.add_cart(("cup", 1)))
    works.pump()
    works.pay(checkout_id, "tok_action_required")
    works.pump()
    mail.bank.refuse(read_reference(shelf, checkout_id))
    # When
    mail.deliver_new()
    works.pump()
    # Then
    assert works.status(checkout_id).state is CheckoutState.AWAITING_PAYMENT
    works.pay(checkout_id, "tok_ok")
    works.pump()
    assert works.status(checkout_id).state is CheckoutState.COMPLETED
    assert read_bank(works.engine, checkout_id) == PAID


def test_a_no_that_was_a_hint_only_changes_nothing(mail: Mail, shelf: Shelf) -> None:
    # Given a checkout whose buyer has not acted yet, and an event that says otherwise
    works = mail.works
    checkout_id, reference = start_challenged(works, shelf)
    # When
    for number, kind in enumerate(["payment.refused", "payment.authorized", "payment.captured", "payment.cancelled"]):
        mail.write(f"evt_lie_{number}", reference=reference, checkout_id=checkout_id, kind=kind)
    works.pump()
    # Then the bank was asked, and what it said is what holds
    assert works.status(checkout_id).state is CheckoutState.ACTION_REQUIRED
    assert read_statuses(shelf) == ["applied"] * 4
    # ... until the buyer acts
    mail.bank.approve(reference)
    mail.deliver_new()
    works.pump()
    assert works.status(checkout_id).state is CheckoutState.COMPLETED
    assert read_bank(works.engine, checkout_id) == PAID


def test_many_events_of_one_checkout_in_a_batch_are_one_retrieval(mail: Mail, shelf: Shelf) -> None:
    # Given
    works, spy = mail.works, mail.spy
    checkout_id, reference = start_challenged(works, shelf)
    for number in range(5):
        mail.write(f"evt_{number}", reference=reference, checkout_id=checkout_id)
    # When
    works.pump()
    # Then each is in the trail
    assert count_retrievals(spy) == 1
    assert read_statuses(shelf) == ["applied"] * 5
    trail = shelf.rows("SELECT data FROM events WHERE kind = 'webhook.applied' AND checkout_id = :id", id=checkout_id)
    assert sorted(data["event_id"] for (data,) in trail) == [f"evt_{number}" for number in range(5)]
    assert {data["kind"] for (data,) in trail} == {"payment.authorized"}
