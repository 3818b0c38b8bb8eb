"""Waiting messages become batches, and finished batches leave nothing behind."""

import inspect
import time
from typing import Any, Final

import dramatiq
import pytest
from dramatiq.broker import Broker
from dramatiq.middleware import CurrentMessage, MiddlewareError

from tests.integration.workers.broker.workshop import ACTOR, QUEUE, Workshop, make_ids, wait_until
from workers.broker.queue_stats import queue_figures

#: The id of a checkout that was started in 2024.
OLD: Final = "01930000-0000-7000-8000-000000000001"


def test_a_hundred_waiting_messages_come_in_two_calls_in_order(workshop: Workshop) -> None:
    # Given a hundred waiting messages
    broker = workshop.make_broker(batch_size=64)
    recorder = workshop.record(broker)
    ids = make_ids(100)
    workshop.send(broker, ids)

    # When a worker starts
    workshop.work(broker)
    wait_until(lambda: len(recorder.seen) == 100)

    # Then
    assert recorder.sizes == [64, 36]
    assert recorder.seen == ids


def test_a_batch_size_of_one_hands_over_one_by_one(workshop: Workshop) -> None:
    # Given
    broker = workshop.make_broker(batch_size=1)
    recorder = workshop.record(broker)
    ids = make_ids(5)
    workshop.send(broker, ids)

    # When
    workshop.work(broker)
    wait_until(lambda: len(recorder.seen) == 5)

    # Then
    assert recorder.calls == [(each,) for each in ids]


def test_messages_wait_in_redis_while_every_thread_is_busy(workshop: Workshop) -> None:
    # Given a worker of two threads, both busy
    broker = workshop.make_broker()
    recorder = workshop.record(broker, shut=True)
    workshop.work(broker, threads=2)
    first, second, later = make_ids(1), make_ids(1), make_ids(10)
    workshop.send(broker, first)
    wait_until(lambda: len(recorder.calls) == 1)
    workshop.send(broker, second)
    wait_until(lambda: len(recorder.calls) == 2)

    # When more comes
    workshop.send(broker, later)

    # Then it is not fetched
    assert [(f.waiting, f.in_flight) for f in queue_figures(workshop.client, "dramatiq", [QUEUE])] == [(10, 2)]

    # When the threads are free again, it comes as one batch
    recorder.gate.set()
    wait_until(lambda: len(recorder.seen) == 12)
    assert recorder.sizes == [1, 1, 10]


def test_a_finished_batch_leaves_no_key(workshop: Workshop) -> None:
    # Given
    broker = workshop.make_broker()
    recorder = workshop.record(broker)
    workshop.work(broker)

    # When
    workshop.send(broker, make_ids(80))
    wait_until(lambda: len(recorder.seen) == 80)

    # Then
    wait_until(lambda: workshop.read_keys() == set())


def test_actors_of_one_queue_get_their_own_batches(workshop: Workshop) -> None:
    # Given two actors on one queue, their messages mixed
    broker = workshop.make_broker()
    left = workshop.record(broker, actor="left")
    right = workshop.record(broker, actor="right")
    ids = make_ids(6)
    for number, each in enumerate(ids):
        workshop.send(broker, [each], actor="left" if number % 2 else "right")

    # When
    workshop.work(broker)
    wait_until(lambda: len(left.seen) + len(right.seen) == 6)

    # Then
    assert left.calls == [tuple(ids[1::2])]
    assert right.calls == [tuple(ids[0::2])]
    wait_until(lambda: workshop.read_keys() == set())


def test_the_current_message_names_the_members(workshop: Workshop) -> None:
    # Given an actor that reads the current message
    broker = workshop.make_broker()
    found: list[Any] = []

    def look(*ids: str) -> None:
        message = CurrentMessage.get_current_message()
        assert message is not None
        found.append((message.args == ids, message.queue_name, sorted(message.options["batch"])))

    dramatiq.actor(actor_name=ACTOR, queue_name=QUEUE, broker=broker)(look)
    workshop.send(broker, make_ids(3))
    redis_ids = sorted(workshop.client.hkeys(f"dramatiq:{QUEUE}.msgs"))

    # When
    workshop.work(broker)
    wait_until(lambda: found)

    # Then
    assert found == [(True, QUEUE, redis_ids)]


