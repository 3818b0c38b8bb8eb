"""What wakes long polls: one notification for each batch, whatever happens to the one connection that listens."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import httpx2
import psycopg
import pytest

from pipeline.checkouts.events import CHANNEL, write_events
from tests.integration.workers.web.pauses import pause_checkout, rest
from tests.integration.workers.web.stage import SECONDS, Stage, put_cart, spin_until, start
from workers.web.long_poll import LongPolls

LISTENERS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'checkout.waiting'"
)


def find_listener(stage: Stage) -> int:
    """Return the PostgreSQL process of the listening connection, once it is the only one."""
    spin_until(lambda: len(stage.shelf.rows(LISTENERS)) == 1, "one listens")
    [(pid,)] = stage.shelf.rows(LISTENERS)
    return int(pid)


def test_it_is_the_notification_that_wakes(stage: Stage, cup: httpx2.Client) -> None:
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


def test_a_change_while_it_is_read_is_not_missed(stage: Stage, cup: httpx2.Client) -> None:
    # Given a read of a checkout, after which, and before it is returned, the checkout becomes stable
    checkout_id = pause_checkout(stage, cup)
    waiting = LongPolls(stage.settings.database_url.get_secret_value())
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


@pytest.mark.parametrize("payload", ["", "nothing", f"{UUID(int=1)},nothing", "é" * 3000])
def test_an_unreadable_notification_ends_no_listening(stage: Stage, cup: httpx2.Client, payload: str) -> None:
    # Given
    checkout_id = pause_checkout(stage, cup)
    [(cart_id,)] = stage.shelf.rows("SELECT cart_id FROM checkouts")
    listener = find_listener(stage)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(start, cup, cart_id)
        spin_until(lambda: stage.server._context.long_polls._waiters, "a long poll waits")
        # When
        stage.shelf.run("SELECT pg_notify(:channel, :payload)", channel=CHANNEL, payload=payload)
        began = time.monotonic()
        rest(stage, checkout_id)
        # Then what is said after it is heard, by the same listener
        assert waiting.result().json()["state"] == "awaiting_payment"
    assert time.monotonic() - began < 2
    assert find_listener(stage) == listener


def test_a_listener_that_was_cut_off_listens_again(stage: Stage, cup: httpx2.Client) -> None:
    # Given
    checkout_id = pause_checkout(stage, cup)
    [(cart_id,)] = stage.shelf.rows("SELECT cart_id FROM checkouts")
    pid = find_listener(stage)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(start, cup, cart_id)
        spin_until(lambda: stage.server._context.long_polls._waiters, "a long poll waits")
        # When the connection is ended, and the notification comes without a listener
        stage.shelf.rows("SELECT pg_terminate_backend(:pid)", pid=pid)
        rest(stage, checkout_id)
        # Then it is heard of all the same
        assert waiting.result().json()["state"] == "awaiting_payment"
    spin_until(lambda: stage.shelf.rows(LISTENERS) not in ([], [(pid,)]), "it listens again")


def test_a_batch_is_one_notification(stage: Stage, cup: httpx2.Client) -> None:
    # Given another listener
    ids = [UUID(start(cup, put_cart(cup, ("cup", 1))).json()["checkout_id"]) for _ in range(3)]
    url = stage.settings.database_url.get_secret_value()
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        # When a batch of 64 becomes stable, and as many others have events that wake no long poll
        with stage.engine.begin() as connection:
            write_events(connection, "checkout.awaiting_payment", (ids * 22)[:64])
            write_events(connection, "checkout.phase_completed", ids, phase="price_lock")
        # Then
        notices = list(listener.notifies(timeout=0.3))
    assert [notice.payload.split(",") for notice in notices] == [[str(each) for each in (ids * 22)[:64]]]


def wait_since(
    stage: Stage, checkout_id: UUID, meanwhile: Callable[[LongPolls], Awaitable[None]], seconds: float = SECONDS
) -> tuple[str, list[str]]:
    """Return the state that a long poll found, and what it read, after `meanwhile` since its mark."""
    seen: list[str] = []

    async def look() -> str:
        [(state,)] = stage.shelf.rows("SELECT state FROM checkouts WHERE id = :id", id=checkout_id)
        seen.append(state)
        return str(state)

    async def wait() -> str:
        polls = LongPolls(stage.settings.database_url.get_secret_value())
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


def test_a_checkout_that_was_just_started_is_read_when_it_is_notified(stage: Stage, cup: httpx2.Client) -> None:
    # Given a checkout of which nothing was said since the mark
    checkout_id = pause_checkout(stage, cup)

    async def make_stable_soon(polls: LongPolls) -> None:
        async def later() -> None:
            await spin(lambda: polls._waiters)
            rest(stage, checkout_id)

        tasks.append(asyncio.create_task(later()))

    tasks: list[asyncio.Task[None]] = []
    # When, then it is read once
    assert wait_since(stage, checkout_id, make_stable_soon) == ("awaiting_payment", ["awaiting_payment"])


def test_one_that_was_notified_before_the_wait_is_read_at_once(stage: Stage, cup: httpx2.Client) -> None:
    checkout_id = pause_checkout(stage, cup)

    async def make_stable(polls: LongPolls) -> None:
        rest(stage, checkout_id)
        await spin(lambda: polls._recent)

    assert wait_since(stage, checkout_id, make_stable) == ("awaiting_payment", ["awaiting_payment"])


def test_one_that_may_have_been_missed_is_read_at_once(stage: Stage, cup: httpx2.Client) -> None:
    # Given that the listener is cut off after the mark, and what happens meanwhile is not heard
    checkout_id = pause_checkout(stage, cup)

    async def cut_off(polls: LongPolls) -> None:
        stage.shelf.rows(f"SELECT pg_terminate_backend(pid) FROM ({LISTENERS}) AS listeners")
        await spin(lambda: not polls.listening.is_set())
        rest(stage, checkout_id)

    assert wait_since(stage, checkout_id, cut_off)[1][-1] == "awaiting_payment"

    async def listen_again(polls: LongPolls) -> None:
        before = polls._connections
        stage.shelf.rows(f"SELECT pg_terminate_backend(pid) FROM ({LISTENERS}) AS listeners")
        await spin(lambda: polls._connections > before and polls.listening.is_set())

    assert wait_since(stage, checkout_id, listen_again) == ("awaiting_payment", ["awaiting_payment"])


def test_one_without_a_notification_is_read_at_the_end_of_its_wait(stage: Stage, cup: httpx2.Client) -> None:
    checkout_id = pause_checkout(stage, cup)

    async def do_nothing(_polls: LongPolls) -> None:
        pass

    assert wait_since(stage, checkout_id, do_nothing, 0.2) == ("running", ["running"])


def test_only_the_newest_notifications_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.web.long_poll.MOST_RECENT", 3)
    polls = LongPolls("postgresql://nowhere")
    for number in (1, 2, 3, 1, 4):
        polls._receive(str(UUID(int=number)))

    assert [each.int for each in polls._recent] == [3, 1, 4]
