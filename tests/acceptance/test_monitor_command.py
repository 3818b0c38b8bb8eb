"""`scripts/monitor.py` as an operator runs it."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest
from redis import Redis
from sqlalchemy import Engine

from pipeline.operations.statistics import list_queues
from pipeline.settings import Settings
from tests.support import commands

pytestmark = pytest.mark.acceptance

ROOT: Final = Path(__file__).resolve().parents[2]
CONSISTENT_ROWS: Final = ROOT / "tests" / "integration" / "audit" / "consistent_rows.sql"
COMMAND: Final = (sys.executable, str(ROOT / "scripts" / "monitor.py"))


@pytest.fixture
def stored_checkouts(engine: Engine) -> None:
    """Commit one completed, one failed and one running checkout."""
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(CONSISTENT_ROWS.read_text())


def environment(settings: Settings, **others: str) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "CHECKOUT_GATEWAY": settings.gateway,
        "TERM": "xterm-256color",
        "COLUMNS": "100",
        "LINES": "50",
        **others,
    }


def run(cwd: Path, settings: Settings, *args: str, **others: str) -> subprocess.CompletedProcess[str]:
    # From an empty folder, so that it reads no `.env`.
    return commands.run([*COMMAND, *args], cwd=cwd, env=environment(settings, **others), timeout=200)


@pytest.mark.usefixtures("stored_checkouts")
def test_in_a_pipe_it_prints_one_fact_a_line(tmp_path: Path, settings: Settings) -> None:
    with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        redis.hset("dramatiq:checkout.price_lock.msgs", "a", "{}")
        redis.rpush("dramatiq:checkout.price_lock", "a")
    done = run(tmp_path, settings)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert {
        "hours 24",
        "gateway sandbox (play money: nothing is charged)",
        "state completed 1",
        "state awaiting_payment 0",
        "success 50.0%",
        "p50 2.00s",
        "units_held 1",
        "step inventory_reservation checkouts=0 oldest=- per_minute=0",
        "queue checkout.price_lock waiting=1 in_flight=0 dead_lettered=0 oldest=-",
        "queue checkout.sweep waiting=0 in_flight=0 dead_lettered=0 oldest=-",
        "failure payment_declined 1",
        "attention stuck 0",
    } <= set(lines)
    assert len([line for line in lines if line.startswith("queue ")]) == len(list_queues())
    assert "\x1b" not in done.stdout


@pytest.mark.usefixtures("stored_checkouts")
def test_json_is_one_object(tmp_path: Path, settings: Settings) -> None:
    done = run(tmp_path, settings, "--json", "--hours", "1")
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["hours"], found["success_rate"], found["failures"]) == (1, 0.5, {"payment_declined": 1})
    assert found["duration"] == {"p50_seconds": 2, "p95_seconds": 2, "average_seconds": 2}
    assert [step["name"] for step in found["steps"] if step["checkouts"]] == ["price_lock"]
    assert found["queues"][0] == {
        "queue": "checkout.intake",
        "waiting": 0,
        "in_flight": 0,
        "dead_lettered": 0,
        "oldest_seconds": None,
    }


@pytest.mark.usefixtures("stored_checkouts")
def test_without_redis_a_note_is_printed_and_the_rest_is_shown(tmp_path: Path, settings: Settings) -> None:
    away = "redis://127.0.0.1:1/0"
    plain = run(tmp_path, settings, REDIS_URL=away)
    assert plain.returncode == 0
    assert "queues unknown: Redis did not answer" in plain.stdout.splitlines()
    assert "state completed 1" in plain.stdout.splitlines()
    assert json.loads(run(tmp_path, settings, "--json", REDIS_URL=away).stdout)["queues"] is None


def test_without_a_database_it_is_exit_2_and_one_sentence(tmp_path: Path, settings: Settings) -> None:
    done = run(tmp_path, settings, "--watch", DATABASE_URL="postgresql://shop:secret@127.0.0.1:1/shop")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("The database did not answer: connection failed:")
    assert "secret" not in done.stderr


@pytest.mark.usefixtures("stored_checkouts")
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)], ids=["ctrl_c", "sigterm"])
def test_watching_in_a_pipe_repeats_until_it_is_ended(
    tmp_path: Path, settings: Settings, signum: signal.Signals, code: int
) -> None:
    with subprocess.Popen(
        [*COMMAND, "--watch", "--json"],
        cwd=tmp_path,
        env=environment(settings, PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        readings = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signum)
        assert process.wait(60) == code
        assert process.stderr.read() == ""
    assert [reading["states"]["completed"] for reading in readings] == [1, 1]
    assert readings[0]["at"] < readings[1]["at"]


@pytest.mark.usefixtures("stored_checkouts")
def test_watching_on_a_terminal_draws_tables_and_restores_the_screen(tmp_path: Path, settings: Settings) -> None:
    # given a terminal
    terminal, process_side = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "--watch"],
        cwd=tmp_path,
        # Python without buffers drops the rest of a write that a signal cuts.
        env=environment(settings, PYTHONUNBUFFERED=""),
        stdin=process_side,
        stdout=process_side,
        stderr=process_side,
        close_fds=True,
    )
    os.close(process_side)
    try:
        # when the tables are drawn, and Ctrl-C is pressed
        shown = read_until(terminal, b"stock_commit", seconds=60)
        process.send_signal(signal.SIGINT)
        shown += read_until(terminal, None, seconds=60)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    # then the other screen was used and restored, and the last view stays
    before, _, rest = shown.decode().partition("\x1b[?1049h")
    during, _, after = rest.partition("\x1b[?1049l")
    assert "Traceback" not in shown.decode()
    for view in (during, after):
        words = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", view)
        assert re.search(r"success +50\.0%", words)
        assert re.search(r"price_lock +1 ", words)
        assert "needs attention" in words
        assert re.search(r"payment_declined +1 +100%", words)
    assert before == ""


def read_until(terminal: int, wanted: bytes | None, *, seconds: float) -> bytes:
    """Read until `wanted` was seen, or to the end."""
    seen = b""
    deadline = time.monotonic() + seconds
    while wanted is None or wanted not in seen:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing more within {seconds} s after {seen!r}"
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # a terminal whose other side is closed
            chunk = b""
        if not chunk:
            break
        seen += chunk
    return seen
