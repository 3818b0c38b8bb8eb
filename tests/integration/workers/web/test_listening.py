"""What wakes long polls: one wake-up for each batch, whatever happens to the one connection that listens."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import httpx2
import pytest
from redis import Redis

from tests.integration.workers.web.pauses import pause_checkout, rest, rest_unnoticed
from tests.integration.workers.web.stage import SECONDS, Stage, spin_until, start
from workers.broker.queue_stats import NAMESPACE, name_wake_ups
from workers.broker.redis_client import connect_redis, open_redis_async
from workers.web.long_poll import CLIENT_NAME, LongPolls


@pytest.fixture
def client(stage: Stage) -> Iterator[Redis]:
    """A client of the test's Redis."""
    with connect_redis(stage.settings.redis_url.get_secret_value()) as found:
        yield found


def list_listeners(client: Redis) -> list[str]:
    """Return the ids of the connections that listen for this database of Redis."""
    db = str(client.connection_pool.connection_kwargs["db"])
    return [each["id"] for each in client.client_list() if (each["name"], each["db"]) == (CLIENT_NAME, db)]


def cut_off(client: Redis) -> None:
    """End the connections that listen."""
    for each in list_listeners(client):
        client.client_kill_filter(_id=each)


def find_listener(client: Redis) -> str:
    """Return the listening connection, once it is the only one."""
    spin_until(lambda: len(list_listeners(client)) == 1, "one listens")
    return list_listeners(client)[0]


def build_polls(stage: Stage, client: Redis) -> LongPolls:
    """Return long polls beside those of the server."""
    url = stage.settings.redis_url.get_secret_value()
    return LongPolls(lambda: open_redis_async(url, name=CLIENT_NAME), name_wake_ups(NAMESPACE, client))


def test_it_is_the_wake_up_that_wakes(stage: Stage, cup: httpx2.Client) -> None:
    # Given
    checkout_id = pause_checkout(stage, cup)
    [(cart_id,)] = stage.shelf.rows("SELECT cart_id FROM checkouts")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(start, cup, cart_id)
        spin_until(lambda: stage.server._context.long_polls._waiters, "a long poll waits")
        # When
        began = time.monotonic()
        rest(stage, checkout_id)
        answer = waiting.result()
        seconds = time.monotonic() - began
    # Then
    assert (answer.status_code, answer.json()["state"]) == (200, "awaiting_payment")
    assert seconds < 2
    assert stage.server._context.long_polls._waiters == {}


def test_a_change_while_it_is_read_is_not_missed(stage: Stage, cup: httpx2.Client, client: Redis) -> None:
    # Given a read of a checkout, after which, and before it is returned, the checkout becomes stable
    checkout_id = pause_checkout(stage, cup)
    waiting = build_polls(stage, client)
    seen: list[str] = []

    async def look() -> str:
        [(state,)] = stage.shelf.rows("SELECT state FROM checkouts WHERE id = :id", id=checkout_id)
        seen.append(state)
        if len(seen) == 1:
            rest(stage, checkout_id)
            [woken] = waiting._waiters[checkout_id]
            await asyncio.wait_for(woken.wait(), SECONDS)
        return str(state)

    async def wait() -> str:
        listening = asyncio.create_task(waiting.run())
        await asyncio.wait_for(waiting.listening.wait(), SECONDS)
        found = await waiting.wait(checkout_id, look, lambda state: state != "running", SECONDS)
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        return found

    # When
    began = time.monotonic()
    found = asyncio.run(wait())
    # Then it is read once more, at once
    assert (found, seen) == ("awaiting_payment", ["running", "awaiting_payment"])
    assert time.monotonic() - began < SECONDS / 2


@pytest.mark.parametrize("payload", ["", "nothing", f"{UUID(int=1)},nothing", "é" * 3000, b"\xff\x00"])
def test_an_unreadable_wake_up_ends_no_listening(
    stage: Stage, cup: httpx2.Client, client: Redis, payload: str | bytes
) -> None:
    # Given
    checkout_id = pause_checkout(stage, cup)
    [(cart_id,)] = stage.shelf.rows("SELECT cart_id FROM checkouts")
    listener = find_listener(client)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(start, cup, cart_id)
        spin_until(lambda: stage.server._context.long_polls._waiters, "a long poll waits")
        # When
        assert client.publish(name_wake_ups(NAMESPACE, client), payload) == 1
        rest(stage, checkout_id)
        # Then what is said after it is heard, by the same listener
        assert waiting.result().json()["state"] == "awaiting_payment"
    assert find_listener(client) == listener


def test_a_listener_that_was_cut_off_listens_again(stage: Stage, cup: httpx2.Client, client: Redis) -> None:
    # Given
    checkout_id = pause_checkout(stage, cup)
    [(cart_id,)] = stage.shelf.rows("SELECT cart_id FROM checkouts")
    before = find_listener(client)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(start, cup, cart_id)
        spin_until(lambda: stage.server._context.long_polls._waiters, "a long poll waits")
        # When the connection is ended, and the wake-up comes without a listener
        cut_off(client)
        rest(stage, checkout_id)
        # Then it is heard of all the same
        assert waiting.result().json()["state"] == "awaiting_payment"
    spin_until(lambda: list_listeners(client) not in ([], [before]), "it listens again")


