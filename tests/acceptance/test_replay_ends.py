"""How a replay ends: interrupted, called wrongly, without servers, stuck."""

import signal
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pipeline.settings import Settings
from scripts.environments.ending import Ending
from scripts.invoice_replay.invoices import read_invoices
from scripts.invoice_replay.run import build_message, read_outcome, run_messages, stock_variants
from tests.acceptance.replays import (
    INVOICES,
    assert_nothing_is_left,
    find_databases,
    name_servers,
    read_database,
    run,
    start,
)


@pytest.mark.parametrize(
    ("wait_for", "signum"), [("dropped at the end", signal.SIGTERM), ("0 of 3", signal.SIGINT)], ids=["early", "late"]
)
def test_ended_before_it_is_done_it_leaves_nothing_behind(
    invoices: Path, settings: Settings, engine: Engine, wait_for: str, signum: signal.Signals
) -> None:
    # Given a replay that cannot end in time: the bank takes three seconds for each call
    servers = {**name_servers(settings), "CHECKOUT_SANDBOX_LATENCY_SECONDS": "3"}
    process = start(
        invoices,
        {**servers, "CHECKOUT_GATEWAY_TIMEOUT_SECONDS": "20", "CHECKOUT_GATEWAY_LEASE_SECONDS": "30"},
        "--json",
    )
    assert process.stderr is not None
    notes = ""
    for line in process.stderr:
        notes += line
        if wait_for in line:
            break
    assert read_database(notes) in find_databases(settings)
    # When it gets the signal twice, as from an impatient user
    process.send_signal(signum)
    time.sleep(0.1)
    process.send_signal(signum)
    output, rest = process.communicate(timeout=200)
    # Then
    assert (process.returncode, output) == (128 + signum, "")
    assert rest.splitlines()[-1] == "Ended before it was done; nothing is left behind."
    assert_nothing_is_left(settings, engine, notes)


@pytest.mark.parametrize(
    ("content", "arguments", "sentence"),
    [
        (None, [], "invoices.csv cannot be read: No such file or directory."),
        (
            INVOICES[10:],
            [],
            "invoices.csv is not a file of invoices: it has no column InvoiceNo; its first row is 'StockCode',"
            " 'Description', 'Quantity', 'InvoiceDate', 'UnitPrice', 'CustomerID', 'Country'.",
        ),
        (
            INVOICES.splitlines()[0] + "\nC1,A,B,1,,1,,France\n",
            [],
            "invoices.csv has no invoice to replay: 1 of 1 rows refused, the first because of: cancelled invoice 'C1'.",
        ),
        (INVOICES, ["--currency", "xau"], "XAU is not an ISO 4217 currency with a minor unit: use one such as GBP."),
        (INVOICES, ["--vat", "101"], "101 is not a percentage: use one from 0 to 100, such as 20 or 7.5."),
        (INVOICES, ["--vat", "a fifth"], "a fifth is not a percentage: use one from 0 to 100, such as 20 or 7.5."),
        (INVOICES, ["--keep"], "--keep keeps a database of a server that stays: set DATABASE_URL."),
    ],
    ids=["no-file", "no-columns", "no-invoices", "no-currency", "vat-101", "vat-word", "keep-nothing"],
)
def test_a_wrong_call_is_exit_2_with_one_sentence(
    tmp_path: Path, content: str | None, arguments: list[str], sentence: str
) -> None:
    file = tmp_path / "invoices.csv"
    if content is not None:
        file.write_text(content)
    code, output, notes = run(file, {}, *arguments)
    assert (code, output, notes.replace(str(file), "invoices.csv")) == (2, "", f"{sentence}\n")


def test_servers_that_do_not_answer_are_reported_in_one_sentence(invoices: Path, settings: Settings) -> None:
    code, output, notes = run(invoices, {**name_servers(settings), "REDIS_URL": "redis://127.0.0.1:1"}, "--json")
    assert (code, output) == (1, "")
    assert notes.splitlines()[-1].startswith("Redis did not answer: ")


def test_a_stuck_replay_reports_where_checkouts_are(engine: Engine, settings: Settings) -> None:
    # Given no workers
    invoices = read_invoices(INVOICES.encode(), "GBP").invoices
    stock = stock_variants(engine, invoices, None)
    messages = [build_message(invoice, "GBP", "run", settings) for invoice in invoices]
    shown: list[int] = []
    # When
    with Ending() as ending:
        seconds = run_messages(engine, settings, messages, ending, shown.append, stuck_seconds=0.3)
    # Then
    assert 0.3 < seconds < 10
    assert set(shown) == {0}
    with engine.connect() as connection:
        outcome = read_outcome(connection, stock, len(messages))
    assert (outcome.completed, outcome.failed, outcome.unfinished) == (0, {}, {"not started": 3})
    assert (outcome.units_sold, outcome.units_left, outcome.off) == (0, 16, ())
