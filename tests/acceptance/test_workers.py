"""The real worker processes under faults: SIGKILL, SIGTERM, lost messages, no Redis, two schedulers."""

import json
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import Engine, text

from pipeline.intake import PaymentInput, StartRequest
from pipeline.intake import commands as intake
from pipeline.intake.result import CommandResult
from pipeline.messaging import INTAKE
from pipeline.saga import CHAIN
from pipeline.settings import Settings
from scripts.environments.fleet import read_procfile
from scripts.local_servers.valkey import Valkey
from tests.support.harness import ADDRESS, Shelf
from tests.support.processes import BANK_TIMES, TIMES, Processes, encode_message, find_holders, push_raw, run_processes
from workers.bootstrap import Components, build_components

pytestmark = pytest.mark.acceptance

EXAMPLE: Final[dict[str, Any]] = json.loads(
    (Path(__file__).resolve().parents[1] / "contract" / "intake_message.json").read_text()
)
REDELIVERED: Final = text("SELECT count(*) FROM events WHERE kind = 'sweep.redelivered'")


@pytest.fixture(scope="module")
def processes(database_url: str, redis_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Every line of the Procfile, the scheduler twice."""
    settings = build_settings(database_url, redis_database)
    log = tmp_path_factory.mktemp("fleet") / "log"
    with run_processes(settings, log, scale={"scheduler": 2}) as running:
        yield running


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    """A plain Redis client, as an upstream has one."""
    with Redis.from_url(redis_url) as connected:
        yield connected


@pytest.fixture
def service(engine: Engine, processes: Processes) -> Iterator[Components]:
    """The engine of a program that calls the service."""
    built = build_components(processes.settings, "test")
    yield built
    built.close()


def build_settings(database_url: str, redis_url: str) -> Settings:
    urls: dict[str, Any] = {"database_url": SecretStr(database_url), "redis_url": SecretStr(redis_url)}
    return Settings(_env_file=None, gateway="sandbox", **urls, **TIMES).with_gateway_options(**BANK_TIMES)


def build_request(**changes: Any) -> dict[str, Any]:
    """Return a request to buy one cup."""
    request = {
        "owner": "shop-1",
        "idempotency_key": str(uuid4()),
        "cart": {
            "id": str(uuid4()),
            "currency": "EUR",
            "lines": [{"sku": "cup", "quantity": 1}],
            "shipping_address": ADDRESS,
        },
        "payment": {"token": "tok_ok"},
    }
    return request | changes


def start_many(service: Components, count: int) -> list[UUID]:
    """Start so many checkouts through the service, each with a payment; all are accepted."""
    requests = [StartRequest.model_validate(build_request()) for _ in range(count)]
    assert all(isinstance(request.payment, PaymentInput) for request in requests)
    answers = [answer for at in range(0, count, 50) for answer in service.service.start_many(requests[at : at + 50])]
    admitted = [answer for answer in answers if isinstance(answer, CommandResult)]
    assert len(admitted) == count
    return [each.checkout_id for each in admitted]


class Target:
    """A unit that gets signals during a batch, several times: each time its current process."""

    def __init__(self, processes: Processes, engine: Engine, name: str) -> None:
        """Choose the first unit of this line."""
        self._processes, self._engine, self._unit = processes, engine, f"{name}.1"
        self._queue = f"checkout.{name}"
        self._leaders: set[int] = set()
        self._seen: set[bytes] = set()

    def wait_until_busy(self, client: Redis) -> int:
        """Return the unit's leading process, once a worker that got no signal before has messages."""
        for what, is_so in (
            ("runs", lambda _: self._processes.supervisor.pids().get(self._unit, 0) not in self._leaders | {0}),
            ("holds messages", lambda _: find_holders(client, self._queue) - self._seen),
        ):
            self._processes.wait_until(self._engine, is_so, f"{self._unit} {what}", every_seconds=0.02)
        self._seen |= find_holders(client, self._queue)
        leader = self._processes.supervisor.pids()[self._unit]
        self._leaders.add(leader)
        return leader


def test_messages_from_anywhere_become_orders_and_nothing_is_sent_twice(
    processes: Processes, engine: Engine, client: Redis
) -> None:
    # Given
    shelf = Shelf(engine)
    shelf.add_variant("kettle", stock=100, price_minor=3900)
    shelf.add_variant("cup", stock=400, price_minor=999)
    # When an upstream writes the documented message with two Redis commands
    for number in range(100):
        message = deepcopy(EXAMPLE)
        request = message["args"][0]
        request["cart"]["id"] = str(uuid4())
        request["idempotency_key"] = request["reference"] = f"order-{number}"
        push_raw(client, INTAKE, json.dumps(message).encode())
    # Then
    processes.assert_all_sold(engine, 100)
    assert shelf.rows("SELECT DISTINCT total_minor FROM orders") == [(3900 + 4 * 450,)]
    assert (shelf.stock("kettle"), shelf.stock("cup")) == ((0, 0), (0, 0))
    with engine.connect() as connection:
        assert connection.execute(REDELIVERED).scalar_one() == 0, processes.tail()


def test_workers_killed_during_a_batch_lose_and_double_nothing(
    processes: Processes, engine: Engine, client: Redis, service: Components
) -> None:
    # Given
    Shelf(engine).add_variant("cup", stock=150)
    targets = [
        (Target(processes, engine, "inventory_reservation"), "reservations"),
        (Target(processes, engine, "payment_authorization"), "payment_operations"),
    ]
    # When each of two workers is killed three times during a batch, which a table lock blocks
    for target, table in targets * 3:
        with engine.connect() as connection:
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            connection.execute(text(f"LOCK TABLE {table} IN EXCLUSIVE MODE"))
            start_many(service, 25)  # more than a batch
            os.killpg(target.wait_until_busy(client), signal.SIGKILL)
            connection.rollback()
    # Then
    processes.assert_all_sold(engine, 150)


def test_workers_that_get_sigterm_finish_or_return_their_messages(
    processes: Processes, engine: Engine, client: Redis, service: Components
) -> None:
    # Given
    Shelf(engine).add_variant("cup", stock=200)
    before = processes.count_lines("ended with 0")
    start_many(service, 200)
    # When two workers get SIGTERM during a batch
    for name in ("inventory_reservation", "payment_authorization"):
        os.kill(Target(processes, engine, name).wait_until_busy(client), signal.SIGTERM)
    # Then both end in order, and everything is done
    processes.assert_all_sold(engine, 200)
    processes.wait_until(engine, lambda _: processes.count_lines("ended with 0") == before + 2, "both ended in order")


def test_an_emptied_redis_delays_and_loses_nothing(
    processes: Processes, engine: Engine, client: Redis, service: Components
) -> None:
    # Given
    Shelf(engine).add_variant("cup", stock=200)
    start_many(service, 200)
    # When it is emptied twice on the way
    for completed in (20, 80):
        left = processes.wait_for_progress(engine, completed)
        client.flushdb()
        assert left > 0
    # Then
    processes.assert_all_sold(engine, 200)


def test_two_schedulers_redeliver_lost_messages_once(
    processes: Processes, engine: Engine, client: Redis, service: Components
) -> None:
    # Given a hundred checkouts whose messages never reached Redis
    Shelf(engine).add_variant("cup", stock=100)
    requests = [StartRequest.model_validate(build_request()) for _ in range(100)]
    with engine.begin() as connection:
        ids = [intake.start(connection, request, processes.settings).checkout_id for request in requests]
    # When both schedulers sweep
    processes.assert_all_sold(engine, 100)
    # Then each message was redelivered once
    with engine.connect() as connection:
        redelivered = connection.execute(
            text("SELECT checkout_id, phase FROM events WHERE kind = 'sweep.redelivered'")
        ).all()
    assert sorted((row.checkout_id, row.phase) for row in redelivered) == [(id_, CHAIN[0].queue) for id_ in sorted(ids)]


def test_bad_messages_are_recorded_once_and_affect_no_others(
    processes: Processes, engine: Engine, client: Redis
) -> None:
    # Given bad messages of every kind, each between two good ones
    Shelf(engine).add_variant("cup", stock=100)
    unreadable = [
        b"\x00\xff no message",
        b"[]",
        b'{"queue_name": "checkout.intake"}',
        encode_message(INTAKE, build_request(), actor_name="nobody"),
        encode_message(INTAKE, build_request(), kwargs={"now": True}),
        encode_message(INTAKE),
        encode_message(INTAKE, build_request(), build_request()),
        encode_message(INTAKE, "order-4711"),
    ]
    refused: Sequence[tuple[str, dict[str, Any]]] = [
        ("request_invalid", {}),
        ("request_invalid", build_request(owner="")),
        ("request_invalid", build_request(owner="\x00")),
        ("request_invalid", build_request(cart=None)),
        ("request_invalid", build_request(ttl_seconds="ten")),
        ("idempotency_key_required", build_request(idempotency_key=None)),
        ("ttl_too_long", build_request(ttl_seconds=100_000)),
        ("cart_unknown", build_request(cart=None, cart_id=str(uuid4()))),
    ]
    # When
    bad = [*unreadable, *(encode_message(INTAKE, request) for _, request in refused)]
    for body in bad:
        push_raw(client, INTAKE, encode_message(INTAKE, build_request()))
        push_raw(client, INTAKE, body)
    bad_id = push_raw(client, "checkout.price_lock", encode_message("checkout.price_lock", "not-an-id"))
    # Then the good ones are bought
    processes.assert_all_sold(engine, len(bad))
    # ... each bad one is recorded once, with its reason
    is_recorded = text("SELECT count(*) >= :count FROM rejected_messages")
    processes.wait_until(
        engine, lambda c: c.execute(is_recorded, {"count": len(bad) + 1}).scalar_one(), "all are recorded"
    )
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT queue, code, message FROM rejected_messages")).all()
    codes = sorted((row.queue, row.code) for row in rows)
    assert codes == sorted(
        [("checkout.price_lock", "message_invalid")]
        + [(INTAKE, "message_invalid")] * len(unreadable)
        + [(INTAKE, code) for code, _ in refused]
    )
    assert all(row.message.endswith(".") and "?" not in row.message for row in rows)
    # ... unreadable ones are dead letters, except the three that contain a token, and no message is left
    assert client.zcard(f"dramatiq:{INTAKE}.XQ") == len(unreadable) - 3
    assert client.zrange("dramatiq:checkout.price_lock.XQ", 0, -1) == [bad_id.encode()]
    processes.wait_until(
        engine,
        lambda _: (
            not find_holders(client, INTAKE) and client.exists(f"dramatiq:{INTAKE}", f"dramatiq:{INTAKE}.msgs") == 0
        ),
        "the queue is empty",
    )


def test_an_unavailable_redis_delays_and_loses_nothing(database_url: str, engine: Engine, tmp_path: Path) -> None:
    # Given an own Redis server, and one worker for all queues
    valkey = Valkey(tmp_path)
    valkey.start()
    settings = build_settings(database_url, valkey.url)
    queues = " ".join(line.split(" -Q ")[1].split()[0] for line in read_procfile().values() if " -Q " in line)
    lines = {
        "worker": f"dramatiq workers.main:build_broker -p 1 -t 4 --worker-shutdown-timeout 10000 -Q {queues}",
        "scheduler": "python -m workers.scheduler",
    }
    Shelf(engine).add_variant("cup", stock=140)
    try:
        with run_processes(settings, tmp_path / "log", lines) as processes:
            service = build_components(settings, "test")
            start_many(service, 120)
            # When it is unavailable for three seconds on the way, and buyers go on
            left = processes.wait_for_progress(engine, 20)
            valkey.stop()
            start_many(service, 20)
            threading.Event().wait(3)
            valkey.start()
            # Then
            processes.assert_all_sold(engine, 140)
            assert left > 0
            service.close()
    finally:
        valkey.stop()
