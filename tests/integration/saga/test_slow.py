"""What was sent again because a worker was slow is told apart from what was lost."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import pytest
from sqlalchemy import Engine

from pipeline.messaging import UNWIND
from pipeline.operations import diagnose, read_stats
from pipeline.operations.diagnostics import Severity
from pipeline.saga.chain import CHAIN
from pipeline.saga.slow import Watch
from pipeline.settings import Settings
from tests.support.harness import Shelf, Works

FIRST = CHAIN[0]


@contextmanager
def stall(meanwhile: Callable[[], object]) -> Iterator[None]:
    """Let the next run do nothing for a while after it has taken its batch, as a frozen process; once."""
    acts = [meanwhile]
    ask = Watch.held_seconds

    def held_seconds(watch: Watch) -> float:
        if acts:
            with ThreadPoolExecutor(1) as other:
                other.submit(acts.pop()).result()
        return ask(watch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Watch, "held_seconds", held_seconds)
        yield
    assert acts == []


def let_pass(shelf: Shelf) -> None:
    """Let the stall bound pass for every checkout that waits for a message."""
    shelf.run("UPDATE checkouts SET due_at = now() - interval '1 second' WHERE due_reason = 'stalled'")


def count(engine: Engine, settings: Settings) -> tuple[int, int]:
    """Return how many messages were sent again, and how many of them slow; the diagnosis says the same."""
    with engine.connect() as connection:
        stats = read_stats(connection, settings)
        findings = {each.code: each for each in diagnose(connection, settings)}
    lost, slow = findings["redelivered_lost"], findings["redelivered_slow"]
    assert (lost.count, slow.count) == (stats.redelivered - stats.redelivered_slow, stats.redelivered_slow)
    assert (lost.severity is Severity.OK, slow.severity is Severity.OK) == (lost.count == 0, slow.count == 0)
    assert "lost" not in slow.sentence.replace("none was lost", "")
    return stats.redelivered, stats.redelivered_slow


def start(works: Works, shelf: Shelf, number: int = 1) -> list[UUID]:
    """Start checkouts of one line."""
    shelf.add_variant("cup", stock=10)
    return [works.start(shelf.add_cart(("cup", 1)), token="tok_ok") for _ in range(number)]


def test_a_slow_run_that_does_the_work_after_all_was_not_lost(
    works: Works, shelf: Shelf, engine: Engine, settings: Settings
) -> None:
    # Given three that a run has in hand when the sweep takes them for lost
    ids = start(works, shelf, 3)

    def pause() -> None:
        let_pass(shelf)
        assert works.sweep().redelivered == 3
        assert count(engine, settings) == (3, 0)

    with stall(pause):
        works.run_phase(FIRST.name)
    # Then none was lost, also once the second messages have come and found nothing to do
    assert count(engine, settings) == (3, 3)
    works.pump()
    assert count(engine, settings) == (3, 3)
    assert works.states(ids) == ["completed"] * 3
    done = shelf.rows(
        "SELECT count(*) FROM events WHERE kind = 'checkout.phase_completed' AND phase = :p", p=FIRST.name
    )
    assert done == [(3,)]


def test_a_frozen_run_that_comes_back_too_late_was_not_lost(
    works: Works, shelf: Shelf, engine: Engine, settings: Settings
) -> None:
    # Given a run that is frozen for so long that another does its work, through to the end
    ids = start(works, shelf, 2)

    def pause() -> None:
        let_pass(shelf)
        assert works.sweep().redelivered == 2
        works.pump()
        assert works.states(ids) == ["completed"] * 2
        assert count(engine, settings) == (2, 0)

    with stall(pause):
        works.run_phase(FIRST.name)
    # Then it finds nothing to do, and proves that nothing was lost
    assert count(engine, settings) == (2, 2)
    assert works.states(ids) == ["completed"] * 2


def test_each_message_that_was_sent_again_meanwhile_was_slow(
    works: Works, shelf: Shelf, engine: Engine, settings: Settings
) -> None:
    start(works, shelf)

    def pause() -> None:
        for _ in range(3):
            let_pass(shelf)
            works.line.lose_all()
            assert works.sweep().redelivered == 1

    with stall(pause):
        works.run_phase(FIRST.name)
    assert count(engine, settings) == (3, 3)
    works.pump()


def test_a_lost_message_and_a_dead_worker_are_told_as_such(
    works: Works, shelf: Shelf, engine: Engine, settings: Settings
) -> None:
    # Given one whose message is lost, and one whose worker died with it
    ids = start(works, shelf, 2)
    works.line.lose_all()
    let_pass(shelf)
    assert works.sweep().redelivered == 2
    works.pump()
    # When the dead worker's message is given to another, after the work was done
    works.runner.run(FIRST, [ids[1]])
    # Then both were lost: no run that had them is alive
    assert count(engine, settings) == (2, 0)
    assert works.states(ids) == ["completed"] * 2


def test_a_message_that_comes_twice_by_itself_is_neither(
    works: Works, shelf: Shelf, engine: Engine, settings: Settings
) -> None:
    ids = start(works, shelf)
    with stall(works.pump):
        works.runner.run(FIRST, ids)
    works.runner.run(FIRST, ids)
    assert count(engine, settings) == (0, 0)


def test_a_slow_one_and_a_lost_one_of_the_same_batch(
    works: Works, shelf: Shelf, engine: Engine, settings: Settings
) -> None:
    # Given two, of which one was lost before the other was taken by a slow run
    lost, slow = start(works, shelf, 2)
    works.line.take(FIRST.queue, 1)

    def pause() -> None:
        let_pass(shelf)
        assert works.sweep().redelivered == 2

    with stall(pause):
        works.run_phase(FIRST.name)
    assert count(engine, settings) == (2, 1)
    works.pump()
    assert count(engine, settings) == (2, 1)
    assert works.states([lost, slow]) == ["completed"] * 2


def test_undoing_may_be_slow_too(works: Works, shelf: Shelf, engine: Engine, settings: Settings) -> None:
    [checkout_id] = start(works, shelf)
    works.pump(until="payment_authorization")
    works.service.cancel(checkout_id, "shop-1")

    def pause() -> None:
        let_pass(shelf)
        assert works.sweep().redelivered == 1

    with stall(pause):
        works.unwinder.run(works.line.take(UNWIND))
    assert count(engine, settings) == (1, 1)
    works.pump()
    assert works.states([checkout_id]) == ["cancelled"]
    assert count(engine, settings) == (1, 1)


def test_what_was_sent_again_in_another_phase_says_nothing_of_this_one(
    works: Works, shelf: Shelf, engine: Engine, settings: Settings
) -> None:
    # Given a message of the second phase that is lost while a run of the first is frozen
    ids = start(works, shelf)

    def pause() -> None:
        works.runner.run(FIRST, ids)
        works.line.lose_all()
        let_pass(shelf)
        assert works.sweep().redelivered == 1

    with stall(pause):
        works.run_phase(FIRST.name)
    assert count(engine, settings) == (1, 0)
    works.pump()
    assert works.states(ids) == ["completed"]
