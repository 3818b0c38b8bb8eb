"""Groups of requests: one call for all that wait, and for each its own result or its own error."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout

from workers.broker import pace
from workers.web.groups import MOST_MEMBERS, Group, Load

SECONDS: Final = 60
#: A member that raises, and one for which the database is away.
FAILS: Final = -1
AWAY: Final = -2


class Work:
    """Doubles numbers; writes down its groups, and waits for the gate before each."""

    def __init__(self) -> None:
        """Let everything through."""
        self.groups: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        """Double them."""
        self.groups.append(list(numbers))
        self.begun.release()
        assert self.gate.wait(SECONDS)
        if any(number == FAILS for number in numbers):
            raise ValueError("it fails")
        if any(number == AWAY for number in numbers):
            raise PoolTimeout("no connection")
        return [2 * number for number in numbers]


def run(test: Callable[[Group[int, int], Work, Load], Awaitable[None]], *, share: float = 0.0) -> None:
    """Run a test with a group, in an event loop."""

    async def main() -> None:
        with ThreadPoolExecutor(2) as threads:
            work, load = Work(), Load()
            await asyncio.wait_for(test(Group(work, threads, load, share), work, load), SECONDS)

    asyncio.run(main())


async def begin(group: Group[int, int], work: Work, number: int) -> "asyncio.Task[int]":
    """Submit one number, and return when its group has begun."""
    task = asyncio.create_task(group.submit(number))
    await asyncio.to_thread(work.begun.acquire)
    return task


def test_what_waits_is_the_next_group() -> None:
    async def test(group: Group[int, int], work: Work, _load: Load) -> None:
        work.gate.clear()
        first = await begin(group, work, 1)
        others = [asyncio.create_task(group.submit(number)) for number in range(2, 2 + MOST_MEMBERS + 1)]
        await asyncio.sleep(0)
        work.gate.set()
        assert await asyncio.gather(first, *others) == [2 * number for number in range(1, 3 + MOST_MEMBERS)]
        assert [len(each) for each in work.groups] == [1, MOST_MEMBERS, 1]

    run(test)


def test_one_that_fails_fails_alone() -> None:
    async def test(group: Group[int, int], work: Work, _load: Load) -> None:
        results = await asyncio.gather(*(group.submit(number) for number in (1, FAILS, 3)), return_exceptions=True)
        assert [str(each) for each in results] == ["2", "it fails", "6"]
        assert work.groups == [[1, FAILS, 3], [1], [FAILS], [3]]

    run(test)


def test_a_database_that_fails_is_asked_once() -> None:
    async def test(group: Group[int, int], work: Work, _load: Load) -> None:
        results = await asyncio.gather(*(group.submit(number) for number in (1, AWAY, 3)), return_exceptions=True)
        assert [type(each) for each in results] == [PoolTimeout] * 3
        assert work.groups == [[1, AWAY, 3]]
        assert await group.submit(5) == 10

    run(test)


def test_a_client_that_has_gone_takes_nobody_with_it() -> None:
    async def test(group: Group[int, int], work: Work, _load: Load) -> None:
        work.gate.clear()
        first = await begin(group, work, 1)
        gone, stays = (asyncio.create_task(group.submit(number)) for number in (2, 3))
        await asyncio.sleep(0)
        gone.cancel()
        work.gate.set()
        assert list(await asyncio.gather(first, stays)) == [2, 6]
        with pytest.raises(asyncio.CancelledError):
            await gone

    run(test)


def test_threads_that_have_ended_are_an_error_and_no_endless_wait() -> None:
    async def main() -> None:
        threads = ThreadPoolExecutor(1)
        threads.shutdown()
        with pytest.raises(RuntimeError, match="shutdown"):
            await asyncio.wait_for(Group(Work(), threads, Load(), 0.0).submit(1), SECONDS)

    asyncio.run(main())


def test_a_request_alone_never_pauses_and_one_of_several_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "MOST_SECONDS", 1000.0)

    async def test(group: Group[int, int], work: Work, load: Load) -> None:
        load.usual_seconds = 1e6
        # One open request after another: nobody could join it.
        for number in (1, 2, 3):
            with load.count():
                assert await group.submit(number) == 2 * number
            load.usual_seconds = 1e6
        # A second open request may come to it.
        with load.count(), load.count():
            waiting = asyncio.create_task(group.submit(4))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            waiting.cancel()
        assert work.groups == [[1], [2], [3]]

    run(test, share=1.0)


def test_the_load_of_a_process_counts_what_is_open_also_of_what_fails() -> None:
    load = Load()
    with load.count():
        assert load.open == 1
    with pytest.raises(ValueError, match="no"), load.count():
        raise ValueError("no")
    assert load.open == 0
    assert load.usual_seconds >= 0
