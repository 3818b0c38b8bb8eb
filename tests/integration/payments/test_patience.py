"""A call begins soon after its lease, or not at all: else another worker might make it too."""

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from pipeline.gateways.gateway import Answer, Call, Declined
from pipeline.saga import CHAIN
from pipeline.settings import Settings
from tests.integration.payments.stage import PAID, Stage, open_stage
from tests.support.harness import OWNER, Works
from tests.support.patience import WAIT_SECONDS
from tests.support.rivals import Crowd, Gate, spin_until
from tests.support.workbench import Spy

#: One call at a time. It may be begun up to a second after its lease.
NARROW: Final[dict[str, Any]] = {
    "gateway_concurrency": 1,
    "gateway_timeout_seconds": 1.0,
    "gateway_lease_seconds": 2.0,
}
PATIENCE_SECONDS: Final = 1.0

LEASE: Final = "SELECT leased_until, attempts FROM payment_operations WHERE kind = 'capture' AND checkout_id = :id"
IS_FREE: Final = (
    "SELECT leased_until < now() AS is_free FROM payment_operations WHERE kind = 'capture' AND checkout_id = :id"
)


@pytest.fixture
def narrow(engine: Engine, settings: Settings) -> Iterator[Stage]:
    """A stage whose calls queue up behind each other."""
    with open_stage(engine, settings, **NARROW) as stage:
        yield stage


