"""`scripts/replay.py` as a person runs it: a file in, real processes, figures out, nothing left behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
import pytest
from redis import Redis
from sqlalchemy import Engine, text

from pipeline.audit.report import INVARIANTS
from pipeline.settings import Settings
from scripts.environments.ending import Ending
from scripts.invoice_replay.invoices import read_invoices
from scripts.invoice_replay.run import build_message, read_outcome, run_messages, stock_up

pytestmark = pytest.mark.acceptance

ROOT: Final = Path(__file__).resolve().parents[2]
SAMPLE: Final = ROOT.parent / "shared" / "data" / "online_retail_sample.csv"
needs_sample = pytest.mark.skipif(not SAMPLE.exists(), reason="The sample of real invoices is not beside the project.")

#: A cup at two prices, twice in one basket, something free, a return, a cancelled invoice, and rows of no use.
INVOICES: Final = """\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
1001,CUP,Café cup,2,12/1/2010 8:26,2.50,17850,United Kingdom
1001,CUP,Café cup,1,12/1/2010 8:26,2.10,17850,United Kingdom
1001,POT,Pot,4,12/1/2010 8:26,10,17850,United Kingdom
1002,CUP,Café cup,3,12/1/2010 8:28,2.50,,EIRE
C1003,CUP,Café cup,-3,12/1/2010 8:30,2.50,,EIRE
1004,POT,Pot,-1,12/1/2010 8:30,10,17850,France
1005,POT,Pot,1,12/1/2010 8:31,10.00,12431,Nowhere
1005,POT,Pot,1,12/1/2010 8:31,10.00,12431,Australia
1005,CARD,"A card, free",5,12/1/2010 8:31,0,12431,Australia
"""
REFUSED: Final = [
    {"row": 6, "reason": "cancelled invoice 'C1003'"},
    {"row": 7, "reason": "negative quantity -1: a return, not a sale"},
    {"row": 8, "reason": "country 'Nowhere': no place known to send to"},
]


class TaxedLine(NamedTuple):
    """A line of an order with its taxes as (name, rate, amount)."""

    order: str
    order_tax_minor: int
    total_minor: int
    tax_minor: int
    tax_included: bool
    taxes: list[tuple[str, Fraction, int]]


@pytest.fixture
def invoices(tmp_path: Path) -> Path:
    path = tmp_path / "invoices.csv"
    path.write_bytes(INVOICES.encode("cp1252"))
    return path


def name_servers(settings: Settings) -> dict[str, str]:
    return {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
    }


def start(file: Path, servers: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    # From the folder of the file, where no `.env` is.
    return subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "replay.py"), str(file), *arguments],
        cwd=file.parent,
        env={**os.environ, **servers},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(file: Path, servers: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    process = start(file, servers, *arguments)
    try:
        output, notes = process.communicate(timeout=100)
    finally:
        process.kill()
    return process.returncode, output, notes


def read_database(notes: str) -> str:
    found = re.search(r"replay_[0-9a-f]{12}", notes)
    assert found is not None, notes
    return found[0]


def find_databases(settings: Settings) -> set[str]:
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:
        return {str(name) for (name,) in connection.execute("SELECT datname FROM pg_database")}


def find_processes(database: str) -> list[str]:
    """Return the processes that were given this database."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if database.encode() in (folder / "environ").read_bytes():
                found.append(folder.name)
        except OSError:  # it ended meanwhile
            continue
    return found


def read_orders(settings: Settings, database: str) -> list[tuple[Any, ...]]:
    """Return the lines of all placed orders of a kept database, which is dropped."""
    return read_kept(
        settings,
        database,
        """
            SELECT split_part(o.reference, '-', 1), l.sku, l.title, l.quantity, l.total_minor,
                   o.shipping_address ->> 'name', o.shipping_address ->> 'country'
            FROM orders o JOIN order_lines l ON l.order_id = o.id WHERE o.state = 'placed' ORDER BY 1, l.line
        """,
    )


def read_taxes(settings: Settings, database: str) -> list[TaxedLine]:
    """Return the lines of all placed orders of a kept database, which is dropped, in the order of the invoices."""
    rows = read_kept(
        settings,
        database,
        """
            SELECT o.reference, o.tax_minor, l.total_minor, l.tax_minor, l.tax_included, l.taxes
            FROM orders o JOIN order_lines l ON l.order_id = o.id WHERE o.state = 'placed' ORDER BY 1, l.line
        """,
    )
    return [
        TaxedLine(
            order,
            order_tax_minor,
            total_minor,
            tax_minor,
            tax_included,
            [(tax["name"], Fraction(tax["rate"]), tax["amount_minor"]) for tax in taxes],
        )
        for order, order_tax_minor, total_minor, tax_minor, tax_included, taxes in rows
    ]


