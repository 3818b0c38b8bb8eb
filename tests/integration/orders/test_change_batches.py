"""Batches of changes: a slow call holds up none of the others, nor does a failing change; and none is lost."""

import threading
from uuid import UUID

import pytest

from pipeline.gateways.charges import ChargeCall
from pipeline.messaging.ports import ORDER_CHANGES
from pipeline.orders import runner
from pipeline.orders.changes import LockedChange
from pipeline.orders.refunds.policy import Plan, plan_refund
from pipeline.settings import Settings
from tests.integration.orders.counter import Counter, refund
from tests.support.rivals import SECONDS, Crowd, spin_until


@pytest.fixture
def orders(counter: Counter) -> list[UUID]:
    """Three orders of one cup each."""
    return [counter.place(("cup", 1)) for _ in range(3)]


def test_a_slow_call_does_not_hold_up_its_batch(counter: Counter, orders: list[UUID], crowd: Crowd) -> None:
    changes = [counter.ask(each, refund((1, 1))).change_id for each in orders]
    slow = counter.shelf.row("SELECT checkout_id FROM orders WHERE id = :id", id=orders[1]).checkout_id
    is_open = threading.Event()

    def hang(_verb: str, call: ChargeCall) -> None:
        if call.checkout_id == slow:
            assert is_open.wait(SECONDS)

    counter.spy.after_charge = hang
    running = crowd.begin(lambda: counter.works.changes.run(changes))
    spin_until(lambda: [counter.state(each) for each in changes] == ["done", "running", "done"], "the others wait")
    is_open.set()
    running.result()
    assert counter.state(changes[1]) == "done"


def test_a_change_that_raises_is_isolated_and_reviewed_in_the_end(
    counter: Counter, orders: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [counter.ask(each, refund((1, 1))).change_id for each in orders]

    def plan(change: LockedChange, settings: Settings) -> Plan:
        if change.id == changes[0]:
            raise RuntimeError("it cannot be planned")
        return plan_refund(change, settings)

    monkeypatch.setattr(runner, "plan_refund", plan)
    assert counter.settle(*changes) == ["needs_review", "done", "done"]
    outcome = counter.outcome(changes[0])
    assert (outcome["code"], outcome["detail"]["attempts"]) == ("attempts_exhausted", 5)
    assert outcome["detail"]["error"] == "RuntimeError('it cannot be planned')"
    assert counter.repaid() == [250, 250]


def test_what_redis_did_not_take_is_sent_by_the_sweep(counter: Counter, orders: list[UUID]) -> None:
    counter.works.line.away = True
    change = counter.ask(orders[0], refund((1, 1)))
    counter.works.line.away = False
    assert ORDER_CHANGES not in counter.works.line.waiting
    counter.run_leases_out()
    assert counter.works.sweep().order_changes == 1
    counter.works.pump()
    assert counter.state(change.change_id) == "done"
    assert counter.works.sweep().order_changes == 0


def test_what_crashes_its_worker_each_time_is_reviewed(counter: Counter, orders: list[UUID]) -> None:
    change = counter.ask(orders[0], refund((1, 1)))
    attempts = []
    for _ in range(5):
        counter.works.line.lose_all()
        counter.run_leases_out()
        counter.works.sweep()
        attempts.append(counter.shelf.row("SELECT attempts FROM order_changes").attempts)
    assert attempts == [1, 2, 3, 4, 5]
    counter.works.pump()
    assert counter.state(change.change_id) == "needs_review"
    assert counter.outcome(change.change_id)["code"] == "attempts_exhausted"
    assert counter.repaid() == []


def test_a_backlog_costs_no_attempt_and_is_never_doubled(counter: Counter, orders: list[UUID]) -> None:
    counter.settings = counter.settings.model_copy(update={"sweep_limit": 4})
    counter.restart()
    changes = [counter.ask(each, refund((1, 1))).change_id for each in orders]
    counter.run_leases_out()
    # Three wait: there is room for one more.
    assert counter.works.sweep().order_changes == 1
    counter.run_leases_out()
    assert counter.works.sweep().order_changes == 0
    assert {attempts for (attempts,) in counter.shelf.rows("SELECT attempts FROM order_changes")} == {0}
    assert counter.settle(*changes) == ["done"] * 3
    assert counter.repaid() == [250] * 3
