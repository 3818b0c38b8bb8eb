"""`scripts/audit.py` as an operator runs it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from redis import Redis
from sqlalchemy import Engine

from pipeline.audit.report import list_invariants
from pipeline.settings import Settings
from scripts.environments.waiting import read_waiting
from tests.acceptance.auditor import CONSISTENT_ROWS, execute, run, write

pytestmark = pytest.mark.acceptance

RUNNING: Final = UUID("00000000-0000-7000-8000-000000000003")


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


def enqueue(redis: Redis, queue: str, body: str) -> None:
    message_id = str(uuid4())
    redis.hset(f"dramatiq:{queue}.msgs", message_id, body)
    redis.rpush(f"dramatiq:{queue}", message_id)


def test_exit_0_with_a_line_for_each_invariant_when_all_hold(
    tmp_path: Path, engine: Engine, settings: Settings
) -> None:
    write(engine, CONSISTENT_ROWS.read_text())
    done = execute(tmp_path, settings)
    assert (done.returncode, done.stderr) == (0, "")
    *lines, last = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["ok", invariant.name] for invariant in list_invariants()]
    assert last == "51 invariants, all hold."


def test_what_is_not_checked_is_named(tmp_path: Path, engine: Engine, settings: Settings) -> None:
    write(engine, CONSISTENT_ROWS.read_text())
    done = run(tmp_path, settings, CHECKOUT_SANDBOX_DATABASE_URL="postgresql:///bank")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-2:] == [
        "Not checked, as the tables of their gateway are in another database: bank_charge_is_order_total,"
        " bank_holds_no_authorization, bank_charged_once, bank_ledger_agrees, bank_has_no_orphaned_payments.",
        "46 invariants, all hold.",
    ]


def test_a_violated_invariant_is_exit_1_with_its_first_ten_rows(
    tmp_path: Path, engine: Engine, settings: Settings
) -> None:
    # given twelve stock levels that the ledger does not know
    write(
        engine,
        "INSERT INTO stock_levels (variant_id, location_id, on_hand) SELECT n, 1, 5 FROM generate_series(1, 12) AS n",
    )
    # when
    done = run(tmp_path, settings)
    # then
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    broken = [n for n, line in enumerate(lines) if line.startswith("BROKEN")]
    assert [lines[n].split()[1] for n in broken] == ["stock_is_ledger"]
    rows = lines[broken[0] + 1 : broken[0] + 11]
    assert rows[0].split() == [
        "variant_id=1",
        "location_id=1",
        "on_hand=5",
        "ledger_on_hand=None",
        "reserved=0",
        "ledger_reserved=None",
    ]
    assert lines[broken[0] + 11] == "       and 2 more"
    assert lines[-1] == "51 invariants, 1 violated."


def test_json_has_every_invariant_and_the_rows_of_violated_ones(
    tmp_path: Path, engine: Engine, settings: Settings
) -> None:
    write(
        engine,
        CONSISTENT_ROWS.read_text() + "UPDATE orders SET total_minor = 751 WHERE state = 'cancelled';"
        "UPDATE checkouts SET state = 'needs_review', review = '{}', due_at = NULL, due_reason = NULL"
        " WHERE state = 'running'",
    )
    done = run(tmp_path, settings, "--json")
    assert done.returncode == 1
    report: dict[str, Any] = json.loads(done.stdout)
    assert {key: value for key, value in report.items() if key != "invariants"} == {
        "violations": 1,
        "skipped": [],
        "needs_review": 1,
        "waiting": 0,
        "standby": None,
    }
    assert [each["name"] for each in report["invariants"]] == [invariant.name for invariant in list_invariants()]
    (broken,) = [invariant for invariant in report["invariants"] if not invariant["kept"]]
    assert (broken["name"], broken["count"]) == ("order_total_is_locked_total", 1)
    (row,) = broken["rows"]
    assert row.pop("voided_at") is not None
    assert row == {
        "checkout_id": "00000000-0000-7000-8000-000000000002",
        "total_minor": 751,
        "currency": "EUR",
        "locked_minor": 750,
        "locked_currency": "EUR",
        "lines_minor": 750,
    }


def test_an_overdue_checkout_whose_message_waits_in_redis_is_fine(
    tmp_path: Path, engine: Engine, settings: Settings, redis: Redis
) -> None:
    # given a checkout an hour late
    write(
        engine,
        CONSISTENT_ROWS.read_text() + "UPDATE checkouts SET due_at = now() - interval '1 hour' WHERE state = 'running'",
    )
    assert run(tmp_path, settings).returncode == 1
    # when its message waits in Redis
    enqueue(redis, "checkout.price_lock", json.dumps({"args": [str(RUNNING)]}))
    # then
    assert run(tmp_path, settings).returncode == 0


def test_without_redis_a_note_is_printed_and_all_is_checked(tmp_path: Path, engine: Engine, settings: Settings) -> None:
    write(engine, CONSISTENT_ROWS.read_text())
    done = run(tmp_path, settings, REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-2:] == [
        "Redis did not answer: a checkout with a message in a queue is reported as overdue too.",
        "51 invariants, all hold.",
    ]


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (
            {"DATABASE_URL": "postgresql://shop:secret@127.0.0.1:1/shop"},
            "The database did not answer: connection failed: connection to server at",
        ),
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL is not a database address: use one such as"),
        ({"REDIS_URL": "nonsense"}, "REDIS_URL is not a Redis address: use one such as"),
        (
            {"CHECKOUT_REDELIVER_AFTER_SECONDS": "-1"},
            "A setting is not valid: redeliver_after_seconds must be above 0.",
        ),
    ],
    ids=["database-away", "no-database-address", "no-redis-address", "bad-setting"],
)
def test_an_audit_that_cannot_run_is_exit_2_with_one_sentence(
    tmp_path: Path, settings: Settings, environment: dict[str, str], sentence: str
) -> None:
    done = run(tmp_path, settings, "--json", **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(sentence)
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr


def test_waiting_checkouts_are_those_of_readable_messages(redis: Redis) -> None:
    first, second, third = uuid4(), uuid4(), uuid4()
    enqueue(redis, "checkout.price_lock", json.dumps({"args": [str(first)]}))
    enqueue(redis, "checkout.unwind", json.dumps({"args": [str(second), str(third)]}))
    for body in ("not json", "[]", "{}", '{"args": ["x"]}', '{"args": [{"owner": "shop"}]}', '{"args": [1]}'):
        enqueue(redis, "checkout.stock_commit", body)
    assert read_waiting(redis) == {first, second, third}
