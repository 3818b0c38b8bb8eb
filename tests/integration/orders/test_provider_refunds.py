"""Refunds made at the provider, and refunds of the engine that failed there: each once, whatever comes first."""

from collections.abc import Iterator
from functools import partial

import pytest
from sqlalchemy import Engine

from pipeline.errors import Code, Conflict
from pipeline.gateways.charges import ChargeCall
from pipeline.settings import Settings
from tests.integration.orders.bank_window import BankWindow
from tests.integration.orders.counter import cancel, refund


@pytest.fixture
def window(engine: Engine, settings: Settings) -> Iterator[BankWindow]:
    """A shop with its engine, its bank and the bank's dashboard."""
    opened = BankWindow(engine, settings.model_copy(update={"retry_seconds": 100.0, "retry_cap_seconds": 100.0}))
    yield opened
    opened.assert_clean()
    opened.close()


def break_connection(verb: str, _call: ChargeCall) -> None:
    """Break the connection of a call about a refund, before it is made or after it had its effect."""
    if verb == "refund_amount":
        raise ConnectionError("reset by peer")


def keep_pending(window: BankWindow, _verb: str, _call: ChargeCall) -> None:
    """Have the bank wait for the buyer's bank."""
    window.shelf.run("UPDATE sandbox.refunds SET state = 'pending'")


def test_a_refund_of_the_dashboard_is_adopted_once(window: BankWindow) -> None:
    # Given
    order_id = window.place()
    reference = window.dashboard.refund(window.payment(order_id), 300)
    # When its webhook comes three times, and all earlier ones with it
    window.mail(times=3)
    window.works.charges.run([window.checkout(order_id)])
    # Then
    assert window.seen(order_id) == [("refund", "done", 300, "provider")]
    assert window.left(order_id) == 700
    assert window.events(order_id) == ["order.refunded"]
    told = window.told("order.refunded")
    assert (told["amount_minor"], told["currency"], told["actor"], told["lines"]) == (300, "EUR", "provider", [])
    assert told["reference"] == reference
    assert window.shelf.rows("SELECT n, idempotency_key, reference, status FROM refunds") == [
        (1, None, reference, "succeeded")
    ]


def test_a_late_webhook_finds_what_is_known(window: BankWindow) -> None:
    order_id = window.place()
    window.dashboard.refund(window.payment(order_id), 300)
    window.works.charges.run([window.checkout(order_id)])
    window.mail()
    assert window.seen(order_id) == [("refund", "done", 300, "provider")]


def test_after_an_adopted_refund_the_rest_can_be_refunded_and_no_more(window: BankWindow) -> None:
    order_id = window.place()
    window.dashboard.refund(window.payment(order_id), 300)
    window.mail()
    with pytest.raises(Conflict) as refused:
        window.ask(order_id, refund(amount_minor=701))
    assert (refused.value.code, refused.value.detail["left"]) == (Code.REFUND_EXCEEDS_CAPTURED, "7.00 EUR")
    assert window.do(order_id, cancel()) == "done"
    assert window.repaid() == [300, 700]
    assert window.order_state(order_id) == "cancelled"


def test_a_whole_refund_of_the_dashboard_leaves_the_order_placed(window: BankWindow) -> None:
    order_id = window.place()
    window.dashboard.refund(window.payment(order_id), 1000)
    window.mail()
    assert (window.left(order_id), window.order_state(order_id)) == (0, "placed")
    assert window.do(order_id, cancel()) == "done"
    assert window.repaid() == [1000]


def test_a_webhook_before_the_answer_settles_the_refund_of_the_engine(window: BankWindow) -> None:
    # Given a refund whose answer is lost on its way
    order_id = window.place()
    window.spy.after_charge = break_connection
    change = window.ask(order_id, refund(amount_minor=400))
    window.works.pump()
    window.spy.after_charge = None
    assert window.refunds(change.change_id) == [(1, "unknown", 400, None)]
    # When
    window.mail()
    # Then
    assert window.seen(order_id) == [("refund", "done", 400, "key:shop")]
    assert window.refunds(change.change_id) == [(1, "succeeded", 400, None)]
    assert (window.repaid(), window.events(order_id)) == ([400], ["order.refunded"])


def test_a_webhook_in_the_middle_of_the_call_counts_it_once(window: BankWindow) -> None:
    # Given a webhook that is processed while the engine waits for the answer to its own call
    order_id = window.place()
    window.spy.after_charge = lambda verb, _call: window.mail() if verb == "refund_amount" else None
    # When
    change = window.ask(order_id, refund(amount_minor=400))
    assert window.settle(change.change_id) == ["done"]
    # Then
    assert window.seen(order_id) == [("refund", "done", 400, "key:shop")]
    assert (window.repaid(), window.events(order_id)) == ([400], ["order.refunded"])


