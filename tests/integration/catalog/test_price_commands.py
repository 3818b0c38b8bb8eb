"""The commands that import exchange rates and tax rates."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner, Result

from pipeline.settings import Settings
from scripts.catalog import app
from tests.factories.reference_rates import DAILY_CSV, DAILY_XML, HISTORY_CSV, NINETY_DAYS_XML, write_xml
from tests.integration.catalog.price_rows import NEW_YEAR, read_rates, read_taxes
from tests.integration.catalog.stockroom import rows_of

TAX_HEAD: Final = "country,region,category,name,rate,on_shipping,reverse_charge,valid_from,valid_until\n"


@pytest.fixture
def environment(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two addresses, in a folder without a `.env`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("REDIS_URL", settings.redis_url.get_secret_value())


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    ("content", "days", "rates", "refused"),
    [(DAILY_XML, 1, 4, 0), (DAILY_CSV, 1, 3, 0), (HISTORY_CSV, 3, 5, 1), (NINETY_DAYS_XML, 2, 4, 0)],
)
def test_the_command_stores_the_rates_of_every_layout_once(
    engine: Engine, environment: None, *, content: bytes, days: int, rates: int, refused: int
) -> None:
    # Given a file as it was published some years ago: no test run is before its days
    Path("rates").write_bytes(content.replace(b"2026", b"2025"))

    results = [call("rates", "rates", "--json") for _ in range(2)]

    assert [(result.exit_code, result.stderr) for result in results] == [(3, ""), (3, "")]
    reports = [json.loads(result.stdout) for result in results]
    assert [(report["rows"], report["imported"], report["changed"]) for report in reports] == [
        (days, rates, rates),
        (days, rates, 0),
    ]
    assert [len(report["refused"]) for report in reports] == [refused, refused]
    # They are too old for any cart of today
    assert [report["notes"][0][:40] for report in reports] == ["The newest rate stored is of 2025-11-23,"] * 2
    stored = read_rates(engine)
    assert len(stored) == rates
    assert stored[-1][3:5] == ("ECB", datetime(2025, 11, 23, 15, tzinfo=UTC))
    assert ("EUR", "USD", Decimal("1.0512")) in [row[:3] for row in stored]


def test_the_command_reports_what_it_refused(engine: Engine, settings: Settings, environment: None) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    Path("rates.xml").write_bytes(
        write_xml((tomorrow, [("USD", "1.1")]), ("2025-11-21", [("USD", "?"), ("XXQ", "2"), ("JPY", "180.1")]))
    )

    result = call("rates", "rates.xml")

    assert (result.exit_code, result.stderr) == (3, "")
    assert result.stdout.splitlines() == [
        "rates.xml: 2 rows, 1 exchange rates imported, 1 rows written, 3 refused",
        f"The newest rate stored is of 2025-11-21, and carts take none older than {settings.rate_max_age_hours} hours"
        " (CHECKOUT_RATE_MAX_AGE_HOURS): those that need one are refused until newer rates are imported",
        f"row 1: {tomorrow} is yet to come",
        "row 2: bad rate '?' of USD: a number above zero with a decimal point",
        "row 2: 'XXQ' is no currency of today's ISO 4217: all its rates are left out",
    ]
    assert [row[:3] for row in read_rates(engine)] == [("EUR", "JPY", Decimal("180.1"))]


def test_more_rates_than_one_chunk_are_all_stored(engine: Engine, environment: None) -> None:
    day = datetime(1999, 1, 4, tzinfo=UTC)
    lines = [f"{(day + timedelta(days=number)).date()},1.1,160.5,0.85,\n" for number in range(5000)]
    Path("history.csv").write_text("Date,USD,JPY,GBP,\n" + "".join(reversed(lines)), encoding="ascii")

    result = call("rates", "history.csv", "--json")

    report = json.loads(result.stdout)
    assert (result.exit_code, report["imported"], report["changed"]) == (3, 15_000, 15_000)
    with engine.begin() as connection:
        assert rows_of(connection, "SELECT count(*), count(DISTINCT observed_at) FROM exchange_rates") == [
            (15_000, 5000)
        ]


def test_rates_of_which_none_can_be_used_exit_1(engine: Engine, environment: None) -> None:
    Path("rates.csv").write_bytes(b"Date, USD, \nsome day, 1.05, \n")

    result = call("rates", "rates.csv")

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "rates.csv: 1 rows, 0 exchange rates imported, 0 rows written, 1 refused",
        "row 2: bad date 'some day': one such as 2026-11-23 or 23 November 2026",
    ]
    assert read_rates(engine) == []


@pytest.mark.parametrize(
    ("command", "content", "sentence"),
    [
        ("rates", None, "file cannot be read: No such file or directory."),
        (
            "rates",
            b"a,b\n1,2\n",
            "file is no file of reference rates: it has no column Date; its first row is 'a', 'b'.",
        ),
        (
            "rates",
            DAILY_XML.replace(b"<gesmes:Envelope", b"<!DOCTYPE x><gesmes:Envelope"),
            "file is no file of reference rates: its XML has a DOCTYPE, and the bank's files have none.",
        ),
        ("tax", None, "file cannot be read: No such file or directory."),
        (
            "tax",
            b"country,name,rate\n",
            "file is no table of tax rates: it has no column valid_from; its first row is 'country', 'name', 'rate'.",
        ),
    ],
)
def test_a_wrong_file_exits_2_with_one_sentence(
    engine: Engine, environment: None, *, command: str, content: bytes | None, sentence: str
) -> None:
    if content is not None:
        Path("file").write_bytes(content)

    result = call(command, "file")

    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"{sentence}\n")
    assert (read_rates(engine), read_taxes(engine)) == ([], [])


def test_the_tax_command(engine: Engine, environment: None) -> None:
    Path("taxes.csv").write_bytes(
        (TAX_HEAD + "DE,,,VAT,19%,,true,2026-01-01,\nDE,,Bücher,VAT,7 %,,,2026-01-01,\n").encode("cp1252")
    )

    first, second = call("tax", "taxes.csv"), call("tax", "taxes.csv", "--json")

    assert (first.exit_code, first.stderr) == (0, "")
    assert first.stdout.splitlines() == [
        "taxes.csv: 2 rows, 2 tax rates imported, 2 rows written, 0 refused",
        "The file is not UTF-8 and was read as windows-1252: look at accented letters in the names",
        "Its rates are read as percentages: 20 is 20 %",
    ]
    assert (second.exit_code, json.loads(second.stdout)["changed"]) == (0, 0)
    assert read_taxes(engine) == [
        ("DE", None, None, "VAT", Decimal("0.19"), NEW_YEAR, None),
        ("DE", None, "bücher", "VAT", Decimal("0.07"), NEW_YEAR, None),
    ]
    with engine.begin() as connection:
        assert rows_of(
            connection, "SELECT on_shipping, reverse_charge FROM tax_rates ORDER BY category NULLS FIRST"
        ) == [
            (True, True),
            (True, False),
        ]


def test_a_database_without_tables_is_one_sentence(
    engine: Engine, environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("rates.csv").write_bytes(b"Date, USD, \n2025-11-21, 1.05, \n")
    name = f"{engine.url.database}_bare"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        try:
            bare = engine.url.set(drivername="postgresql", database=name)
            monkeypatch.setenv("DATABASE_URL", bare.render_as_string(hide_password=False))

            result = call("rates", "rates.csv")
        finally:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))

    assert (result.exit_code, result.stdout) == (1, "")
    assert (
        result.stderr == "The database has no tables yet, or old ones: run `alembic upgrade head`, then this again.\n"
    )