def test_many_messages_for_several_queues_take_one_round_trip(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a broker whose commands are counted, the script known to the server
    broker = workshop.make_broker()
    workshop.send(broker, make_ids(1))
    commands = []
    execute = broker.client.execute_command

    def count(*args: Any, **options: Any) -> Any:
        commands.append(args[0])
        return execute(*args, **options)

    monkeypatch.setattr(broker.client, "execute_command", count)

    # When
    sent = broker.enqueue_many(
        [
            dramatiq.Message(queue_name=f"checkout.q{number % 3}", actor_name="x", args=(), kwargs={}, options={})
            for number in range(300)
        ]
    )

    # Then
    assert commands == ["EVALSHA"]
    assert [workshop.client.llen(f"dramatiq:checkout.q{number}") for number in range(3)] == [100, 100, 100]
    stored = workshop.client.hgetall("dramatiq:checkout.q1.msgs")
    assert stored == {m.options["redis_message_id"].encode(): m.encode() for m in sent[1::3]}


def test_middleware_sees_every_message_sent(workshop: Workshop) -> None:
    # Given
    class Hooks(dramatiq.Middleware):
        seen: list[tuple[str, str, Any]] = []  # noqa: RUF012 (one list for the one instance)

        def before_enqueue(self, _broker: Broker, message: dramatiq.Message[Any], delay: Any) -> None:
            self.seen.append(("before", message.args[0], delay))

        def after_enqueue(self, _broker: Broker, message: dramatiq.Message[Any], delay: Any) -> None:
            self.seen.append(("after", message.args[0], delay))

    broker = workshop.make_broker(middleware=[Hooks()])

    # When
    workshop.send(broker, ["a", "b"])

    # Then
    assert Hooks.seen == [("before", "a", None), ("before", "b", None), ("after", "a", None), ("after", "b", None)]


def test_a_delay_is_refused_and_sends_nothing(workshop: Workshop) -> None:
    # Given
    broker = workshop.make_broker()
    workshop.record(broker)

    # When
    with pytest.raises(ValueError, match="cannot be delayed"):
        broker.get_actor(ACTOR).send_with_options(args=tuple(make_ids(1)), delay=100)

    # Then
    assert workshop.client.keys() == []


def test_no_delay_queue_is_declared_or_consumed(workshop: Workshop) -> None:
    # Given
    broker = workshop.make_broker()
    workshop.record(broker)

    # When
    worker = workshop.work(broker)

    # Then
    assert broker.get_declared_delay_queues() == set()
    assert set(worker.consumers) == {QUEUE}


def test_what_waits_in_memory_at_shutdown_is_requeued(workshop: Workshop) -> None:
    # Given one thread, busy with one queue, and a batch of another queue in its memory
    broker = workshop.make_broker()
    busy = workshop.record(broker, queue="checkout.busy", actor="busy", shut=True)
    workshop.record(broker)
    worker = workshop.work(broker)
    workshop.send(broker, make_ids(1), queue="checkout.busy", actor="busy")
    wait_until(lambda: len(busy.calls) == 1)
    ids = make_ids(7)
    workshop.send(broker, ids)
    wait_until(lambda: worker.work_queue.qsize() == 1)
    assert workshop.client.llen(f"dramatiq:{QUEUE}") == 0

    # When the worker is stopped
    worker.stop(timeout=300)

    # Then the batch waits again, belongs to no worker, and wakes the next consumer
    assert workshop.client.llen(f"dramatiq:{QUEUE}") == 7
    assert workshop.client.exists(f"dramatiq:__acks__.{broker.broker_id}.{QUEUE}") == 0
    assert workshop.client.llen(f"dramatiq:{QUEUE}.wake") >= 1

    # When another worker starts, it gets them all
    second = workshop.make_broker()
    recorder = workshop.record(second)
    workshop.work(second)
    wait_until(lambda: len(recorder.seen) == 7)
    assert recorder.seen == ids


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 0}, {"batch_size": 1001}, {"poll_interval_seconds": 0}, {"poll_interval_seconds": 1}],
    ids=lambda options: inspect.cleandoc(str(options)),
)
def test_impossible_options_are_refused(workshop: Workshop, options: dict[str, Any]) -> None:
    # When, then
    with pytest.raises(ValueError, match="say"):
        workshop.make_broker(**options)


def test_an_actor_with_an_unknown_member_is_refused(workshop: Workshop) -> None:
    # Given
    broker = workshop.make_broker()

    # When
    with pytest.raises(MiddlewareError, match="member='order'"):
        workshop.record(broker, member="order")

    # Then
    assert broker.get_declared_actors() == set()


def test_after_a_batch_of_old_checkouts_there_is_a_pause(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a pause without a bound, and a checkout that was started some years ago
    monkeypatch.setattr("workers.broker.pace.MOST_SECONDS", 1000.0)
    broker = workshop.make_broker(batch_wait_share=1.0)
    recorder = workshop.record(broker)
    worker = workshop.work(broker)
    workshop.send(broker, [OLD])
    wait_until(lambda: recorder.seen == [OLD])
    # When more comes
    later = make_ids(3)
    workshop.send(broker, later)
    time.sleep(5 * broker.poll_interval_seconds)
    # Then it waits in Redis, where it makes the next batch larger
    assert recorder.seen == [OLD]
    assert [(f.waiting, f.in_flight) for f in queue_figures(workshop.client, "dramatiq", [QUEUE])] == [(3, 0)]
    # And a shutdown does not wait for the pause, nor lose anything
    worker.stop(timeout=10_000)
    assert [f.waiting for f in queue_figures(workshop.client, "dramatiq", [QUEUE])] == [3]


def test_no_pause_after_a_full_batch_nor_after_a_new_checkout(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given the same, with batches of two
    monkeypatch.setattr("workers.broker.pace.MOST_SECONDS", 1000.0)
    broker = workshop.make_broker(batch_wait_share=1.0, batch_size=2)
    recorder = workshop.record(broker)
    workshop.send(broker, [OLD, OLD, *make_ids(1)])
    # When, then: the first batch is full; the second is of an id that says no age
    workshop.work(broker)
    wait_until(lambda: recorder.sizes == [2, 1])
    workshop.send(broker, make_ids(1))
    wait_until(lambda: recorder.sizes == [2, 1, 1])
