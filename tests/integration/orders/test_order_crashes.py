"""The process dies at each boundary of a change, and everything ends as if it had not.

The boundaries are counted by passing by: before each commit, before and after each message and each call of the bank.
"""

from collections import Counter as Count
from collections.abc import Iterator
from dataclasses import replace
from typing import Final
from uuid import UUID

import pytest
from sqlalchemy import Engine

from pipeline.orders.requests import ChangeRequest
from pipeline.settings import Settings
from tests.integration.orders.counter import Counter, cancel, fulfill, refund, restock
from tests.support.failpoints import Crash, FailingWorks, Failpoints, SimulatedCrash
from tests.support.patience import WAIT_SECONDS
from tests.support.workbench import Spy

REQUESTS: Final[dict[str, ChangeRequest]] = {
    "refund": refund((1, 2)),
    "cancel": cancel(),
    "restock": restock((1, 2)),
    "fulfillment": fulfill((1, 2)),
}
#: What the bank pays back, and how many of the three cups are on the shelf again.
EFFECTS: Final = {"refund": (500, 0), "cancel": (1000, 3), "restock": (0, 2), "fulfillment": (0, 0)}
EVENTS: Final = {
    "refund": "order.refunded",
    "cancel": "order.cancelled",
    "restock": "order.restocked",
    "fulfillment": "order.fulfilled",
}
STOCK: Final = 10_000
#: Calls of a batch are alike: the first and the last stand for all.
MOST_POINTS: Final = 12


class CountingFailpoints(Failpoints):
    """Failpoints that count how often each is passed by."""

    def __init__(self) -> None:
        """Count from none."""
        super().__init__()
        self.passed: Count[str] = Count()

    def pass_by(self, name: str) -> None:
        """Count it, and raise if a crash is armed here."""
        self.passed[name] += 1
        super().pass_by(name)


class Scene:
    """A shop whose process can die."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Put it together."""
        self.counter = Counter(engine, settings)
        self.counter.works.close()
        self.works = FailingWorks(engine, settings)
        self.points = CountingFailpoints()
        self.passed: dict[str, int] = {}
        self.works.failpoints = self.points
        self.works.line._failpoints = self.points  # type: ignore[attr-defined]
        self.counter.works = self.works
        self.counter.spy = Spy(self.works.bank)
        self.counter.shelf.run("UPDATE stock_levels SET on_hand = :stock", stock=STOCK)
        self.counter.shelf.run(
            "INSERT INTO stock_movements (variant_id, location_id, kind, quantity)"
            " SELECT variant_id, location_id, 'receive', :more FROM stock_levels",
            more=STOCK - 5,
        )

    def play(self, verb: str, count: int, crash: Crash | None) -> list[UUID]:
        """Request these changes of new orders and do them; at the crash another process goes on. Return the orders."""
        orders = [self.counter.place() for _ in range(count)]
        self.points.passed.clear()
        self.points.armed = crash
        for attempt in range(2):
            try:
                asked = [self.counter.ask(each, REQUESTS[verb], key=f"{each}") for each in orders]
                self.works.pump()
            except SimulatedCrash:
                assert attempt == 0
                self.points.armed = None
                self.works.line.lose_all()
                self.works.restart()
                self.counter.run_leases_out()
            else:
                break
        self.passed = dict(self.points.passed)
        assert self.points.armed is None
        self.counter.run_leases_out()
        assert self.counter.settle(*(each.change_id for each in asked)) == ["done"] * count
        return orders

    def judge(self, verb: str, orders: list[UUID]) -> None:
        """Assert that each of these changes had its effects once."""
        paid, restocked = EFFECTS[verb]
        for order_id in orders:
            named = {"id": order_id}
            repaid = self.counter.shelf.rows(
                "SELECT e.amount_minor FROM sandbox.entries e JOIN payments p USING (reference)"
                " JOIN orders o USING (checkout_id) WHERE o.id = :id AND e.kind = 'refund'",
                **named,
            )
            assert repaid == ([(paid,)] if paid else [])
            moved = self.counter.shelf.rows(
                "SELECT sum(m.quantity) FROM stock_movements m JOIN order_changes c ON c.id = m.change_id"
                " JOIN variants v ON v.id = m.variant_id WHERE c.order_id = :id AND v.sku = 'cup'",
                **named,
            )
            assert moved == [(restocked or None,)]
            assert self.counter.events(order_id) == [EVENTS[verb]]


@pytest.fixture
def scene(engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A shop whose process can die. No lease ends by itself: the test ends it."""
    # All answers of a batch are stored together, so that each run passes by the same boundaries.
    monkeypatch.setattr("pipeline.payments.gateway_calls.GATHER_SECONDS", WAIT_SECONDS)
    calm = {"gateway_lease_seconds": 60.0, "gateway_timeout_seconds": 3.0, "redeliver_after_seconds": 5}
    opened = Scene(engine, settings.model_copy(update=calm))
    yield opened
    opened.works.close()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("verb", REQUESTS)
def test_a_process_that_dies_at_any_point_changes_nothing_of_the_end(scene: Scene, verb: str, count: int) -> None:
    scene.judge(verb, scene.play(verb, count, None))
    points = [
        Crash(where, nth)
        for where, passes in sorted(scene.passed.items())
        for nth in sorted({0, passes - 1, *range(min(passes, MOST_POINTS))})
    ]
    expected = {"before_commit", "before_send", "after_send"}
    assert {each.where for each in points} == expected | ({"before_call", "after_call"} if EFFECTS[verb][0] else set())
    for point in points:
        orders = scene.play(verb, count, replace(point))
        scene.judge(verb, orders)
