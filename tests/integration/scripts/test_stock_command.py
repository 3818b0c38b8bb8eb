"""The command that sets stock, and the catalog commands' errors of an unusable database."""

import json

import pytest
from sqlalchemy import Engine, text

from tests.integration.catalog.stockroom import read_stock, read_versions, stock_up
from tests.integration.catalog.till import call


def test_stock_prints_before_and_after(engine: Engine, environment: dict[str, str]) -> None:
    with engine.begin() as connection:
        stock_up(connection, 5)

    result = call("stock", "A", "9", "--expect", "5")

    assert (result.exit_code, result.stdout) == (0, "A at main: 5 before, 9 now\n")
    with engine.begin() as connection:
        assert read_stock(connection) == [("A", "main", 9, 0, False)]


def test_the_ledger_says_who_has_changed_the_stock_and_why(engine: Engine, environment: dict[str, str]) -> None:
    with engine.begin() as connection:
        stock_up(connection, 5)
    about = ("--reason", "came in", "--reference", "DN-17", "--actor", "ada")

    assert call("stock", "A", "+3", *about).exit_code == 0
    assert call("stock", "A", "8", "--expect", "8", *about).exit_code == 0

    with engine.begin() as connection:
        found = connection.execute(
            text("""
            SELECT c.actor, c.reason, c.reference, c.kind, m.kind, m.quantity
            FROM catalog_changes c JOIN stock_movements m ON m.change_id = c.id""")
        ).all()
        # What changes nothing is no change.
        assert [tuple(each) for each in found] == [("operator:ada", "came in", "DN-17", "stock", "receive", 3)]
        assert connection.execute(text("SELECT count(*) FROM catalog_changes")).scalar_one() == 1


def test_variants_are_shown_with_prices_and_stock(engine: Engine, environment: dict[str, str]) -> None:
    with engine.begin() as connection:
        stock_up(connection, 5, reserved=3)

    shown = call("show", "A", " A")
    assert shown.exit_code == 0
    assert "A\tmain\t5\t3\t2" in shown.stdout.splitlines()
    unknown = call("show", "A", "B", "--json")
    assert unknown.exit_code == 1
    assert [each["sku"] for each in json.loads(unknown.stdout)["variants"]] == ["A"]
    assert call("show", "").exit_code == 2


@pytest.mark.parametrize(
    ("_case", "arguments", "code", "said"),
    [
        ("unknown sku", ("X", "1"), 1, 'There is no variant with the SKU "X": import it first, or check the spelling.'),
        (
            "below the reserved units",
            ("A", "2", "--expect", "5"),
            1,
            'Checkouts hold 3 of "A" at "main", and 2 would be there: keep 3 or more.',
        ),
        (
            "more than may be taken",
            ("A", "-3"),
            1,
            'Checkouts hold 3 of "A" at "main", and 2 would be there: keep 3 or more.',
        ),
        ("no expectation", ("A", "9"), 1, '"A" has 5 units at "main": add --expect 5, or say +5.'),
        ("sold meanwhile", ("A", "9", "--expect", "6"), 1, '"A" has 5 units at "main", not 6: count, and expect 5.'),
        ("not a number", ("A", "many"), 2, "'many' is no quantity: say +5, -3, or 12 with --expect."),
        ("half a unit", ("A", "+1.5"), 2, "'+1.5' is no quantity: say +5, -3, or 12 with --expect."),
        ("wide digits", ("A", "\uff15"), 2, "'\uff15' is no quantity"),
        ("too many", ("A", "+1000000001"), 2, "'+1000000001' is more than the 1000000000 units that a location may"),
        ("a difference with an expectation", ("A", "+1", "--expect", "5"), 2, "+1 is a difference, which needs no"),
        (
            "a location mistyped",
            ("A", "+1", "--location", "mian"),
            2,
            'There is no location "mian" (did you mean "main"?)',
        ),
        ("a long reference", ("A", "+1", "--reference", "r" * 256), 2, "255"),
        ("no actor", ("A", "+1", "--actor", " "), 2, "name who does it"),
        ("no location", ("A", "9", "--location", " "), 2, "a location has a name, such as main"),
        ("not text", ("\udcff", "9"), 1, "The sku or the location is not text in this terminal's encoding"),
    ],
)
def test_stock_refuses_with_a_sentence_and_changes_nothing(
    engine: Engine, environment: dict[str, str], *, _case: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    with engine.begin() as connection:
        stock_up(connection, 5, reserved=3)
        before = read_versions(connection)

    result = call("stock", *arguments)

    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    with engine.begin() as connection:
        assert read_versions(connection) == before


@pytest.mark.parametrize(
    ("_case", "name", "value", "sentence"),
    [
        ("no server", "DATABASE_URL", "postgresql://127.0.0.1:1/none", "The database did not answer: connection"),
        ("no address", "DATABASE_URL", "here", "DATABASE_URL is not a database address"),
        (
            "bad setting",
            "CHECKOUT_POOL_SIZE",
            "many",
            "A setting is not valid: pool_size must be a whole number",
        ),
    ],
)
def test_a_database_that_cannot_be_used_is_one_sentence(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, _case: str, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)

    result = call("stock", "A", "1")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(sentence)
    assert result.stderr.count("\n") == 1


def test_a_database_without_tables_is_one_sentence(
    engine: Engine, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{engine.url.database}_bare"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        try:
            bare = engine.url.set(drivername="postgresql", database=name)
            monkeypatch.setenv("DATABASE_URL", bare.render_as_string(hide_password=False))

            result = call("stock", "A", "1")
        finally:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))

    assert result.exit_code == 1
    assert (
        result.stderr == "The database has no tables yet, or old ones: run `alembic upgrade head`, then this again.\n"
    )
