"""The transaction runner: what the database could not carry through is repeated, and nothing else is."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from pipeline.database.connections import assert_no_transaction
from pipeline.database.transactions import TransactionRunner

WAITS = (0.001, 0.002)
INSERT = text("INSERT INTO locations (code) VALUES (:code)")


def fail_first(times: int, statement: str) -> tuple[Callable[[Connection], int], list[int]]:
    """Return work that writes a row and then fails in its first tries, and the tries it has had."""
    tries: list[int] = []

    def work(connection: Connection) -> int:
        tries.append(len(tries) + 1)
        connection.execute(INSERT, {"code": f"try-{tries[-1]}"})
        if tries[-1] <= times:
            connection.execute(text(statement))
        return tries[-1]

    return work, tries


def read_codes(engine: Engine) -> list[str]:
    """Return the rows that were committed."""
    with engine.connect() as connection:
        return list(
            connection.execute(text("SELECT code FROM locations WHERE code LIKE 'try-%' ORDER BY code")).scalars()
        )


LOST = "SELECT pg_terminate_backend(pg_backend_pid())"
WRONG = "SELECT 1 / 0"


def test_a_lost_connection_is_repeated_and_leaves_one_commit(engine: Engine) -> None:
    work, tries = fail_first(2, LOST)
    assert TransactionRunner(engine, waits=WAITS).run(work) == 3
    assert (tries, read_codes(engine)) == ([1, 2, 3], ["try-3"])


def test_after_the_last_repeat_it_is_raised(engine: Engine) -> None:
    work, tries = fail_first(3, LOST)
    with pytest.raises(DBAPIError):
        TransactionRunner(engine, waits=WAITS).run(work)
    assert (tries, read_codes(engine)) == ([1, 2, 3], [])


def test_the_longest_pause_is_repeated_when_requested(engine: Engine) -> None:
    work, tries = fail_first(4, LOST)
    assert TransactionRunner(engine, waits=WAITS).run(work, more_repeats=2) == 5
    assert (tries, read_codes(engine)) == ([1, 2, 3, 4, 5], ["try-5"])


def test_what_the_work_got_wrong_is_raised_at_once(engine: Engine) -> None:
    work, tries = fail_first(1, WRONG)
    with pytest.raises(DBAPIError, match="division by zero"):
        TransactionRunner(engine, waits=WAITS).run(work)
    assert (tries, read_codes(engine)) == ([1], [])


def test_a_read_is_repeated_too(engine: Engine) -> None:
    work, tries = fail_first(1, LOST)
    assert TransactionRunner(engine, waits=WAITS).read(work) == 2
    assert tries == [1, 2]


def test_no_gateway_can_be_called_inside(engine: Engine) -> None:
    with pytest.raises(RuntimeError, match="inside a database transaction"):
        TransactionRunner(engine).run(lambda _connection: assert_no_transaction())
    assert_no_transaction()
