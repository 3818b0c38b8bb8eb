"""A refund of unknown outcome: the same key while the provider knows it, then a question, and only then a new key."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from pipeline.errors import Code, Conflict, NotFound
from pipeline.gateways.charges import CannotTell, ChargeCall, FindRefundAnswer
from pipeline.orders.requests import Resolution
from pipeline.settings import Settings
from tests.integration.orders.bank_window import BankWindow
from tests.integration.orders.counter import Counter, cancel, refund
from tests.support.harness import Works
from tests.support.rivals import Crowd, Gate
from tests.support.workbench import Spy


class DumbSpy(Spy):
    """A bank that cannot be asked for a refund by its key."""

    def find_refund(self, call: ChargeCall) -> FindRefundAnswer:
        """Say so."""
        self.charge_calls.append(("find_refund", call))
        return CannotTell("refunds have no metadata here")


def called(counter: Counter) -> list[tuple[str, str]]:
    """Return the calls about refunds, each with the number of its key."""
    return [(verb, call.key.rpartition(":")[2]) for verb, call in counter.spy.charge_calls if verb != "retrieve_charge"]


def forget_keys(counter: Counter) -> None:
    """Let every key be older than the provider keeps one."""
    counter.settings = counter.settings.model_copy(update={"idempotency_key_max_age_seconds": 0})
    counter.restart()


@pytest.fixture
def dumb(engine: Engine, settings: Settings) -> Iterator[BankWindow]:
    """A shop whose bank cannot be asked, with keys that are too old at once."""
    old = {"idempotency_key_max_age_seconds": 0}
    opened = BankWindow(engine, settings.model_copy(update=old))
    opened.spy = DumbSpy(opened.bank)
    opened.restart()
    yield opened
    opened.close()


def test_a_young_key_is_repeated(counter: Counter) -> None:
    order_id = counter.place(token="tok_refund_amount_timeout_after")
    assert counter.do(order_id, refund((1, 1))) == "done"
    assert called(counter) == [("refund_amount", "1")] * 2
    assert counter.repaid() == [250]


@pytest.mark.parametrize(
    ("fault", "calls", "repaid"),
    [
        ("timeout_after", [("refund_amount", "1"), ("find_refund", "1")], [250]),
        ("timeout_before", [("refund_amount", "1"), ("find_refund", "1"), ("refund_amount", "2")], [250]),
    ],
)
def test_an_old_key_is_asked_for_before_there_is_a_new_one(
    counter: Counter, fault: str, calls: list[tuple[str, str]], repaid: list[int]
) -> None:
    order_id = counter.place(token=f"tok_refund_amount_{fault}")
    forget_keys(counter)
    if fault == "timeout_before":
        # The second key would have the fault of a first call too: the bank is well again by then.
        def recover(*_: object) -> None:
            counter.shelf.run("UPDATE payments SET token = 'tok_ok'")

        counter.spy.after_charge = recover
    change = counter.ask(order_id, refund((1, 1)))
    assert counter.settle(change.change_id) == ["done"]
    assert (called(counter), counter.repaid()) == (calls, repaid)
    absent = [(1, "declined", 250, "absent")] if fault == "timeout_before" else []
    assert counter.refunds(change.change_id) == [*absent, (len(absent) + 1, "succeeded", 250, None)]


def test_a_bank_that_cannot_be_asked_makes_it_wait_for_a_person(dumb: BankWindow) -> None:
    order_id = dumb.place(token="tok_refund_amount_timeout_after")
    change = dumb.ask(order_id, refund((1, 1)))
    assert dumb.settle(change.change_id) == ["needs_review"]
    outcome = dumb.outcome(change.change_id)
    assert (outcome["code"], outcome["detail"]) == (
        "refund_unresolved",
        {"amount": "2.50 EUR", "error": "timeout"},
    )
    assert dumb.events(order_id) == ["order.needs_review"]
    # It counts, and holds nothing else up
    with pytest.raises(Conflict) as refused:
        dumb.ask(order_id, refund((1, 3)))
    assert refused.value.code is Code.LINE_NOT_REFUNDABLE
    dumb.shelf.run("UPDATE payments SET token = 'tok_ok'")
    assert dumb.do(order_id, refund((2, 1))) == "done"


@pytest.mark.parametrize("resolution", Resolution)
def test_a_person_settles_it(dumb: BankWindow, resolution: Resolution) -> None:
    fault = "timeout_after" if resolution is Resolution.DONE else "timeout_before"
    order_id = dumb.place(token=f"tok_refund_amount_{fault}")
    change = dumb.ask(order_id, refund((1, 1)))
    dumb.settle(change.change_id)
    dumb.shelf.run("UPDATE payments SET token = 'tok_ok'")
    settled = dumb.works.orders.settle(change.change_id, resolution, actor="operator:ada", reason="seen there")
    assert settled.created is False
    state, repaid, refunds, event = {
        Resolution.RETRY: (
            "done",
            [250],
            [(1, "declined", 250, "absent"), (2, "succeeded", 250, None)],
            "order.change_retried",
        ),
        Resolution.DONE: ("done", [250], [(1, "succeeded", 250, "settled_by_person")], "order.refunded"),
        Resolution.FAILED: ("failed", [], [(1, "declined", 250, "settled_by_person")], "order.refund_failed"),
    }[resolution]
    assert dumb.settle(change.change_id) == [state]
    assert (dumb.repaid(), dumb.refunds(change.change_id)) == (repaid, refunds)
    told = dumb.told(event)
    assert (told["settled_by"], told["settled_reason"]) == ("operator:ada", "seen there")
    # What failed can be asked for again, and what was done cannot
    with pytest.raises(Conflict) as refused:
        dumb.works.orders.settle(change.change_id, Resolution.DONE, actor="operator:ada", reason="again")
    assert (refused.value.code, refused.value.detail["state"]) == (Code.CHANGE_NOT_IN_REVIEW, state)
    if resolution is Resolution.FAILED:
        assert dumb.do(order_id, refund((1, 3))) == "done"


def test_a_change_that_does_not_exist_cannot_be_settled(counter: Counter) -> None:
    order_id = counter.place()
    with pytest.raises(NotFound) as refused:
        counter.works.orders.settle(order_id, Resolution.DONE, actor="operator:ada", reason="?")
    assert refused.value.code is Code.CHANGE_UNKNOWN


def test_the_refund_of_a_cancel_that_came_back_is_paid_again_or_elsewhere(dumb: BankWindow) -> None:
    order_id = dumb.place()
    change = dumb.ask(order_id, cancel())
    assert dumb.settle(change.change_id) == ["done"]
    for expected in ("order.refund_failed", "order.refund_failed"):
        reference = dumb.shelf.row("SELECT reference FROM refunds WHERE status = 'succeeded'").reference
        dumb.dashboard.fail_refund(reference)
        dumb.mail()
        assert (dumb.state(change.change_id), dumb.events(order_id)[-1]) == ("needs_review", expected)
        # Nothing of it can be undone any more
        with pytest.raises(Conflict) as refused:
            dumb.works.orders.settle(change.change_id, Resolution.FAILED, actor="operator:ada", reason="no")
        assert refused.value.code is Code.ORDER_CANCELLED
        if len(dumb.refunds(change.change_id)) == 1:
            dumb.works.orders.settle(change.change_id, Resolution.RETRY, actor="operator:ada", reason="a new card")
            assert dumb.settle(change.change_id) == ["done"]
    dumb.works.orders.settle(change.change_id, Resolution.DONE, actor="operator:ada", reason="in cash")
    assert dumb.state(change.change_id) == "done"
    assert dumb.outcome(change.change_id)["elsewhere"] is True
    assert dumb.refunds(change.change_id) == [(1, "returned", 1000, None), (2, "returned", 1000, None)]
    # ... and what a cancel brings about has happened once
    assert dumb.shelf.stock("cup") == (5, 0)
    assert dumb.events(order_id).count("order.cancelled") == 1


def test_an_answer_whose_lease_was_taken_over_changes_nothing(counter: Counter, rival: Works, crowd: Crowd) -> None:
    # Given a call that hangs for longer than its lease, and another process that makes it again
    order_id = counter.place(token="tok_refund_amount_timeout_after")
    change_id = counter.ask(order_id, refund((1, 1))).change_id
    first = Gate(counter.spy, "refund_amount", "after_charge")
    hanging = crowd.begin(lambda: counter.works.changes.run([change_id]))
    first.wait()
    counter.run_leases_out()
    watch = Spy(counter.bank)
    second = Gate(watch, "refund_amount", "after_charge")
    rival.executor.close()
    rival.use(watch, backlog=rival.line)
    again = crowd.begin(lambda: rival.changes.run([change_id]))
    second.wait()
    lease = counter.shelf.rows("SELECT leased_until, attempts, status FROM refunds")
    # When the first one hears nothing
    first.open()
    hanging.result()
    # Then the lease of the other one is as it was
    assert counter.shelf.rows("SELECT leased_until, attempts, status FROM refunds") == lease
    second.open()
    again.result()
    assert counter.state(change_id) == "done"
    assert (counter.repaid(), counter.events(order_id)) == ([250], ["order.refunded"])
    assert [len(each.charge_calls) for each in (counter.spy, watch)] == [1, 1]
