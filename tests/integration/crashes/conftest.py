"""A process to be killed, and the way back from it."""

import json
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from models.states import TERMINAL
from pipeline.audit import audit
from pipeline.settings import Settings
from tests.integration.crashes.points import Point
from tests.integration.crashes.scenes import ALL, Effects
from tests.support.harness import Shelf, Works, build_works
from tests.support.pages import ROOT

#: Nothing waits for a clock: whoever brings them back lets the time pass.
TIMES = {
    "redeliver_after_seconds": 5.0,
    "retry_seconds": 0.05,
    "retry_cap_seconds": 0.1,
    "gateway_timeout_seconds": 2.0,
    "gateway_lease_seconds": 60.0,
}
ROUNDS = 40


@dataclass
class Crashes:
    """Plays scenes in processes that die, and judges what is left."""

    engine: Engine
    settings: Settings
    works: Works
    shelf: Shelf
    victim: subprocess.Popen[str]

    def play(
        self, scene: str, count: int, point: Point | None = None, *, broken: str | None = None
    ) -> tuple[list[UUID], dict[str, Any]]:
        """Start checkouts, and have a process work on them until it dies; returns them, and what it passed by."""
        story = ALL[scene]
        ids = [self.works.start(self.shelf.add_cart(("cup", 1)), token=story.token) for _ in range(count)]
        story.prepare(self.works, self.shelf, ids)
        waiting = [[each.queue, str(each.subject_id), each.sent_at.isoformat()] for each in self._take_waiting()]
        order = {
            "scene": scene,
            "ids": [str(each) for each in ids],
            "waiting": waiting,
            "point": None if point is None else [point.where, point.what, point.nth],
            "broken": broken,
            "settings": reveal(self.settings),
        }
        assert self.victim.stdin is not None
        assert self.victim.stdout is not None
        self.victim.stdin.write(json.dumps(order) + "\n")
        self.victim.stdin.flush()
        return ids, json.loads(self.victim.stdout.readline())

    def recover(self, scene: str, ids: Sequence[UUID]) -> None:
        """Let time pass, with a sweep and workers that know nothing of what was."""
        for round_ in range(ROUNDS):
            states = {self.works.status(each).state for each in ids}
            is_repeated = round_ in {0, ROUNDS // 2}
            if states <= TERMINAL and not (is_repeated and ALL[scene].effects) and self.shelf.rows(OPEN) == []:
                return
            if is_repeated:
                for each in ids:
                    ALL[scene].repeat(self.works, each)
            self.shelf.run("UPDATE checkouts SET due_at = now() WHERE due_at IS NOT NULL AND ended_at IS NULL")
            for sql in LATER:
                self.shelf.run(sql)
            self.works.sweep()
            self.works.pump()

    def object_to(self, scene: str, ids: Sequence[UUID]) -> list[str]:
        """Return what is not as it must be: the ending, one order and one charge or none of both, nothing held."""
        if (effects := ALL[scene].effects) is not None:
            return self._object_to_changes(effects, ids)
        wanted = ALL[scene].ending
        is_bought = int(wanted == "completed")
        rows = self.shelf.rows(JUDGE, ids=list(ids))
        return [
            f"{name} {found} instead of {right}"
            for row in rows
            for name, found, right in zip(
                ("state", "orders placed", "kept at the bank", "captures less refunds", "held", "authorised and open"),
                row,
                (wanted.value, is_bought, 250 * is_bought, is_bought, 0, 0),
                strict=True,
            )
            if found != right
        ] + ([] if len(rows) == len(ids) else ["a checkout is gone"])

    def _object_to_changes(self, effects: Effects, ids: Sequence[UUID]) -> list[str]:
        """Return what is not as it must be: one change that is done, and each of its effects once."""
        refunds = int(effects.refunded_minor > 0)
        right = ("done", effects.refunded_minor, refunds, effects.restocked, effects.event, effects.order, 1)
        rows = [tuple(row) for row in self.shelf.rows(JUDGE_CHANGES, ids=list(ids))]
        return [f"{row} instead of {right}" for row in rows if row != right] + (
            [] if len(rows) == len(ids) else [f"{len(rows)} changes of {len(ids)} orders"]
        )

    def audit(self) -> list[str]:
        """Return the invariants that are broken."""
        with self.engine.connect() as connection:
            return [each.invariant for each in audit(connection, self.settings)]

    def _take_waiting(self) -> list[Any]:
        found = [each for queue in self.works.line.waiting.values() for each in queue]
        self.works.line.waiting = {queue: deque() for queue in self.works.line.waiting}
        return found


LATER = (
    "UPDATE payment_operations SET leased_until = now(), updated_at = now() - interval '1 min'"
    " WHERE leased_until IS NOT NULL OR status = 'unknown'",
    "UPDATE refunds SET leased_until = now() WHERE leased_until IS NOT NULL",
    "UPDATE order_changes SET due_at = now() WHERE due_at IS NOT NULL",
)
OPEN = "SELECT id FROM order_changes WHERE state IN ('requested', 'running')"

JUDGE = """
    SELECT c.state,
           (SELECT count(*) FROM orders o WHERE o.checkout_id = c.id AND o.state = 'placed'),
           CAST(coalesce((SELECT sum(s.captured_minor - s.refunded_minor) FROM sandbox.payments s
                          WHERE s.checkout_id = c.id), 0) AS int),
           (SELECT count(*) FILTER (WHERE e.kind = 'capture') - count(*) FILTER (WHERE e.kind = 'refund')
            FROM sandbox.entries e JOIN sandbox.payments s USING (reference) WHERE s.checkout_id = c.id),
           (SELECT count(*) FROM reservations r WHERE r.checkout_id = c.id AND r.state = 'held'),
           (SELECT count(*) FROM sandbox.payments s WHERE s.checkout_id = c.id AND s.status = 'authorized')
    FROM checkouts c WHERE c.id = ANY(CAST(:ids AS uuid[]))
"""


JUDGE_CHANGES = """
    SELECT c.state,
           CAST(coalesce((SELECT sum(e.amount_minor) FROM sandbox.entries e JOIN sandbox.payments s USING (reference)
                          WHERE s.checkout_id = c.checkout_id AND e.kind = 'refund'), 0) AS int),
           (SELECT count(*) FROM sandbox.entries e JOIN sandbox.payments s USING (reference)
            WHERE s.checkout_id = c.checkout_id AND e.kind = 'refund'),
           CAST(coalesce((SELECT sum(m.quantity) FROM stock_movements m WHERE m.change_id = c.id), 0) AS int),
           (SELECT string_agg(e.kind, ' ') FROM events e
            WHERE e.checkout_id = c.checkout_id AND e.kind LIKE 'order.%' AND e.kind <> 'order.placed'),
           o.state, (SELECT count(*) FROM order_changes n WHERE n.order_id = o.id)
    FROM order_changes c JOIN orders o ON o.id = c.order_id
    WHERE c.checkout_id = ANY(CAST(:ids AS uuid[]))
"""


def reveal(settings: Settings) -> dict[str, Any]:
    """Return settings as they are passed to another process."""
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in values.items()
        if value is not None
    }


@pytest.fixture(scope="module")
def victim() -> Iterator[subprocess.Popen[str]]:
    """A process that forks one to be killed for each scene. It holds nothing of a test: a file starts it once."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.crashes.victim"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def crashes(engine: Engine, settings: Settings, shelf: Shelf, victim: subprocess.Popen[str]) -> Iterator[Crashes]:
    """A shop of many cups, and a process to be killed."""
    shelf.add_variant("cup", stock=100_000, price_minor=250)
    patient = settings.model_copy(update=TIMES)
    with build_works(engine, patient) as works:
        yield Crashes(engine, patient, works, shelf, victim)
