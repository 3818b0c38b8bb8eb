"""Every fault of a refund x whatever may come first x one order or several: each is paid back once, or not at all.

| way     | what comes while the call is out                                                |
|---------|---------------------------------------------------------------------------------|
| first   | nothing                                                                         |
| rival   | its message comes again, to another process                                     |
| webhook | the bank's webhook of the refund is worked on before its answer is recorded     |
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final
from uuid import UUID

import pytest
from sqlalchemy import Engine

from pipeline.gateways.charges import ChargeCall
from pipeline.messaging import WEBHOOKS
from pipeline.orders.requests import CancelRequest, ChangeRequest, Resolution
from pipeline.settings import Settings
from tests.integration.orders.counter import Counter, cancel, refund
from tests.support.failpoints import SimulatedCrash
from tests.support.harness import Works
from tests.support.mail import Mail
from tests.support.workbench import Spy

FAULTS: Final = (
    *("ok", "declined", "timeout_before", "timeout_after", "error", "error_after", "malformed", "slow", "unavailable"),
    *("broken", "misconfigured", "crash_before", "crash_after"),
)
WAYS: Final = ("first", "rival", "webhook")
REQUESTS: Final[dict[str, ChangeRequest]] = {"refund": refund((1, 2)), "cancel": cancel()}
#: What one of them pays back: two cups of three and a pot, or all of it.
AMOUNTS: Final = {"refund": 500, "cancel": 1000}
#: A bank that never answers is asked by hand, and so is one that refuses access.
ASKED: Final = {"broken": "refund_unresolved", "misconfigured": "gateway_misconfigured"}


@dataclass(frozen=True)
class Case:
    """One field of the matrix."""

    verb: str
    fault: str
    way: str
    count: int

    @property
    def token(self) -> str:
        """Return the token that makes the call go wrong in this way."""
        is_real = self.fault not in ("ok", "crash_before", "crash_after")
        return f"tok_refund_amount_{self.fault}" if is_real else "tok_ok"

    def __str__(self) -> str:
        """Name it in a test's id."""
        return f"{self.verb}-{self.fault}-{self.way}-{self.count}"


CASES: Final = [Case(*each) for each in product(REQUESTS, FAULTS, WAYS, (1, 3))]


class Trouble:
    """What goes on while calls are out: it stands in the spy."""

    def __init__(self, counter: Counter, case: Case) -> None:
        """Stand ready."""
        self.counter, self.case = counter, case
        self.changes: Sequence[UUID] = ()
        self.crashes = self.rivals = self.letters = 0
        self.failures: list[Exception] = []
        self._watch = Spy(counter.bank)
        self._rival = Works(counter.engine, counter.settings, self._watch)
        self._mail = Mail(counter.works, counter.bank, counter.spy)

    def begin(self, changes: Sequence[UUID]) -> None:
        """From now on calls go wrong."""
        self.changes = changes
        self.counter.spy.before_charge, self.counter.spy.after_charge = self._before, self._after

    def end(self) -> None:
        """Assert that it has happened, and let the bank be as it is."""
        self.counter.spy.before_charge = self.counter.spy.after_charge = None
        self._rival.executor.close()
        assert self.failures == []
        assert self.crashes == self.case.fault.startswith("crash")
        assert self._watch.charge_calls == []
        if self.case.way == "rival":
            assert self.rivals >= 1
        if self.case.way == "webhook":
            assert self.letters >= 1

    def _before(self, verb: str, _call: ChargeCall) -> None:
        if verb == "refund_amount" and self.case.fault == "crash_before" and not self.crashes:
            self.crashes += 1
            raise SimulatedCrash(verb)

    def _after(self, verb: str, _call: ChargeCall) -> None:
        if verb != "refund_amount":
            return
        try:
            if self.case.way == "rival":
                self.rivals += 1
                self._rival.changes.run(self.changes)
            if self.case.way == "webhook":
                self.letters += 1
                self._mail.works = self.counter.works
                self._mail.deliver(self._mail.collect())
                self.counter.works.inbox.run(self.counter.works.line.take(WEBHOOKS))
        except Exception as error:
            # On a thread of the executor's, which takes any exception for a bank that fell silent.
            self.failures.append(error)
            raise
        if self.case.fault == "crash_after" and not self.crashes:
            self.crashes += 1
            raise SimulatedCrash(verb)


@pytest.fixture
def counter(engine: Engine, settings: Settings) -> Iterator[Counter]:
    """A shop that gives up soon, and a bank whose slowness is no time-out."""
    soon = {"max_attempts": 2, "gateway_timeout_seconds": 3.0, "gateway_lease_seconds": 4.0, "retry_cap_seconds": 0.05}
    opened = Counter(engine, settings.model_copy(update=soon))
    opened.shelf.run("UPDATE stock_levels SET on_hand = 50")
    opened.shelf.run(
        "INSERT INTO stock_movements (variant_id, location_id, kind, quantity)"
        " SELECT variant_id, location_id, 'receive', 45 FROM stock_levels"
    )
    yield opened
    opened.close()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_bank_pays_each_back_once_or_not_at_all(counter: Counter, case: Case) -> None:
    # Given
    orders = [counter.place(token=case.token) for _ in range(case.count)]
    trouble = Trouble(counter, case)
    changes = [counter.ask(each, REQUESTS[case.verb]).change_id for each in orders]
    trouble.begin(changes)
    # When
    states = settle(counter, changes)
    trouble.end()
    # Then
    is_asked = case.fault in ASKED
    state = "needs_review" if is_asked else "failed" if case.fault == "declined" else "done"
    assert states == [state] * case.count
    assert counter.repaid() == ([AMOUNTS[case.verb]] * case.count if state == "done" else [])
    if is_asked:
        assert {counter.outcome(each)["code"] for each in changes} == {ASKED[case.fault]}
        counter.shelf.run("UPDATE payments SET token = 'tok_ok'")
        for each in changes:
            counter.works.orders.settle(each, Resolution.RETRY, actor="operator:ada", reason="the bank is well again")
        assert settle(counter, changes) == ["done"] * case.count
        assert counter.repaid() == [AMOUNTS[case.verb]] * case.count
    # ... and of a cancel that was refused nothing has happened
    is_done = case.fault != "declined"
    is_cancelled = is_done and isinstance(REQUESTS[case.verb], CancelRequest)
    assert {counter.order_state(each) for each in orders} == {"cancelled" if is_cancelled else "placed"}
    assert counter.shelf.stock("cup") == (50 if is_cancelled else 50 - 3 * case.count, 0)
    last = {"refund": "order.refunded", "cancel": "order.cancelled"}[case.verb] if is_done else "order.refund_failed"
    # An answer that comes after the webhook is noted, and changes nothing.
    told = [[kind for kind in counter.events(each) if kind != "order.late_answer"] for each in orders]
    assert [kinds[-1] for kinds in told] == [last] * case.count
    # ... and a message that comes once more changes nothing
    calls = len(counter.spy.charge_calls)
    counter.works.changes.run(changes)
    assert len(counter.spy.charge_calls) == calls


def settle(counter: Counter, changes: Sequence[UUID]) -> list[str]:
    """Settle them; after the death of the engine, with another one, once the leases have ended."""
    try:
        return counter.settle(*changes)
    except SimulatedCrash:
        counter.restart()
        counter.run_leases_out()
        return counter.settle(*changes)