def read_kept(settings: Settings, database: str, query: LiteralString) -> list[Any]:
    """Run a query on a kept database, which is dropped."""
    url = settings.database_url.get_secret_value()
    with psycopg.connect(url, dbname=database) as connection:
        found = connection.execute(query).fetchall()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {database}")
    return found


def assert_nothing_is_left(settings: Settings, engine: Engine, notes: str) -> None:
    database = read_database(notes)
    assert database not in find_databases(settings)
    assert find_processes(database) == []
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM variants")).scalar_one() == 0
        assert connection.execute(text("SELECT count(*) FROM checkouts")).scalar_one() == 0
    with Redis.from_url(settings.redis_url.get_secret_value()) as client:
        assert client.dbsize() == 0


def test_every_invoice_becomes_an_order_at_the_prices_of_the_file(invoices: Path, settings: Settings) -> None:
    # When, with the database kept to look at
    code, output, notes = run(invoices, name_servers(settings), "--json", "--keep")
    # Then
    assert (code, len(output.splitlines())) == (0, 1), notes
    found: dict[str, Any] = json.loads(output)
    assert 0 < found.pop("seconds") < 60
    assert found == {
        "checkouts": 3,
        "completed": 3,
        "failed": {},
        "unfinished": {},
        "units_stocked": 16,
        "units_sold": 16,
        "units_left": 0,
        "units_held": 0,
        "revenue_minor": 4710 + 750 + 1000,
        "tax_minor": 0,
        "currency": "GBP",
        "stock_conserved": True,
        "stock_off": [],
        "audit_violations": 0,
        "audit_invariants": len(INVARIANTS),
        "broken": [],
        "file": "invoices.csv",
        "encoding": "windows-1252",
        "rows": 9,
        "refused": REFUSED,
    }
    told = notes.splitlines()
    assert told[0] == "invoices.csv: 9 rows, 3 invoices, 3 rows refused."
    assert told[1] == "The file is not UTF-8 and was read as windows-1252: look at accented letters in the titles."
    assert told[2:5] == [f"row {each['row']}: {each['reason']}" for each in REFUSED]
    assert told[-1] == "3 of 3 checkouts ended."
    assert read_orders(settings, read_database(notes)) == [
        ("1001", "CUP", "Café cup", 2, 500, "Customer 17850", "GB"),
        ("1001", "CUP", "Café cup", 1, 210, "Customer 17850", "GB"),
        ("1001", "POT", "Pot", 4, 4000, "Customer 17850", "GB"),
        ("1002", "CUP", "Café cup", 3, 750, "Customer without a number", "IE"),
        ("1005", "POT", "Pot", 1, 1000, "Customer 12431", "AU"),
        ("1005", "CARD", "A card, free", 5, 0, "Customer 12431", "AU"),
    ]


def test_what_is_not_in_stock_fails_as_a_whole_and_holds_nothing(invoices: Path) -> None:
    # When there are no servers, and three units of everything: the first wants four pots, the last five cards
    code, output, notes = run(invoices, {}, "--stock", "3")
    # Then
    assert code == 0, notes
    assert "PostgreSQL runs for the moment only: set DATABASE_URL to use another one." in notes
    table = [" ".join(line.split()) for line in output.splitlines() if line.strip()]
    assert table[:-1] == [
        "checkouts 3",
        "completed 1",
        "failed: out_of_stock 2",
        "units sold 3",
        "units left 6",
        "units still held 0",
        "sold + left = stock yes, of 9",
        "revenue 7.50 GBP",
        f"audit {len(INVARIANTS)} invariants hold",
    ]


def split_tax(total_minor: int, percent: Fraction) -> int:
    """Return the tax that a price with tax has in it, rounded half up."""
    rate = percent / 100
    return floor(total_minor * rate / (1 + rate) + Fraction(1, 2))


def assert_tax_is_split(lines: Sequence[TaxedLine], percent: Fraction, tax_minor: int) -> None:
    """Each line has the tax of its total, an order that of its lines, and they come to this."""
    assert [line.tax_minor for line in lines] == [split_tax(line.total_minor, percent) for line in lines]
    assert all(line.taxes == [("VAT", percent / 100, line.tax_minor)] and line.tax_included for line in lines)
    by_order: Counter[str] = Counter()
    for line in lines:
        by_order[line.order] += line.tax_minor
    assert by_order == {line.order: line.order_tax_minor for line in lines}
    assert by_order.total() == tax_minor


