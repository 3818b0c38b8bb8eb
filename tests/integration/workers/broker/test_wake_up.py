"""An idle consumer is woken; it neither polls nor misses anything."""

import statistics
import time
from functools import partial
from itertools import pairwise

import pytest

from tests.integration.workers.broker.workshop import ACTOR, QUEUE, Recorder, Workshop, make_ids, wait_until
from workers.broker.queue_client import QueueLink


def _has_calls(recorder: Recorder, count: int) -> bool:
    return len(recorder.calls) == count


def test_an_idle_consumer_is_woken_at_once(workshop: Workshop) -> None:
    # Given a worker that polls only every 0.9 s
    broker = workshop.make_broker(poll_interval_seconds=0.9)
    recorder = workshop.record(broker)
    workshop.work(broker)
    waits = []

    # When a message comes at seven odd moments
    for number in range(7):
        time.sleep(0.05 + 0.07 * number)
        sent_at = time.monotonic()
        workshop.send(broker, make_ids(1))
        wait_until(partial(_has_calls, recorder, number + 1))
        waits.append(recorder.called_at[-1] - sent_at)

    # Then
    assert statistics.median(waits) < 0.3


def test_after_a_queue_was_emptied_the_consumer_waits_before_it_fetches_again(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an idle worker, and its commands to Redis
    steps: list[int | None] = []
    fetch, wait_for_wake = QueueLink.fetch, QueueLink.wait_for_wake

    def note_fetch(link: QueueLink, limit: int) -> dict[bytes, bytes | None]:
        found = fetch(link, limit)
        steps.append(len(found))
        return found

    def note_wait(link: QueueLink, seconds: float) -> None:
        steps.append(None)
        wait_for_wake(link, seconds)

    monkeypatch.setattr(QueueLink, "fetch", note_fetch)
    monkeypatch.setattr(QueueLink, "wait_for_wake", note_wait)
    broker = workshop.make_broker(poll_interval_seconds=0.9, batch_size=10)
    recorder = workshop.record(broker)
    workshop.work(broker)
    wait_until(lambda: steps[:2] == [0, None])

    # When one message comes, and then more than a batch
    workshop.send(broker, make_ids(1))
    wait_until(partial(_has_calls, recorder, 1))
    workshop.send(broker, make_ids(15))
    wait_until(partial(_has_calls, recorder, 3))
    wait_until(lambda: steps[-1] is None)

    # Then only a full batch, which may have left a rest, is followed by a fetch at once
    looks = [(found, after) for found, after in pairwise(steps) if found is not None]
    assert all(after is None for found, after in looks if found < 10)
    assert [found for found, _ in looks if found] == [1, 10, 5]
    assert (10, 5) in looks


def test_a_message_without_a_wake_up_is_found_within_the_poll_interval(workshop: Workshop) -> None:
    # Given
    broker = workshop.make_broker(poll_interval_seconds=0.3)
    recorder = workshop.record(broker)
    workshop.work(broker)
    [checkout_id] = make_ids(1)
    body = f'{{"queue_name":"{QUEUE}","actor_name":"{ACTOR}","args":["{checkout_id}"],"kwargs":{{}},"options":{{}}}}'

    # When
    workshop.put_raw(body.encode())

    # Then
    wait_until(lambda: recorder.seen == [checkout_id], seconds=2)


def test_what_one_consumer_leaves_wakes_the_next(workshop: Workshop) -> None:
    # Given two idle workers whose actors do not return
    brokers = [workshop.make_broker(poll_interval_seconds=0.9, batch_size=10) for _ in range(2)]
    recorders = [workshop.record(broker, shut=True) for broker in brokers]
    for broker in brokers:
        workshop.work(broker)
    time.sleep(0.2)

    # When one send, with one token, brings more than one batch
    sent_at = time.monotonic()
    workshop.send(brokers[0], make_ids(25))
    wait_until(lambda: all(recorder.calls for recorder in recorders))

    # Then both have one, and the rest waits
    assert max(recorder.called_at[0] for recorder in recorders) - sent_at < 0.6
    assert [recorder.sizes for recorder in recorders] == [[10], [10]]
    assert workshop.client.llen(f"dramatiq:{QUEUE}") == 5


def test_unused_tokens_are_few(workshop: Workshop) -> None:
    # Given no consumer
    broker = workshop.make_broker()

    # When
    for _ in range(20):
        workshop.send(broker, make_ids(1))

    # Then
    assert workshop.client.llen(f"dramatiq:{QUEUE}.wake") == 8
    assert workshop.client.llen(f"dramatiq:{QUEUE}") == 20
