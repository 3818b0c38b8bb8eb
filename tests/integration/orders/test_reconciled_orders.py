"""The reconciler knows the life of orders: no finding for what is recorded, one with a remedy for what is not."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from pipeline.settings import Settings
from tests.integration.orders.bank_window import BankWindow
from tests.integration.orders.counter import cancel, refund, restock
from tests.integration.reconciliation.counter import compare, outcomes, repair


@pytest.fixture
def window(engine: Engine, settings: Settings) -> Iterator[BankWindow]:
    """A shop with its engine, its bank and the bank's dashboard; the tests end with what they found."""
    opened = BankWindow(engine, settings)
    yield opened
    opened.close()


def settle(window: BankWindow) -> list[tuple[str, str, str | None, str | None]]:
    """Repair all findings; return what was done."""
    return outcomes(repair(window.works, compare(window.works).findings))


def test_the_normal_life_of_a_shop_gives_no_finding(window: BankWindow) -> None:
    # Given refunds by line and amount, a restock, a cancel, a refund of the dashboard, disputes open, won and lost
    first, second, third, fourth = (window.place(("pot", 1)) for _ in range(4))
    assert window.do(first, refund((1, 1))) == "done"
    assert window.do(first, restock((1, 1))) == "done"
    assert window.do(second, refund(amount_minor=100)) == "done"
    assert window.do(second, cancel()) == "done"
    window.dashboard.refund(window.payment(third), 100)
    disputes = [window.dashboard.open_dispute(window.payment(each), 50) for each in (third, fourth, fourth)]
    window.dashboard.close_dispute(disputes[0], won=True)
    window.dashboard.close_dispute(disputes[1], won=False)
    window.mail()
    # When, then
    window.assert_clean()
    assert settle(window) == []


def test_a_refund_without_a_change_is_recorded(window: BankWindow) -> None:
    order_id = window.place()
    reference = window.dashboard.refund(window.payment(order_id), 300)
    assert window.find() == [("refund_not_recorded", reference)]
    assert settle(window) == [("refund_not_recorded", "recorded as a change", "3.00 EUR", None)]
    assert window.seen(order_id) == [("refund", "done", 300, "provider")]
    window.assert_clean()


def test_a_whole_refund_without_a_change_is_no_missing_charge(window: BankWindow) -> None:
    order_id = window.place()
    reference = window.dashboard.refund(window.payment(order_id), 1000)
    assert window.find() == [("refund_not_recorded", reference)]
    settle(window)
    assert window.left(order_id) == 0
    window.assert_clean()


def test_a_refund_that_failed_unseen_is_reopened(window: BankWindow) -> None:
    order_id = window.place()
    assert window.do(order_id, refund(amount_minor=400)) == "done"
    reference = str(window.shelf.row("SELECT reference FROM refunds").reference)
    window.dashboard.fail_refund(reference)
    assert window.find() == [("refund_missing", reference)]
    assert settle(window) == [("refund_missing", "reopened for review", "4.00 EUR", None)]
    assert window.seen(order_id) == [("refund", "needs_review", 400, "key:shop")]
    window.assert_clean()


def test_a_refund_that_the_provider_does_not_have_is_for_a_person(window: BankWindow) -> None:
    order_id = window.place()
    assert window.do(order_id, refund(amount_minor=400)) == "done"
    reference = str(window.shelf.row("SELECT reference FROM refunds").reference)
    window.shelf.run("DELETE FROM sandbox.refunds")
    window.shelf.run("UPDATE sandbox.payments SET refunded_minor = 0")
    assert window.find() == [("refund_missing", reference)]
    assert settle(window) == []
    assert window.seen(order_id) == [("refund", "done", 400, "key:shop")]


def test_another_amount_is_for_a_person(window: BankWindow) -> None:
    order_id = window.place()
    assert window.do(order_id, refund(amount_minor=400)) == "done"
    reference = str(window.shelf.row("SELECT reference FROM refunds").reference)
    window.shelf.run("UPDATE sandbox.refunds SET amount_minor = 399")
    window.shelf.run("UPDATE sandbox.payments SET refunded_minor = 399")
    assert window.find() == [("refund_differs", reference)]
    window.works.charges.run([window.checkout(order_id)])
    assert settle(window) == []
    assert window.seen(order_id) == [("refund", "done", 400, "key:shop")]


@pytest.mark.parametrize("end", [None, True, False])
def test_a_dispute_that_is_not_recorded_is(window: BankWindow, *, end: bool | None) -> None:
    order_id = window.place()
    reference = window.dashboard.open_dispute(window.payment(order_id), 300)
    if end is not None:
        window.mail()
        window.dashboard.close_dispute(reference, won=end)
    assert window.find() == [("dispute_not_recorded", reference)]
    assert settle(window) == [("dispute_not_recorded", "recorded", "3.00 EUR", None)]
    assert window.seen(order_id) == [("dispute", "running" if end is None else "done", 300, "provider")]
    window.assert_clean()


def test_a_refund_of_an_old_order_is_compared_too(window: BankWindow) -> None:
    # Given an order whose payment is older than the list, with a refund that failed unseen
    order_id = window.place()
    window.shelf.run("UPDATE sandbox.payments SET created_at = now() - interval '30 days'")
    window.shelf.force("UPDATE payments SET created_at = now() - interval '30 days'")
    window.shelf.force("UPDATE checkouts SET ended_at = now() - interval '30 days'")
    assert window.do(order_id, refund(amount_minor=400)) == "done"
    reference = str(window.shelf.row("SELECT reference FROM refunds").reference)
    window.dashboard.fail_refund(reference)
    assert window.find() == [("refund_missing", reference)]


def test_a_refund_that_is_made_during_the_comparison_is_no_difference(window: BankWindow) -> None:
    # Given a refund of the engine between the provider's answer and the look at the database
    order_id = window.place()
    assert window.do(order_id, refund(amount_minor=100)) == "done"
    asked: list[str] = []

    def refund_too(verb: str, _call: object) -> None:
        if verb == "retrieve_charge" and not asked:
            asked.append(window.do(order_id, refund(amount_minor=200)))

    window.spy.after_charge = refund_too
    assert window.find() == []
    assert asked == ["done"]
