"""`partitions` as an operator runs it: its output, its exit codes, and what it leaves alone."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from models.names import PARTITIONED
from pipeline.operations.partitions import add_months
from pipeline.settings import Settings
from scripts import audit, partitions
from tests.integration.operations.months import APRIL, MARCH, Yard, open_yard


@pytest.fixture
def yard(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    """An engine on a database of its own, which is the one of the commands."""
    with open_yard(settings, monkeypatch) as found:
        monkeypatch.setenv("DATABASE_URL", found.settings.database_url.get_secret_value())
        monkeypatch.setenv("REDIS_URL", settings.redis_url.get_secret_value())
        yield found


def run(*arguments: str) -> Result:
    return CliRunner().invoke(partitions.app, list(arguments))


def test_months_are_listed_made_and_detached(yard: Yard) -> None:
    # Given a purchase in March, without a partition
    yard.buy_in(MARCH)
    ahead = add_months(datetime.now(UTC).date(), 4)
    wanted = [f"{month:%Y-%m}\t{table}" for month in (MARCH, ahead) for table in PARTITIONED]
    # When partitions are made: first none, then all, then none again
    dry = run("create", "--months", "4", "--dry-run")
    assert (dry.exit_code, dry.stdout.splitlines()) == (0, wanted)
    made = json.loads(run("create", "--months", "4", "--json").stdout)
    assert [(each["table"], each["moved"] > 0) for each in made] == [
        ("events", True),
        ("stock_movements", True),
        ("events", False),
        ("stock_movements", False),
    ]
    again = run("create", "--months", "4")
    assert (again.exit_code, again.stdout, again.stderr) == (0, "", "Nothing is missing.\n")
    # and March is detached: first not, then really, then again
    parts = [f"2024-03\t{table}_2024_03" for table in PARTITIONED]
    for options, left in ((["--dry-run"], True), ([], False)):
        done = run("detach", "--before", "2024-04", *options)
        assert (done.exit_code, [line.rpartition("\t")[0] for line in done.stdout.splitlines()]) == (0, parts)
        listed = json.loads(run("list", "--json").stdout)
        assert [each["is_attached"] for each in listed if each["month"] == "2024-03-01"] == [left, left]
    last = run("detach", "--before", "2024-04")
    assert (last.exit_code, last.stdout, last.stderr) == (0, "", "No month before that has a partition.\n")
    assert "2024-03\tevents\tdetached" in run("list").stdout
    # Then the audit is clean, also of the last hours
    for options in ([], ["--since", "1"]):
        assert CliRunner().invoke(audit.app, options).exit_code == 0


def test_a_month_that_is_not_finished_is_refused_in_one_sentence(yard: Yard) -> None:
    yard.make(MARCH, APRIL)
    yard.buy_in(MARCH)
    yard.start_in(APRIL, token=None)
    yard.works.pump()
    sentence = "2024-04 is not detached, nor any other month: 1 checkout is still active.\n"
    for options in ([], ["--dry-run"]):
        refused = run("detach", "--before", "2024-05", *options)
        assert (refused.exit_code, refused.stderr) == (1, sentence)
    as_json = run("detach", "--before", "2024-05", "--json")
    assert (as_json.exit_code, [each["obstacle"] for each in json.loads(as_json.stdout)]) == (
        1,
        [None, "1 checkout is still active"],
    )
    assert yard.shelf.rows("SELECT * FROM detached_months") == []


def test_tables_that_are_in_use_are_left_alone(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.operations.partitions.LOCK_SECONDS", 0.05)
    yard.buy_in(MARCH)
    with yard.engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM events"))
        busy = run("create")
    assert (busy.exit_code, busy.stderr) == (
        1,
        "The tables are in use for longer than checkouts can wait, by an audit or a backup: run it again.\n",
    )
    assert run("create").exit_code == 0


@pytest.mark.parametrize("month", ["2024", "2024-13", "soon"])
def test_a_month_is_written_as_one(yard: Yard, month: str) -> None:
    del yard
    refused = run("detach", "--before", month)
    assert (refused.exit_code, "it must be a month such as 2026-01" in refused.stderr) == (2, True)


def test_a_database_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    away = run("list")
    assert (away.exit_code, away.stderr.startswith("The database did not answer")) == (2, True)
