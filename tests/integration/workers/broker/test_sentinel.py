"""Redis behind Sentinels: whoever is the master now gets the messages, and a wrong address is one sentence."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.sentinel import MasterNotFoundError, SentinelConnectionPool

from pipeline.messaging import OutgoingMessage
from pipeline.settings import SettingsError
from tests.integration.workers.broker.workshop import QUEUE, Workshop, make_ids, wait_until
from tests.support.sentinels import Replicated, open_replicated
from workers.broker.publisher import RedisSender
from workers.broker.queue_stats import name_wake_ups
from workers.broker.redis_client import MAX_SENTINELS, connect_redis, open_redis_async, read_redis_url
from workers.web.long_poll import LongPolls

WORD = "s3cret"
#: One that must be escaped.
AT = "x@y"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Replicated]:
    """A master, its replica and a Sentinel."""
    with open_replicated(tmp_path) as opened:
        yield opened


def read_port(url: str) -> int:
    """Return the port of the server that a new client of this URL is connected to, once a Sentinel names one."""
    with connect_redis(url) as client:

        def is_connected() -> bool:
            # A Sentinel that is late on a busy machine takes its master for dead, for a moment.
            with suppress(RedisConnectionError):
                client.ping()
                return True
            return False

        wait_until(is_connected)
        return int(client.connection_pool.master_address[1])


def test_a_worker_outlives_the_master(servers: Replicated) -> None:
    # Given a worker and a sender
    shop = Workshop(servers.url)
    broker, sender = shop.make_broker(), shop.make_broker()
    recorder = shop.record(broker)
    shop.record(sender)
    shop.work(broker)
    before, after = make_ids(3), make_ids(3)
    shop.send(sender, before)
    wait_until(lambda: sorted(recorder.seen) == sorted(before))
    assert read_port(servers.url) == servers.master
    # When the master is killed
    servers.kill_master()
    wait_until(servers.has_failed_over)
    # Then what is sent now arrives at the same worker, at the latest when it is sent again, as the sweep does
    sent_at = datetime(2026, 3, 1, tzinfo=UTC)
    messages = [OutgoingMessage(QUEUE, UUID(each), sent_at) for each in after]
    wait_until(lambda: RedisSender(sender).send(messages))
    wait_until(lambda: set(after) <= set(recorder.seen))
    assert read_port(servers.url) == servers.replica
    shop.close()


def test_a_former_master_is_left(servers: Replicated) -> None:
    # Given a client with a connection to the master
    with connect_redis(servers.url) as client:
        client.set("key", 1)
        # When another becomes the master, and the former one follows it
        servers.demote_master()
        # Then one command is refused at most, and the next goes to the new master
        with suppress(RedisConnectionError):
            client.set("key", 2)
        client.set("key", 3)
        assert client.connection_pool.master_address[1] == servers.replica
        assert client.get("key") == b"3"


def test_long_polls_are_woken_through_the_new_master(servers: Replicated) -> None:
    # Given long polls that listen
    shop = Workshop(servers.url)
    broker = shop.make_broker()
    channel = name_wake_ups(broker.namespace, broker.client)
    polls = LongPolls(lambda: open_redis_async(servers.url, name="test"), channel)
    first, second = UUID(int=1), UUID(int=2)

    async def wait_until_async(is_so: Callable[[], Any]) -> None:
        await asyncio.to_thread(wait_until, is_so)

    async def listen() -> None:
        task = asyncio.create_task(polls.run())
        await wait_until_async(polls.listening.is_set)
        RedisSender(broker).wake([first])
        await wait_until_async(lambda: first in polls._recent)
        # When
        servers.kill_master()
        await wait_until_async(servers.has_failed_over)
        await wait_until_async(polls.listening.is_set)

        def is_heard() -> bool:
            RedisSender(broker).wake([second])
            return second in polls._recent

        # Then
        await wait_until_async(is_heard)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(listen())
    shop.close()


def test_a_dead_sentinel_is_asked_once(servers: Replicated) -> None:
    # Given an address whose first Sentinel accepts connections and is silent
    accepted: list[socket.socket] = []
    silent = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                accepted.append(silent.accept()[0])

    thread = threading.Thread(target=accept)
    thread.start()
    url = servers.url.replace("//", f"//127.0.0.1:{silent.getsockname()[1]},")

    async def ping() -> None:
        async with open_redis_async(url, name="test") as client:
            await client.ping()

    # When both kinds of client connect
    assert read_port(url) == servers.master
    found = [len(accepted)]
    asyncio.run(ping())
    found.append(len(accepted))
    silent.shutdown(socket.SHUT_RDWR)
    thread.join()
    for each in (silent, *accepted):
        each.close()
    # Then each has asked it once, and another at once
    assert found == [1, 2]


def test_a_service_that_the_sentinels_do_not_know(servers: Replicated) -> None:
    with (
        connect_redis(servers.url.replace("/shop/", "/stop/")) as client,
        pytest.raises(MasterNotFoundError, match="No master found for 'stop'"),
    ):
        client.ping()


def test_the_parts_of_an_address() -> None:
    # When
    url = f"rediss+sentinel://app:{WORD}@a:26380,b,[::1]:26382/shop/3?sentinel_password={quote(AT)}&ssl_cert_reqs=none"
    address = read_redis_url(url, floor_seconds=1.5)
    # Then
    assert (address.service, address.sentinels) == ("shop", (("a", 26380), ("b", 26379), ("::1", 26382)))
    assert address.options == {
        "username": "app",
        "password": WORD,
        "db": 3,
        "ssl_cert_reqs": "none",
        "socket_timeout": 1.5,
        "socket_connect_timeout": 1.0,
        "decode_responses": False,
    }
    assert address.sentinel_options == {
        "password": AT,
        "ssl": True,
        "ssl_cert_reqs": "none",
        "socket_timeout": 1.5,
        "socket_connect_timeout": 1.0,
    }
    pool = connect_redis(url).connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.connection_class.__name__ == "SentinelManagedSSLConnection"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        f"http://u:{WORD}@a/1",
        f"redis+sentinel://u:{WORD}@a:26379",
        f"redis+sentinel://u:{WORD}@a:26379/",
        f"redis+sentinel://u:{WORD}@/shop",
        f"redis+sentinel://u:{WORD}@a:26379/shop/first",
        f"redis+sentinel://u:{WORD}@a:0/shop",
        f"redis+sentinel://u:{WORD}@a:65536/shop",
        f"redis+sentinel://u:{WORD}@a,,b/shop",
        f"redis+sentinel://u:{WORD}@a b/shop",
        f"redis+sentinel://u:{WORD}/x@a/shop",
        f"redis+sentinel://u:{WORD}@a/shop/1?socket_timeout=soon",
        f"redis+sentinel://u:{WORD}@{','.join('a' * (MAX_SENTINELS + 1))}/shop",
        f"redis://u:{WORD}@a/1?{'x' * 4096}",
        f"redis://u:{WORD}@a:port/1",
    ],
)
def test_a_wrong_address_is_one_sentence(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_redis_url(url)
    sentence = str(caught.value)
    assert sentence.startswith("REDIS_URL ")
    assert (sentence.count("\n"), sentence[-1]) == (0, ".")
    assert WORD not in sentence
