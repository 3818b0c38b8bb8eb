"""Web processes share a rate limit through Redis, and count alone while it is away."""

import random
import socket
from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from sqlalchemy import make_url
from structlog.testing import capture_logs

from tests.integration.workers.web.counting import HALF_PAST, TIMEOUTS, AtOnce, Process, Stuck, open_process
from tests.support.proxy import Proxy, once, open_proxy
from workers.broker.queue_stats import NAMESPACE, QueueKeys
from workers.web.protection import rate_limits, shared_counts
from workers.web.protection.policies import Policy

#: A portion is ten.
LIMIT = 1000
PORTION = 10

Open = Callable[..., Process]


@pytest.fixture(autouse=True)
def _half_past(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "read_clock", lambda: HALF_PAST)


@pytest.fixture
def opened(redis_url: str) -> Iterator[Open]:
    """Opens processes that are closed at the end."""
    processes = []

    def open_one(url: str = redis_url, **given: int) -> Process:
        processes.append(open_process(url, AtOnce(), **(given or {"writes": LIMIT})))
        return processes[-1]

    yield open_one
    for process in processes:
        process.close()


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    """A proxy before Redis."""
    url = make_url(redis_url)
    with open_proxy(lambda: socket.create_connection((url.host, url.port))) as opened:
        yield opened
        opened.hole.clear()


def behind(proxy: Proxy, redis_url: str) -> str:
    """Return the address of Redis behind the proxy."""
    own = make_url(redis_url).set(host="127.0.0.1", port=proxy.port)
    return own.render_as_string(hide_password=False)


def test_two_processes_share_a_limit_and_exceed_it_by_no_more_than_their_portions(opened: Open) -> None:
    seed = random.randrange(10**6)
    source = random.Random(seed)
    for round_number in range(20):
        pair = [opened(), opened()]
        leaning = source.random()
        granted = sum(
            pair[source.random() < leaning].send(client=f"key-{round_number}") for _ in range(2 * LIMIT + 4 * PORTION)
        )
        granted += sum(process.send(2 * PORTION, client=f"key-{round_number}") for process in pair)
        assert LIMIT <= granted < LIMIT + 2 * PORTION, (seed, round_number)


def test_a_process_that_begins_late_grants_a_portion_before_it_knows(opened: Open) -> None:
    first, second = opened(), opened()
    assert first.send(LIMIT) == LIMIT
    assert second.send(LIMIT) == PORTION
    assert opened().send(PORTION + 1, client="another") == PORTION + 1


def test_processes_that_take_turns_share_exactly(opened: Open) -> None:
    pair = [opened(), opened()]
    turns = [pair[turn % 2].send(PORTION) for turn in range(2 * LIMIT // PORTION)]
    # The one that comes second learns of the last portion with a portion of its own.
    assert (turns[: LIMIT // PORTION], sum(turns)) == ([PORTION] * (LIMIT // PORTION), LIMIT + PORTION)


def test_most_requests_make_no_round_trip(opened: Open, redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        process = opened()
        process.send(PORTION)
        before = client.info("commandstats")["cmdstat_incrby"]["calls"]
        assert process.send(LIMIT) == LIMIT - PORTION
        assert client.info("commandstats")["cmdstat_incrby"]["calls"] - before == (LIMIT - PORTION) // PORTION


def test_there_are_counters_of_a_minute_and_no_key_is_the_brokers(opened: Open, redis_url: str) -> None:
    process = opened(writes=200, reads=100, anonymous=300)
    process.send(200)
    process.send(7, policy=Policy.READS)
    process.send(2, policy=Policy.ANONYMOUS, client="2001:db8::/64")
    minute = int(HALF_PAST // 60)
    prefix = f"{NAMESPACE}:__limits__"
    with Redis.from_url(redis_url, decode_responses=True) as client:
        found = {str(key): client.get(key) for key in client.scan_iter()}
        assert found == {f"{prefix}:writes:key:{minute}": "200", f"{prefix}:reads:key:{minute}": "7"}
        assert all(0 < client.ttl(key) <= 60 for key in found)
    queue = QueueKeys.name(NAMESPACE, "__limits__")
    assert not any(key in {queue.waiting, queue.messages, queue.wake} for key in found)


def test_no_request_waits_for_a_server_that_does_not_answer(redis_url: str) -> None:
    stuck = Stuck()
    process = open_process(redis_url, stuck, writes=LIMIT, reads=LIMIT)
    # All are granted before any report is sent, and one report is enough for all of a client's.
    assert [process.send(LIMIT + 5), process.send(5, policy=Policy.READS)] == [LIMIT, 5]
    assert len(stuck.jobs) == 1
    stuck.jobs.pop()()
    with Redis.from_url(redis_url) as client:
        assert client.get(f"{NAMESPACE}:__limits__:writes:key:{int(HALF_PAST // 60)}") == str(LIMIT).encode()
    process.close()


@pytest.mark.parametrize("kind", ["refused", "silent"])
def test_an_outage_is_logged_once_refuses_nothing_and_ends(
    opened: Open, proxy: Proxy, redis_url: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(shared_counts, "read_monotonic", lambda: now[0])
    near, far = opened(), opened(behind(proxy, redis_url))
    with capture_logs() as logged:
        # Given two that have shared
        assert [near.send(100), far.send(100)] == [100, 100]
        # When the server is away for one of them, for three attempts
        if kind == "refused":
            proxy.close()
        else:
            far.client.connection_pool.connection_kwargs |= dict.fromkeys(TIMEOUTS, 0.1)
            proxy.hole.set()
        far.client.connection_pool.reset()
        for _ in range(3):
            assert far.send(100) == 100
            now[0] += shared_counts.RETRY_SECONDS
        assert [each["event"] for each in logged] == ["rate_limits.alone"]
        # Then it counts alone: it knows of the hundred, and has its own four hundred
        assert near.send(300) == 300
        assert far.send(LIMIT) == LIMIT - 100 - 400
    assert [each["event"] for each in logged] == ["rate_limits.alone"]


def test_after_an_outage_the_count_is_shared_again(
    opened: Open, proxy: Proxy, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(shared_counts, "read_monotonic", lambda: now[0])
    near, far = opened(), opened(behind(proxy, redis_url))
    assert near.send(200) == 200
    with capture_logs() as logged:
        # Given a report that arrives without an answer, and what is counted while no other is sent
        proxy.lose = once(b"EVALSHA")
        assert (far.send(100), proxy.lost) == (100, 1)
        assert near.send(300) == 300
        # When the pause is over
        now[0] += shared_counts.RETRY_SECONDS
        assert far.send(10) == 10
        assert [each["event"] for each in logged] == ["rate_limits.alone", "rate_limits.shared"]
    # Then it knows of the five hundred, and nothing was added twice
    assert far.send(LIMIT) == LIMIT - 500 - 110
    assert near.send(LIMIT) == PORTION


def test_an_emptied_server_refuses_nothing(opened: Open, redis_url: str) -> None:
    first, second = opened(), opened()
    assert first.send(500) == 500
    with Redis.from_url(redis_url) as client:
        client.flushdb()
    assert second.send(300) == 300
    # The first one has sent more than there is: the others count for nothing until they have as much.
    assert first.send(LIMIT) == LIMIT - 500