@pytest.mark.parametrize(
    ("percent", "taxes"), [("20", [83, 35, 667, 125, 167, 0]), ("7.5", [35, 15, 279, 52, 70, 0])], ids=["20", "7.5"]
)
def test_with_vat_the_prices_stay_and_the_tax_in_them_is_told(
    invoices: Path, settings: Settings, percent: str, taxes: list[int]
) -> None:
    code, output, notes = run(invoices, name_servers(settings), "--json", "--keep", "--vat", percent)
    assert code == 0, notes
    found = json.loads(output)
    assert (found["completed"], found["revenue_minor"], found["tax_minor"]) == (3, 4710 + 750 + 1000, sum(taxes))
    assert found["broken"] == []
    lines = read_taxes(settings, read_database(notes))
    assert [line.tax_minor for line in lines] == taxes
    assert_tax_is_split(lines, Fraction(percent), found["tax_minor"])


@needs_sample
def test_the_sample_with_vat_has_the_same_revenue_and_the_tax_split_to_the_penny(settings: Settings) -> None:
    code, output, notes = run(SAMPLE, name_servers(settings), "--json", "--keep", "--vat", "20")
    assert code == 0, notes
    found = json.loads(output.splitlines()[-1])
    wanted = {"completed": 236, "failed": {}, "revenue_minor": 9302947, "audit_violations": 0}
    assert {key: found[key] for key in wanted} == wanted
    lines = read_taxes(settings, read_database(notes))
    assert len(lines) == 4688
    assert sum(line.total_minor for line in lines) == 9302947
    assert_tax_is_split(lines, Fraction(20), found["tax_minor"])


@needs_sample
def test_the_sample_of_real_invoices_is_sold_to_the_penny(settings: Settings, engine: Engine) -> None:
    code, output, notes = run(SAMPLE, name_servers(settings), "--json")
    assert code == 0, notes
    found = json.loads(output.splitlines()[-1])
    wanted = {"checkouts": 236, "completed": 236, "failed": {}, "units_sold": 47252, "units_left": 0, "rows": 4688}
    wanted |= {"revenue_minor": 9302947, "tax_minor": 0, "audit_violations": 0, "refused": [], "stock_conserved": True}
    assert {key: found[key] for key in wanted} == wanted
    assert_nothing_is_left(settings, engine, notes)


@needs_sample
def test_the_sample_with_twenty_of_each_sells_what_there_is(settings: Settings, engine: Engine) -> None:
    code, output, notes = run(SAMPLE, name_servers(settings), "--json", "--stock", "20")
    assert code == 0, notes
    found = json.loads(output.splitlines()[-1])
    # Who comes first depends on the moment; that nothing is lost does not.
    assert set(found["failed"]) == {"out_of_stock"}
    assert found["completed"] + found["failed"]["out_of_stock"] == found["checkouts"] == 236
    assert found["completed"] > 0
    assert found["units_stocked"] == 20 * 1455
    assert found["units_sold"] + found["units_left"] == found["units_stocked"]
    wanted = {"units_held": 0, "stock_conserved": True, "stock_off": [], "audit_violations": 0, "unfinished": {}}
    assert {key: found[key] for key in wanted} == wanted
    assert_nothing_is_left(settings, engine, notes)


@pytest.mark.parametrize(
    ("wait_for", "signum"), [("dropped at the end", signal.SIGTERM), ("0 of 3", signal.SIGINT)], ids=["early", "late"]
)
def test_ended_before_it_is_done_it_leaves_nothing_behind(
    invoices: Path, settings: Settings, engine: Engine, wait_for: str, signum: signal.Signals
) -> None:
    # Given one that cannot get done in time: the bank takes three seconds for each of its answers
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
    # When it is asked twice, as impatient people do
    process.send_signal(signum)
    time.sleep(0.1)
    process.send_signal(signum)
    output, rest = process.communicate(timeout=60)
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
def test_a_call_of_no_use_is_exit_2_and_one_sentence(
    tmp_path: Path, content: str | None, arguments: list[str], sentence: str
) -> None:
    file = tmp_path / "invoices.csv"
    if content is not None:
        file.write_text(content)
    code, output, notes = run(file, {}, *arguments)
    assert (code, output, notes.replace(str(file), "invoices.csv")) == (2, "", f"{sentence}\n")


def test_servers_that_do_not_answer_are_told_in_one_sentence(invoices: Path, settings: Settings) -> None:
    code, output, notes = run(invoices, {**name_servers(settings), "REDIS_URL": "redis://127.0.0.1:1"}, "--json")
    assert (code, output) == (1, "")
    assert notes.splitlines()[-1].startswith("Redis did not answer: ")


def test_when_nothing_moves_it_says_where_everything_is(engine: Engine, settings: Settings) -> None:
    # Given nobody who works
    invoices = read_invoices(INVOICES.encode(), "GBP").invoices
    stock = stock_up(engine, invoices, None)
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