def test_a_wake_up_that_was_lost_is_not_waited_for(
    stage: Stage, cup: httpx2.Client, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a process that is killed between its commit and the wake-up
    monkeypatch.setattr("workers.web.long_poll.LOOK_SECONDS", 0.05)
    checkout_id = pause_checkout(stage, cup)

    async def make_stable_unnoticed(polls: LongPolls) -> None:
        async def later() -> None:
            await spin(lambda: polls._waiters)
            rest_unnoticed(stage, checkout_id)

        tasks.append(asyncio.create_task(later()))

    tasks: list[asyncio.Task[None]] = []
    # When, then the row is looked at
    state, seen = wait_since(stage, client, checkout_id, make_stable_unnoticed)
    assert (state, seen[-1]) == ("awaiting_payment", "awaiting_payment")
    assert set(seen[:-1]) <= {"running"}


def wait_since(
    stage: Stage,
    client: Redis,
    checkout_id: UUID,
    meanwhile: Callable[[LongPolls], Awaitable[None]],
    seconds: float = SECONDS,
) -> tuple[str, list[str]]:
    """Return the state that a long poll found, and what it read, after `meanwhile` since its mark."""
    seen: list[str] = []

    async def look() -> str:
        [(state,)] = stage.shelf.rows("SELECT state FROM checkouts WHERE id = :id", id=checkout_id)
        seen.append(state)
        return str(state)

    async def wait() -> str:
        polls = build_polls(stage, client)
        listening = asyncio.create_task(polls.run())
        await asyncio.wait_for(polls.listening.wait(), SECONDS)
        mark = polls.mark()
        assert mark is not None
        await meanwhile(polls)
        found = await polls.wait(checkout_id, look, lambda state: state != "running", seconds, since=mark)
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        return found

    return asyncio.run(wait()), seen


async def spin(is_so: Callable[[], object]) -> None:
    """Let the event loop work until it is so."""
    async with asyncio.timeout(SECONDS):
        while not is_so():
            await asyncio.sleep(0.005)


def test_a_checkout_that_was_just_started_is_read_when_it_is_woken(
    stage: Stage, cup: httpx2.Client, client: Redis
) -> None:
    # Given a checkout of which nothing was said since the mark
    checkout_id = pause_checkout(stage, cup)

    async def make_stable_soon(polls: LongPolls) -> None:
        async def later() -> None:
            await spin(lambda: polls._waiters)
            rest(stage, checkout_id)

        tasks.append(asyncio.create_task(later()))

    tasks: list[asyncio.Task[None]] = []
    # When, then it is read once
    assert wait_since(stage, client, checkout_id, make_stable_soon) == ("awaiting_payment", ["awaiting_payment"])


def test_one_that_was_woken_before_the_wait_is_read_at_once(stage: Stage, cup: httpx2.Client, client: Redis) -> None:
    checkout_id = pause_checkout(stage, cup)

    async def make_stable(polls: LongPolls) -> None:
        rest(stage, checkout_id)
        await spin(lambda: polls._recent)

    assert wait_since(stage, client, checkout_id, make_stable) == ("awaiting_payment", ["awaiting_payment"])


def test_one_that_may_have_been_missed_is_read_at_once(stage: Stage, cup: httpx2.Client, client: Redis) -> None:
    # Given that the listener is cut off after the mark, and what happens meanwhile is not heard
    checkout_id = pause_checkout(stage, cup)

    async def miss(polls: LongPolls) -> None:
        cut_off(client)
        await spin(lambda: not polls.listening.is_set())
        rest(stage, checkout_id)

    assert wait_since(stage, client, checkout_id, miss)[1][-1] == "awaiting_payment"

    async def listen_again(polls: LongPolls) -> None:
        before = polls._connections
        cut_off(client)
        await spin(lambda: polls._connections > before and polls.listening.is_set())

    assert wait_since(stage, client, checkout_id, listen_again) == ("awaiting_payment", ["awaiting_payment"])


def test_one_without_a_wake_up_is_read_at_the_end_of_its_wait(stage: Stage, cup: httpx2.Client, client: Redis) -> None:
    checkout_id = pause_checkout(stage, cup)

    async def do_nothing(_polls: LongPolls) -> None:
        pass

    assert wait_since(stage, client, checkout_id, do_nothing, 0.2) == ("running", ["running"])


def test_only_the_newest_wake_ups_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.web.long_poll.MOST_RECENT", 3)
    polls = LongPolls(lambda: open_redis_async("redis://nowhere", name=CLIENT_NAME), "wake_ups")
    for number in (1, 2, 3, 1, 4):
        polls._receive(str(UUID(int=number)).encode())

    assert [each.int for each in polls._recent] == [3, 1, 4]
