"""Exchange rates and tax rates on a real database, and the commands that import them."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Connection, Engine, text
from typer.testing import CliRunner, Result

from pipeline.catalog.exchange_rates import RateRow, store_rates
from pipeline.catalog.tax_rates import TaxRow, store_taxes
from pipeline.settings import Settings
from scripts.catalog import app
from tests.factories.reference_rates import DAILY_CSV, DAILY_XML, HISTORY_CSV, NINETY_DAYS_XML, write_xml
from tests.integration.catalog.stockroom import rows_of, wait_for_blocked

MONDAY: Final = datetime(2026, 11, 23, 15, tzinfo=UTC)
NEW_YEAR: Final = datetime(2026, 1, 1, tzinfo=UTC)
JULY: Final = datetime(2026, 7, 1, tzinfo=UTC)
OCTOBER: Final = datetime(2026, 10, 1, tzinfo=UTC)
TAX_HEAD: Final = "country,region,category,name,rate,on_shipping,reverse_charge,valid_from,valid_until\n"


@pytest.fixture
def environment(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two addresses, in a folder without a `.env`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("REDIS_URL", settings.redis_url.get_secret_value())


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def usd(rate: str, *, observed_at: datetime = MONDAY, source: str = "ECB") -> RateRow:
    return RateRow("EUR", "USD", Decimal(rate), source, observed_at)


def read_rates(engine: Engine) -> list[tuple[object, ...]]:
    """Every rate with the transaction that wrote it last."""
    with engine.begin() as connection:
        return rows_of(
            connection,
            "SELECT base, quote, rate, source, observed_at, xmin::text FROM exchange_rates"
            " ORDER BY observed_at, source, quote",
        )


def read_taxes(engine: Engine) -> list[tuple[object, ...]]:
    with engine.begin() as connection:
        return rows_of(
            connection,
            "SELECT country, region, category, name, rate, valid_from, valid_until FROM tax_rates"
            " ORDER BY country, region NULLS FIRST, category NULLS FIRST, name, valid_from",
        )


def test_rates_are_stored_once_and_a_correction_takes_the_place_of_what_it_corrects(engine: Engine) -> None:
    rows = [usd("1.0512"), usd("1.05", source="bank"), usd("1.0498", observed_at=MONDAY - timedelta(days=3))]
    with engine.begin() as connection:
        assert store_rates(connection, rows) == 3
    before = read_rates(engine)
    with engine.begin() as connection:
        assert store_rates(connection, rows[::-1]) == 0
    assert read_rates(engine) == before

    with engine.begin() as connection:
        assert store_rates(connection, [*rows[1:], usd("1.0521")]) == 1

    after = read_rates(engine)
    assert [row[:5] for row in after] == [
        ("EUR", "USD", Decimal("1.0498"), "ECB", MONDAY - timedelta(days=3)),
        ("EUR", "USD", Decimal("1.0521"), "ECB", MONDAY),
        ("EUR", "USD", Decimal("1.05"), "bank", MONDAY),
    ]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True]


def test_every_digit_that_fits_is_kept(engine: Engine) -> None:
    with engine.begin() as connection:
        store_rates(connection, [usd("9999999999.0123456789"), usd("0.0000000001", source="bank")])

    assert [row[2] for row in read_rates(engine)] == [Decimal("9999999999.0123456789"), Decimal("0.0000000001")]


def test_one_rate_twice_in_a_call_is_a_mistake_and_writes_nothing(engine: Engine) -> None:
    with engine.begin() as connection, pytest.raises(ValueError, match="is given twice"):
        store_rates(connection, [usd("1.05"), usd("1.06")])

    assert read_rates(engine) == []


def test_nothing_is_no_work(connection: Connection) -> None:
    assert store_rates(connection, []) == 0
    assert store_taxes(connection, []) == 0


def test_a_new_tax_rate_ends_the_one_before_it_and_the_same_again_writes_nothing(engine: Engine) -> None:
    # Given the German rate, lowered in July and raised again in October, with the last step known already
    standard = [TaxRow("DE", "VAT", Decimal("0.19"), NEW_YEAR), TaxRow("DE", "VAT", Decimal("0.19"), OCTOBER)]
    lowered = TaxRow("DE", "VAT", Decimal("0.16"), JULY)
    books = TaxRow("DE", "VAT", Decimal("0.07"), NEW_YEAR, category="books")
    with engine.begin() as connection:
        assert store_taxes(connection, [*standard, books]) == 3

    with engine.begin() as connection:
        assert store_taxes(connection, [lowered]) == 2
    with engine.begin() as connection:
        assert store_taxes(connection, [*standard, lowered, books]) == 0

    assert read_taxes(engine) == [
        ("DE", None, None, "VAT", Decimal("0.19"), NEW_YEAR, JULY),
        ("DE", None, None, "VAT", Decimal("0.16"), JULY, OCTOBER),
        ("DE", None, None, "VAT", Decimal("0.19"), OCTOBER, None),
        ("DE", None, "books", "VAT", Decimal("0.07"), NEW_YEAR, None),
    ]


def test_a_tax_rate_is_corrected_and_its_neighbours_stay(engine: Engine) -> None:
    state = TaxRow("US", "State", Decimal("0.04"), NEW_YEAR, region="NY")
    with engine.begin() as connection:
        store_taxes(
            connection, [state, TaxRow("US", "State", Decimal("0.06"), NEW_YEAR, region="NJ", valid_until=JULY)]
        )

    with engine.begin() as connection:
        corrected = TaxRow("US", "State", Decimal("0.0625"), NEW_YEAR, region="NY", valid_until=OCTOBER)
        assert store_taxes(connection, [corrected]) == 1

    assert read_taxes(engine) == [
        ("US", "NJ", None, "State", Decimal("0.06"), NEW_YEAR, JULY),
        ("US", "NY", None, "State", Decimal("0.0625"), NEW_YEAR, OCTOBER),
    ]


def test_two_imports_of_one_tax_table_at_once_store_it_once(engine: Engine) -> None:
    rows = [TaxRow(country, "VAT", Decimal("0.2"), NEW_YEAR) for country in ("AT", "BE", "FR")]

    def store(given: list[TaxRow]) -> int:
        with engine.begin() as connection:
            return store_taxes(connection, given)

    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as connection:
            assert store_taxes(connection, rows) == 3
            second = pool.submit(store, rows[::-1])
            wait_for_blocked(engine)
        assert second.result(timeout=10) == 0

    assert [row[0] for row in read_taxes(engine)] == ["AT", "BE", "FR"]


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


def test_the_command_tells_what_it_refused(engine: Engine, settings: Settings, environment: None) -> None:
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