class Jam:
    """Holds the first call of a verb until the one behind it comes too late, by the clock of the test."""

    def __init__(self, spy: Spy, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand in the way."""
        self.verb = verb
        self.order: list[UUID] = []
        self.ahead_seconds = 0.0
        spy.before = self._hold
        for module in ("pipeline.saga.executor", "pipeline.payments.gateway_calls"):
            monkeypatch.setattr(f"{module}.time", SimpleNamespace(monotonic=self._read_clock))

    def _read_clock(self) -> float:
        return time.monotonic() + self.ahead_seconds

    def _hold(self, verb: str, call: Call) -> None:
        if verb != self.verb:
            return
        self.order.append(call.checkout_id)
        if len(self.order) == 1:
            self.ahead_seconds += PATIENCE_SECONDS


def refuse_captures(verb: str, answer: Answer) -> Answer:
    """Let the bank take the money and say no."""
    return Declined("do_not_honor") if verb == "capture" else answer


@pytest.mark.parametrize("verb", ["open", "authorize", "capture", "cancel", "refund", "retrieve"])
def test_a_call_whose_lease_has_nearly_run_out_is_made_later(
    narrow: Stage, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given two checkouts whose calls of one verb go out in one batch, one behind the other
    spy, works = narrow.spy, narrow.works
    card = "tok_action_required" if verb == "retrieve" else "tok_ok"
    ids = [narrow.start(card), narrow.start(card)]
    if verb == "retrieve":
        works.pump()
        for id_ in ids:
            narrow.bank.approve(narrow.reference(id_))
            works.service.resume(id_, OWNER)
    if verb == "cancel":
        works.pump(until="payment_capture")
        for id_ in ids:
            works.service.cancel(id_, OWNER)
    if verb == "refund":
        spy.replace = refuse_captures
    # ... whose leases are of one transaction, however long the calls before them took
    monkeypatch.setattr("pipeline.payments.gateway_calls.GATHER_SECONDS", WAIT_SECONDS)
    jam = Jam(spy, verb, monkeypatch)
    # When the first is slow
    with capture_logs() as logs:
        works.pump()
    # Then the second was not made at that time, and no attempt of it was counted
    skipped = [each for each in logs if each["event"] == "gateway.not_called"]
    assert [(each["verb"], each["checkout_id"]) for each in skipped] == [(verb, str(jam.order[1]))]
    assert sorted(map(str, jam.order)) == sorted(map(str, ids))
    assert narrow.shelf.rows("SELECT DISTINCT attempts, leased_until FROM payment_operations") == [(0, None)]
    # ... it was made later, and both have had one effect
    totals = {"cancel": (0, 0, 0), "refund": (0, 700, 700)}.get(verb, (0, 700, 0))
    ends = {"cancel": "cancelled", "refund": "failed"}.get(verb, "completed")
    assert works.states(ids) == [ends, ends]
    for id_ in ids:
        found = narrow.totals(id_)
        assert (found.authorized_minor, found.captured_minor, found.refunded_minor) == totals
    assert narrow.shelf.rows("SELECT DISTINCT calls FROM sandbox.requests") == [(1,)]


def test_a_call_that_was_taken_over_meanwhile_is_left_to_the_other(narrow: Stage, engine: Engine, crowd: Crowd) -> None:
    # Given a process that leased two captures and froze before it made the second
    ids = [narrow.start("tok_ok"), narrow.start("tok_ok")]
    narrow.works.pump(until="payment_capture")
    frozen = Gate(narrow.spy, "capture", "before")
    pumping = crowd.begin(narrow.works.pump)
    frozen.wait()
    [first] = [call.checkout_id for verb, call in narrow.spy.calls if verb == "capture"]
    [second] = [id_ for id_ in ids if id_ != first]
    # ... another that has leased the second after its lease ended, and whose call is in flight
    other_spy = Spy(narrow.bank)
    other = Works(engine, narrow.settings, other_spy)
    working = Gate(other_spy, "capture", "before")
    spin_until(lambda: bool(narrow.shelf.row(IS_FREE, id=second).is_free), "the lease does not run out")
    taking = crowd.begin(lambda: other.runner.run(CHAIN[5], [second]))
    working.wait()
    lease = narrow.shelf.row(LEASE, id=second)
    assert lease.attempts == 1
    # When the first process wakes
    frozen.open()
    pumping.result(10)
    # Then it leaves that call alone, and the other's lease too
    assert [call.checkout_id for verb, call in narrow.spy.calls if verb == "capture"] == [first]
    assert narrow.shelf.row(LEASE, id=second) == lease
    # When the other goes on
    working.open()
    taking.result(10)
    other.pump()
    other.executor.close()
    # Then
    assert narrow.works.states(ids) == ["completed", "completed"]
    assert [narrow.totals(id_) for id_ in ids] == [PAID, PAID]
    assert narrow.entries().count(("capture", 700)) == 2


def test_an_answer_that_comes_after_the_lease_leaves_the_lease_of_another(
    narrow: Stage, engine: Engine, crowd: Crowd
) -> None:
    # Given a process that froze during its call, which had no effect
    checkout_id = narrow.start("tok_capture_error")
    narrow.works.pump(until="payment_capture")
    frozen = Gate(narrow.spy, "capture", "after")
    pumping = crowd.begin(narrow.works.pump)
    frozen.wait()
    # ... and another that makes the same call once the lease has run out
    other_spy = Spy(narrow.bank)
    other = Works(engine, narrow.settings, other_spy)
    working = Gate(other_spy, "capture", "before")
    spin_until(lambda: bool(narrow.shelf.row(IS_FREE, id=checkout_id).is_free), "the lease does not run out")
    taking = crowd.begin(lambda: other.runner.run(CHAIN[5], [checkout_id]))
    working.wait()
    lease = narrow.shelf.row(LEASE, id=checkout_id).leased_until
    # When the first wakes with an answer that says nothing
    frozen.open()
    pumping.result(10)
    # Then it waits for the other
    assert narrow.shelf.row(LEASE, id=checkout_id).leased_until == lease
    assert [verb for verb, _ in narrow.spy.calls].count("capture") == 1
    # When the other goes on
    working.open()
    taking.result(10)
    other.pump()
    other.executor.close()
    # Then
    assert narrow.settle(checkout_id) == "completed"
    assert narrow.totals(checkout_id) == PAID
    assert narrow.shelf.rows("SELECT calls FROM sandbox.requests WHERE key LIKE '%capture%'") == [(2,)]
