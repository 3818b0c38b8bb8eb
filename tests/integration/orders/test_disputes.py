"""Disputes of the buyer's bank: recorded, told and counted at each step; what is disputed is not refunded."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from pipeline.errors import Code, Conflict
from pipeline.settings import Settings
from tests.integration.orders.bank_window import BankWindow
from tests.integration.orders.counter import cancel, refund


@pytest.fixture
def window(engine: Engine, settings: Settings) -> Iterator[BankWindow]:
    """A shop with its engine, its bank and the bank's dashboard."""
    opened = BankWindow(engine, settings)
    yield opened
    opened.assert_clean()
    opened.close()


def test_an_open_dispute_is_told_and_keeps_its_amount(window: BankWindow) -> None:
    # Given
    order_id = window.place()
    reference = window.dashboard.open_dispute(window.payment(order_id), 400)
    # When
    window.mail(times=3)
    # Then
    assert window.seen(order_id) == [("dispute", "running", 400, "provider")]
    told = window.told("order.disputed")
    assert (told["reference"], told["state"], told["reason"]) == (reference, "open", "fraudulent")
    assert (told["amount_minor"], told["currency"], told["actor"]) == (400, "EUR", "provider")
    assert window.left(order_id) == 600
    with pytest.raises(Conflict) as refused:
        window.ask(order_id, refund(amount_minor=601))
    assert refused.value.code is Code.ORDER_DISPUTED
    with pytest.raises(Conflict) as refused:
        window.ask(order_id, cancel())
    assert refused.value.code is Code.ORDER_DISPUTED
    # ... and no other change waits for it
    assert window.do(order_id, refund(amount_minor=600)) == "done"


def test_a_dispute_that_is_won_can_be_refunded_again(window: BankWindow) -> None:
    order_id = window.place()
    dispute = window.dashboard.open_dispute(window.payment(order_id), 400)
    window.mail()
    window.dashboard.close_dispute(dispute, won=True)
    window.mail(times=2)
    assert window.seen(order_id) == [("dispute", "done", 400, "provider")]
    assert [each["state"] for each in window.data("order.disputed")] == ["open", "won"]
    assert window.do(order_id, refund(all=True)) == "done"
    assert window.repaid() == [1000]


def test_a_dispute_that_is_lost_is_gone(window: BankWindow) -> None:
    order_id = window.place()
    dispute = window.dashboard.open_dispute(window.payment(order_id), 400)
    window.dashboard.close_dispute(dispute, won=False)
    # Both webhooks come after its end.
    window.mail()
    assert window.seen(order_id) == [("dispute", "done", 400, "provider")]
    assert [each["state"] for each in window.data("order.disputed")] == ["lost"]
    assert window.left(order_id) == 600
    with pytest.raises(Conflict) as refused:
        window.ask(order_id, refund(amount_minor=601))
    assert refused.value.code is Code.ORDER_DISPUTED


def test_another_amount_of_a_dispute_is_recorded(window: BankWindow) -> None:
    order_id = window.place()
    window.dashboard.open_dispute(window.payment(order_id), 400)
    window.mail()
    window.shelf.run("UPDATE sandbox.disputes SET amount_minor = 500")
    window.works.charges.run([window.checkout(order_id)])
    assert window.seen(order_id) == [("dispute", "running", 500, "provider")]
    assert [each["amount_minor"] for each in window.data("order.disputed")] == [400, 500]


def test_an_open_dispute_is_read_again_without_a_webhook(window: BankWindow) -> None:
    order_id = window.place()
    dispute = window.dashboard.open_dispute(window.payment(order_id), 400)
    window.mail()
    window.dashboard.close_dispute(dispute, won=True)
    window.shelf.run("UPDATE payments SET charge_due_at = now()")
    assert window.works.sweep().charges == 1
    window.works.pump()
    assert window.seen(order_id) == [("dispute", "done", 400, "provider")]
    assert window.shelf.row("SELECT charge_due_at FROM payments").charge_due_at is None


def test_one_worker_reads_a_charge_at_a_time(window: BankWindow) -> None:
    # Given a read under way, and a dispute that is opened meanwhile
    order_id = window.place()
    checkout_id = window.checkout(order_id)
    others: list[set[object]] = []

    def read_too(verb: str, _call: object) -> None:
        if verb == "retrieve_charge" and not others:
            others.append(set())
            window.dashboard.open_dispute(window.payment(order_id), 400)
            others[0] = set(window.works.charges.run([checkout_id]))

    window.spy.after_charge = read_too
    # When, then the other one is told to come again
    assert window.works.charges.run([checkout_id]) == {checkout_id}
    assert others == [set()]
    assert window.seen(order_id) == []
    window.mail()
    assert window.seen(order_id) == [("dispute", "running", 400, "provider")]


def test_an_answer_that_comes_after_its_lease_is_dropped(window: BankWindow) -> None:
    # Given a read that takes longer than its lease, while another one sees the end of the dispute
    order_id = window.place()
    checkout_id = window.checkout(order_id)
    dispute = window.dashboard.open_dispute(window.payment(order_id), 400)

    def delay(verb: str, _call: object) -> None:
        if verb == "retrieve_charge":
            window.spy.after_charge = None
            window.shelf.run("UPDATE payments SET charge_leased_until = now()")
            window.dashboard.close_dispute(dispute, won=True)
            assert window.works.charges.run([checkout_id]) == {checkout_id}

    window.spy.after_charge = delay
    # When
    assert window.works.charges.run([checkout_id]) == set()
    # Then what it saw is not applied: the dispute has ended
    assert window.seen(order_id) == [("dispute", "done", 400, "provider")]
    assert [each["state"] for each in window.data("order.disputed")] == ["won"]


def test_a_provider_that_does_not_answer_leaves_the_webhook_waiting(window: BankWindow) -> None:
    order_id = window.place()
    window.mail()
    window.dashboard.open_dispute(window.payment(order_id), 400)

    def be_away(verb: str, _call: object) -> None:
        if verb == "retrieve_charge":
            raise ConnectionError("no route to host")

    window.spy.before_charge = be_away
    window.mail()
    assert window.seen(order_id) == []
    waiting = "SELECT count(*) AS n FROM webhook_inbox WHERE status = 'received' AND due_at IS NOT NULL"
    assert window.shelf.row(waiting).n == 1
    window.spy.before_charge = None
    window.shelf.run("UPDATE webhook_inbox SET due_at = now() WHERE due_at IS NOT NULL")
    window.works.sweep()
    window.works.pump()
    assert window.seen(order_id) == [("dispute", "running", 400, "provider")]