def test_a_refund_that_fails_later_reopens_its_change(window: BankWindow) -> None:
    # Given
    order_id = window.place()
    change = window.ask(order_id, refund((1, 1)))
    window.settle(change.change_id)
    window.mail()
    reference = window.shelf.row("SELECT reference FROM refunds").reference
    # When
    assert window.dashboard.fail_refund(reference)
    window.mail(times=2)
    # Then the shop was told both times, and a person is asked
    assert window.seen(order_id) == [("refund", "needs_review", 250, "key:shop")]
    assert window.refunds(change.change_id)[0][1] == "returned"
    assert window.events(order_id) == ["order.refunded", "order.refund_failed"]
    # ... whose money still counts, and can be paid in another way
    assert window.left(order_id) == 750
    window.dashboard.refund(window.payment(order_id), 250)
    window.mail()
    assert [each[:3] for each in window.seen(order_id)] == [("refund", "needs_review", 250), ("refund", "done", 250)]


def test_an_adopted_refund_that_fails_later_is_reopened_too(window: BankWindow) -> None:
    order_id = window.place()
    reference = window.dashboard.refund(window.payment(order_id), 300)
    window.mail()
    window.dashboard.fail_refund(reference)
    window.mail()
    assert window.seen(order_id) == [("refund", "needs_review", 300, "provider")]
    assert window.events(order_id) == ["order.refunded", "order.refund_failed"]


def test_one_that_failed_before_it_was_known_moves_nothing(window: BankWindow) -> None:
    order_id = window.place()
    window.dashboard.fail_refund(window.dashboard.refund(window.payment(order_id), 300))
    window.mail()
    assert (window.seen(order_id), window.left(order_id)) == ([], 1000)


def test_an_unknown_refund_is_settled_before_another_is_adopted(window: BankWindow) -> None:
    # Given a refund of 600 that the bank did not make, and did not answer; and 700 from its dashboard
    order_id = window.place()
    window.spy.before_charge = break_connection
    change = window.ask(order_id, refund(amount_minor=600))
    window.works.pump()
    window.spy.before_charge = None
    assert window.refunds(change.change_id) == [(1, "unknown", 600, None)]
    window.dashboard.refund(window.payment(order_id), 700)
    # When
    window.mail(pump=False)
    window.works.inbox.run(window.works.line.take("checkout.webhooks"))
    # Then together they are more than 1000: it waits, and is read again
    assert window.seen(order_id) == [("refund", "running", 600, "key:shop")]
    assert window.shelf.row("SELECT charge_due_at > now() AS waits FROM payments").waits
    # When the first is settled: the bank refuses it, because too little is left
    window.shelf.run("UPDATE refunds SET updated_at = now() - interval '1 hour'")
    window.shelf.run("UPDATE order_changes SET due_at = now() WHERE due_at IS NOT NULL")
    assert window.settle(change.change_id) == ["failed"]
    window.shelf.run("UPDATE payments SET charge_due_at = now()")
    window.works.sweep()
    window.works.pump()
    # Then
    assert window.seen(order_id) == [("refund", "failed", 600, "key:shop"), ("refund", "done", 700, "provider")]
    assert (window.left(order_id), window.repaid()) == (300, [700])


def test_a_pending_refund_is_read_again_without_a_webhook(window: BankWindow) -> None:
    # Given a refund that the bank has accepted, and returns days later; its webhook is lost
    order_id = window.place()
    change = window.ask(order_id, refund(amount_minor=400))
    window.spy.after_charge = partial(keep_pending, window)
    assert window.settle(change.change_id) == ["done"]
    window.works.charges.run([window.checkout(order_id)])
    assert window.shelf.row("SELECT charge_due_at > now() + interval '50 min' AS later FROM payments").later
    window.spy.after_charge = None
    window.dashboard.fail_refund(window.shelf.row("SELECT reference FROM refunds").reference)
    # When the time has come
    window.shelf.run("UPDATE payments SET charge_due_at = now()")
    assert window.works.sweep().charges == 1
    window.works.pump()
    # Then, and it is not read again
    assert window.seen(order_id) == [("refund", "needs_review", 400, "key:shop")]
    assert window.shelf.row("SELECT charge_due_at FROM payments").charge_due_at is None
