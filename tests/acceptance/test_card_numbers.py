"""Card numbers on the queues of real workers: they are refused, and stored in no table, log or key of Redis."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import Engine, text

from models.tables import Base
from pipeline.errors import Code
from pipeline.errors.tree import SENTENCES
from pipeline.messaging import INTAKE
from pipeline.security.card_numbers import has_card_number
from pipeline.settings import Settings
from tests.support.harness import ADDRESS, Shelf
from tests.support.processes import BANK_TIMES, TIMES, Processes, encode_message, push_raw, run_processes

pytestmark = pytest.mark.acceptance

PRICE_LOCK: Final = "checkout.price_lock"
CARDS: Final = ["4242424242424242", "5555 5555 5555 4444", "3782-822463-10005", "6011 1111 1111 1117"]
#: The bare digits, which must be nowhere.
DIGITS: Final = [re.sub(r"\D", "", card) for card in CARDS]
#: `-v` prints every message as it comes and as the actor gets it.
LINES: Final = {"worker": f"dramatiq -v workers.main:build_broker -p 1 -t 2 -Q {INTAKE} {PRICE_LOCK}"}


@pytest.fixture
def processes(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Processes]:
    """One worker for both queues, with its most detailed log."""
    times = TIMES | {"log_level": "debug"}
    urls: dict[str, Any] = {"database_url": SecretStr(database_url), "redis_url": SecretStr(redis_url)}
    settings = Settings(_env_file=None, gateway="sandbox", **urls, **times).with_gateway_options(**BANK_TIMES)
    with run_processes(settings, tmp_path / "log", LINES) as running:
        yield running


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    """A plain Redis client, as an upstream has one."""
    with Redis.from_url(redis_url, decode_responses=True) as connected:
        yield connected


def build_request(**changes: Any) -> dict[str, Any]:
    cart = {
        "id": str(uuid4()),
        "currency": "EUR",
        "lines": [{"sku": "cup", "quantity": 1}],
        "shipping_address": ADDRESS,
    }
    return {"owner": "shop-1", "idempotency_key": str(uuid4()), "cart": cart} | changes


def dump_redis(client: Redis) -> str:
    """Return everything that Redis holds, as text."""
    shown = []
    for key in client.scan_iter():
        match client.type(key):
            case "hash":
                value: object = client.hgetall(key)
            case "list":
                value = client.lrange(key, 0, -1)
            case "set":
                value = client.smembers(key)
            case "zset":
                value = client.zrange(key, 0, -1)
            case _:
                value = client.get(key)
        shown.append(f"{key}: {value}")
    return "\n".join(shown)


def dump_database(engine: Engine) -> str:
    """Return every row of every table, as text."""
    with engine.connect() as connection:
        return "\n".join(
            row
            for table in Base.metadata.sorted_tables
            for row in connection.execute(text(f"SELECT to_jsonb(t)::text FROM {table.fullname} t")).scalars()
        )


def assert_clean(shown: str) -> None:
    """Assert that none of the card numbers is in the text, in any spelling."""
    assert not has_card_number(shown)
    packed = re.sub(r"[ -]", "", shown)
    assert [digits for digits in DIGITS if digits in packed] == []


def test_a_card_number_on_a_queue_is_kept_nowhere(
    processes: Processes, engine: Engine, client: Redis, tmp_path: Path
) -> None:
    # Given
    shelf = Shelf(engine)
    shelf.add_variant("cup", stock=50)
    # When card numbers come as tokens, each beside a valid message
    refused = [build_request(payment={"token": card}) for card in CARDS]
    refused += [build_request(payment={"token": f"my card: {card}, 12/29"}) for card in CARDS]
    refused += [build_request(payment={"token": int(DIGITS[0])}), build_request(payment={"number": CARDS[0]})]
    refused += [build_request(owner="", ttl_seconds="long", payment={"token": card}) for card in CARDS]
    # ... in other fields of requests that are refused for something else
    other = [build_request(owner="", reference=card) for card in CARDS]
    other += [build_request(payment={"token": "tok_ok"}, expected_lines={CARDS[0]: 1})]
    # ... and in messages that cannot be read
    unreadable = [
        b'{"args": [{"payment": {"token": "4242424242424242"',
        b"\xff\x00 5555 5555 5555 4444",
        encode_message(INTAKE, build_request(payment={"token": CARDS[0]}), **{f"card {CARDS[0]}": 1}),
        encode_message(INTAKE, build_request(payment={"token": CARDS[2]}), actor_name=f"nobody {CARDS[2]}"),
        encode_message(INTAKE, CARDS[3]),
    ]
    harmless = encode_message(INTAKE, "order-4711")
    for request in [*refused, *other]:
        push_raw(client, INTAKE, encode_message(INTAKE, build_request()))
        push_raw(client, INTAKE, encode_message(INTAKE, request))
    for body in [*unreadable, harmless]:
        push_raw(client, INTAKE, body)
    push_raw(client, PRICE_LOCK, encode_message(PRICE_LOCK, CARDS[1]))
    # Then each is recorded once, with its reason, and the valid messages are checkouts
    count = len(refused) + len(other) + len(unreadable) + 2
    written = text("SELECT count(*) FROM rejected_messages")
    started = text("SELECT count(*) FROM checkouts")
    processes.wait_until(engine, lambda c: c.execute(written).scalar_one() >= count, "all are recorded")
    processes.wait_until(
        engine, lambda c: c.execute(started).scalar_one() >= len(refused) + len(other), "the good ones are checkouts"
    )
    processes.wait_until(engine, lambda _: not client.hlen(f"dramatiq:{INTAKE}.msgs"), "the queue is empty")
    processes.wait_until(engine, lambda _: not client.hlen(f"dramatiq:{PRICE_LOCK}.msgs"), "the other queue too")
    codes = shelf.rows("SELECT queue, code, count(*) FROM rejected_messages GROUP BY 1, 2 ORDER BY 1, 2")
    assert codes == [
        (INTAKE, "card_number_refused", len(refused)),
        (INTAKE, "message_invalid", len(unreadable) + 1),
        (INTAKE, "request_invalid", len(other)),
        (PRICE_LOCK, "message_invalid", 1),
    ]
    assert shelf.rows("SELECT DISTINCT message FROM rejected_messages WHERE code = 'card_number_refused'") == [
        (SENTENCES[Code.CARD_NUMBER],)
    ]
    bodies = "SELECT count(*) FROM rejected_messages WHERE body LIKE '%[card number removed]%'"
    assert shelf.rows(bodies) == [(count - 1,)]
    # ... none is in the database, and the only dead letter is the one without
    assert_clean(dump_database(engine))
    assert_clean(dump_redis(client))
    assert list(client.hgetall(f"dramatiq:{INTAKE}.XQ.msgs").values()) == [harmless.decode()]
    assert client.exists(f"dramatiq:{PRICE_LOCK}.XQ", f"dramatiq:{PRICE_LOCK}.XQ.msgs") == 0
    # ... and the log, which shows every message that could be read, shows none
    log = (tmp_path / "log").read_text()
    assert log.count("Received message intake(") > 0
    assert log.count("'payment': {'token': '[card number removed]'}") >= len(CARDS)
    assert "it is not a message" in log
    assert_clean(log)
