"""The commands that import tables of rates: implausible rates are not stored, and are reported."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from pipeline.settings import Settings
from scripts.catalog import app
from tests.integration.catalog.stockroom import rows_of

TAX_HEAD: Final = "country,name,rate,valid_from\n"
RATES: Final = "SELECT quote, rate, observed_at::date FROM exchange_rates ORDER BY observed_at, quote"
TAXES: Final = "SELECT country, name, rate FROM tax_rates ORDER BY country, name"

TODAY: Final = datetime.now(UTC).date()
YESTERDAY: Final = TODAY - timedelta(days=1)


@pytest.fixture(autouse=True)
def environment(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two addresses, in a folder without a `.env`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("REDIS_URL", settings.redis_url.get_secret_value())


def call(command: str, content: str, *options: str) -> Result:
    Path("file").write_text(content, encoding="utf-8")
    return CliRunner().invoke(app, [command, "file", *options])


def read(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with engine.begin() as connection:
        return rows_of(connection, query)


def usd_and_jpy(day: date, usd: str, jpy: str) -> list[tuple[object, ...]]:
    return [("JPY", Decimal(jpy), day), ("USD", Decimal(usd), day)]


def test_a_file_that_is_cut_off_in_a_number_replaces_nothing(engine: Engine) -> None:
    whole = f"Date,USD,JPY\n{YESTERDAY},1.1602,181.25\n"
    assert call("rates", whole).exit_code == 0
    before = read(engine, RATES)
    assert before == usd_and_jpy(YESTERDAY, "1.1602", "181.25")

    # The same day and the next one, truncated at each byte of the last row
    for row in (f"{YESTERDAY},1.1602,181.25", f"{TODAY},1.1602,181.25"):
        for end in range(1, len(row) + 1):
            result = call("rates", f"Date,USD,JPY\n{row[:end]}")
            assert (result.exit_code, result.stderr) == (1, ""), row[:end]
            assert read(engine, RATES) == before

    # And with a line end after it
    result = call("rates", f"Date,USD,JPY\n{TODAY},1.1602,18\n")
    assert result.exit_code == 3
    assert result.stdout.splitlines() == [
        "file: 1 rows, 1 exchange rates imported, 1 rows written, 1 refused",
        f"row 2: JPY on {TODAY} is 18, and 181.25 on {YESTERDAY}: more than 1.5 times as much or as little, so it may"
        " be cut off or mistyped; when it is right, import the file with --force",
    ]
    assert read(engine, RATES) == [*before, ("USD", Decimal("1.1602"), TODAY)]

    assert call("rates", f"Date,USD,JPY\n{TODAY},1.1602,18\n", "--force").exit_code == 0
    assert read(engine, RATES) == [*before, *usd_and_jpy(TODAY, "1.1602", "18")]


def test_rates_of_today_exit_0_in_spite_of_former_currencies(engine: Engine) -> None:
    result = call("rates", f"Date,USD,LTL,\n{TODAY},1.1602,3.4528,\n")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == [
        "row 2: 'LTL' is no currency of today's ISO 4217: all its rates are left out"
    ]


@pytest.mark.parametrize(("days", "code"), [(1, 0), (40, 3)])
def test_rates_that_no_cart_takes_exit_3(engine: Engine, settings: Settings, days: int, code: int) -> None:
    day = TODAY - timedelta(days=days)

    result = call("rates", f"Date,USD\n{day},1.1602\n", "--json")

    assert result.exit_code == code
    note = (
        f"The newest rate stored is of {day}, and carts take none older than {settings.rate_max_age_hours} hours"
        " (CHECKOUT_RATE_MAX_AGE_HOURS): those that need one are refused until newer rates are imported"
    )
    assert json.loads(result.stdout)["notes"] == ([note] if code else [])
    # And a file of old days is accepted when newer rates are stored
    assert call("rates", f"Date,USD\n{TODAY},1.1602\n").exit_code == 0
    assert call("rates", f"Date,USD\n{TODAY - timedelta(days=50)},1.1602\n").exit_code == 0


def test_a_table_with_refused_rows_is_not_half_stored(engine: Engine) -> None:
    table = TAX_HEAD + "DE,VAT,19%,2026-01-01\nFR,VAT,20%,2026-02-31\nAT,VAT,20%,2026-01-01\n"

    result = call("tax", table)

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "file: 3 rows, 0 tax rates imported, 0 rows written, 1 refused",
        "Its rates are read as percentages: 20 is 20 %",
        "Nothing is stored, since rows are refused: correct them, or store the others with --partial",
        "row 3: bad valid_from '2026-02-31': one such as 2026-01-01 or 2026-01-01T00:00+01:00",
    ]
    assert read(engine, TAXES) == []

    partial = call("tax", table, "--partial")
    assert partial.exit_code == 3
    assert read(engine, TAXES) == [("AT", "VAT", Decimal("0.2")), ("DE", "VAT", Decimal("0.19"))]


def test_percentages_without_signs_need_their_unit(engine: Engine) -> None:
    table = TAX_HEAD + "US,City,0.5,2026-01-01\nUS,State,4.6,2026-01-01\n"

    assert call("tax", table).exit_code == 1
    assert read(engine, TAXES) == []

    result = call("tax", table, "--unit", "percent")
    assert (result.exit_code, result.stdout.splitlines()[1]) == (0, "Its rates are read as percentages: 20 is 20 %")
    assert read(engine, TAXES) == [("US", "City", Decimal("0.005")), ("US", "State", Decimal("0.046"))]


def test_a_table_that_is_cut_off_is_not_stored(engine: Engine) -> None:
    row = "DE,VAT,19%,2026-01-01"
    for end in range(1, len(row) + 1):
        assert call("tax", f"{TAX_HEAD}AT,VAT,20%,2026-01-01\n{row[:end]}").exit_code == 1, row[:end]
    assert read(engine, TAXES) == []


@pytest.mark.parametrize(
    ("command", "content", "column"),
    [
        ("tax", "country,postcode,name,rate,valid_from\nUS,90210,Tax,9.5%,2026-01-01\n", "postcode"),
        ("tax", "country,name,rate,compound,valid_from\nCA,PST,8%,1,2026-01-01\n", "compound"),
        ("rates", f"Date,USD,Units\n{TODAY},116.02,100\n", "Units"),
    ],
)
def test_a_column_that_could_change_a_rate_refuses_the_file(
    engine: Engine, command: str, content: str, column: str
) -> None:
    refused = call(command, content)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert f"it has columns that are not read and could change what is: '{column}'" in refused.stderr
    assert (read(engine, RATES), read(engine, TAXES)) == ([], [])

    taken = call(command, content, "--ignore-column", column)
    assert taken.exit_code == 0
    assert f"Not read: '{column}'" in taken.stdout.splitlines()
