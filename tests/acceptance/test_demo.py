"""The demo as a user runs it: its output is right, and it leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

import psycopg
import pytest
from redis import Redis

from pipeline.audit.report import list_invariants
from tests.support.pages import read_blocks

pytestmark = pytest.mark.acceptance

ROOT: Final = Path(__file__).resolve().parents[2]
#: On an idle machine the demo takes under half a minute.
BOUND_SECONDS: Final = 300
MARK: Final = "DEMO_TEST_MARK"


@contextmanager
def start_demo(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], Path, str]]:
    """Start the demo with its own temporary folder, and a mark that all its processes inherit."""
    mark = uuid4().hex
    with tempfile.TemporaryDirectory(prefix="d-") as folder, tempfile.TemporaryDirectory(prefix="e-") as empty:
        Path(folder).chmod(0o755)  # PostgreSQL's account must reach the data
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.demo", *arguments],
            cwd=empty,  # where no `.env` is
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": folder, MARK: mark, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield process, Path(folder), mark
        finally:
            process.kill()
            process.communicate()


def find_processes(mark: str) -> list[str]:
    """Return the commands of running processes with this mark. Empty without /proc."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it has ended meanwhile
            continue
    return [command for command in found if command]


def list_databases(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'demo%'")}


def list_leases(url: str) -> set[int]:
    """Return the Redis databases that scripts have leased."""
    found = set()
    for number in range(1, 16):
        with Redis.from_url(re.sub(r"/\d+$", "", url), db=number) as client:
            if client.exists("checkout:scratch"):
                found.add(number)
    return found


def read_until(process: subprocess.Popen[str], wanted: str) -> None:
    """Read up to the line that contains this. The time limit of the test bounds the wait."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if wanted in line:
            return
    pytest.fail(f"It ended without {wanted!r}: {''.join(lines)}")


def test_the_demo_runs_on_its_own_servers() -> None:
    # When
    with start_demo() as (process, folder, mark):
        output, errors = process.communicate(timeout=BOUND_SECONDS)
        left = (find_processes(mark), list(folder.iterdir()))
    # Then
    assert (process.returncode, errors, left) == (0, "", ([], []))
    assert "\x1b" not in output
    lines = [re.sub(r"^ *\d+\.\d s  ", "", line).rstrip() for line in output.splitlines()]
    # The README shows the real output.
    assert {line.rstrip() for line in read_blocks("text")[0].text.splitlines()} <= set(lines)
    rest = iter(lines)
    for wanted in (
        "Starting: PostgreSQL and Redis from wheels, worker processes. Ctrl-C leaves nothing behind.",
        "20 buyers want 12 kettles, all at once",
        "12 hold all that is in their carts, 8 hold nothing.",
        'Their error: "kettle" is sold out: remove it.',
        "12 have paid: orders 1001 to 1012.",
        'Nora pays at once: "The payment was declined (card_declined): try another payment method."',
        "His first card lacks funds. The reservation stays, he may try another.",
        "His second card pays 38.00 EUR: order 1013.",
        "Omar sends back one of his two cups: 4.50 EUR is refunded.",
        "The cup is whole: 1 cup is in the stock of main again.",
        "Pia holds 2 teapots and 3 teas. Her cart is locked: an UPDATE in plain SQL is refused.",
        "She cancels. All is back in stock, and the same UPDATE is carried out.",
        "... the payment_authorization worker is killed (SIGKILL). The engine knows only that it called.",
        "Called again with the same key, the bank repeats its answer: order 1014.",
        "Quin's checkout has expired; the 3 teapots are back in stock.",
    ):
        assert wanted in rest, f"{wanted!r} is missing or out of order in {output}"
    table = dict(re.findall(r"^(\w[\w =]*?)  +(\S.*?)  +yes$", "\n".join(lines), re.MULTILINE))
    assert table.pop("stock conserved").endswith("; 0 held")
    assert table == {
        "checkouts": "25",
        "completed": "14",
        "failed": "9: out_of_stock 8, payment_declined 1",
        "cancelled": "1",
        "expired": "1",
        "kettles": "12 of 12 sold, 0 left",
        "money = orders": "656.50 EUR kept = 661.00 EUR in 14 orders - 4.50 EUR",
        "one of two cups": "came back: 4.50 EUR returned, 1 unit restocked",
        "killed worker": "1 killed in mid-payment, 1 restarted, 1 charge",
        "locks left": "0",
        "audit": f"clean, {len(list_invariants())} invariants checked",
    }
    assert len([line for line in lines if line.startswith("  checkout ")]) == 3


def test_json_is_one_object_and_the_databases_on_given_servers_are_gone(server_urls: tuple[str, str]) -> None:
    # Given servers that other clients may use
    database_url, redis_url = server_urls
    before = (list_databases(database_url), list_leases(redis_url))
    # When
    with start_demo("--json", DATABASE_URL=database_url, REDIS_URL=redis_url) as (process, folder, mark):
        output, errors = process.communicate(timeout=BOUND_SECONDS)
        left = (find_processes(mark), list(folder.iterdir()))
    # Then
    assert (process.returncode, errors, left) == (0, "", ([], []))
    facts = json.loads(output)
    assert facts.pop("seconds") > 0
    stock = facts.pop("stock")
    assert stock["kettle"] == {"received": 12, "sold": 12, "left": 0, "held": 0}
    assert stock["teapot"] == {"received": 40, "sold": 2, "left": 38, "held": 0}
    assert [each["received"] - each["sold"] - each["left"] for each in stock.values()] == [0] * 5
    assert facts == {
        "checkouts": 25,
        "completed": 14,
        "failed": {"out_of_stock": 8, "payment_declined": 1},
        "cancelled": 1,
        "expired": 1,
        "money": {
            "currency": "EUR",
            "held_minor": 65650,
            "orders_minor": 66100,
            "refunded_minor": 450,
            "orders": 14,
        },
        "restocked": 1,
        "cart_was_locked": True,
        "killed": {
            "worker": "payment_authorization",
            "processes": 1,
            "in_flight": True,
            "restarts": 1,
            "authorizations": 1,
            "charges": 1,
        },
        "locks_left": 0,
        "audit": {"invariants": len(list_invariants()), "violations": {}},
        "kept": None,
        "ok": True,
    }
    assert (list_databases(database_url), list_leases(redis_url)) == before


@pytest.mark.parametrize(
    ("moment", "signum"),
    [
        ("Starting: ", signal.SIGINT),
        ("worker is killed (SIGKILL)", signal.SIGTERM),
    ],
    ids=["while the servers start", "while a killed worker comes back"],
)
def test_ctrl_c_at_any_moment_leaves_nothing_behind(moment: str, signum: signal.Signals) -> None:
    # Given
    with start_demo(PYTHONUNBUFFERED="1") as (process, folder, mark):
        read_until(process, moment)
        # When: a terminal signals the whole foreground group, and the user presses twice
        os.killpg(process.pid, signum)
        os.killpg(process.pid, signum)
        _, errors = process.communicate(timeout=BOUND_SECONDS)
        left = (find_processes(mark), list(folder.iterdir()))
    # Then
    assert (process.returncode, errors) == (128 + signum, "Ended before it was done; nothing is left behind.\n")
    assert left == ([], [])


def test_ctrl_c_on_given_servers_leaves_no_database(server_urls: tuple[str, str]) -> None:
    # Given
    database_url, redis_url = server_urls
    before = (list_databases(database_url), list_leases(redis_url))
    urls = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    with start_demo(PYTHONUNBUFFERED="1", **urls) as (process, folder, mark):
        read_until(process, "20 messages are on the queue checkout.intake")
        assert (list_databases(database_url), list_leases(redis_url)) != before
        # When
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=BOUND_SECONDS)
        left = (find_processes(mark), list(folder.iterdir()))
    # Then
    assert (process.returncode, left) == (130, ([], []))
    assert (list_databases(database_url), list_leases(redis_url)) == before


def test_servers_that_do_not_answer_are_exit_2_and_one_sentence() -> None:
    # Given
    urls = {"DATABASE_URL": "postgresql://shop:secret@127.0.0.1:1/shop", "REDIS_URL": "redis://127.0.0.1:1/0"}
    # When
    with start_demo("--json", **urls) as (process, folder, mark):
        output, errors = process.communicate(timeout=BOUND_SECONDS)
        left = (find_processes(mark), list(folder.iterdir()))
    # Then
    assert (process.returncode, output, left) == (2, "", ([], []))
    assert errors.startswith("The database did not answer: connection failed: ")
    assert (len(errors.splitlines()), "secret" in errors) == (1, False)
