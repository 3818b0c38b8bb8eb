"""The audit: silent for consistent rows, and each invariant reported when, and only when, it is violated."""

from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from pipeline.audit import audit, take_report
from pipeline.audit.report import check, list_invariants
from pipeline.pricing import hash_quote, read_quotes
from pipeline.settings import Settings
from tests.integration.audit.plants import PLANTS, Plant, broken
from tests.support.soundness import assert_sound


def write_hashes(connection: Connection) -> None:
    """Make the hashes right again: what a plant breaks besides is to be found without them."""
    ids = connection.execute(text("SELECT checkout_id FROM price_locks")).scalars().all()
    for checkout_id, (quote, _) in read_quotes(connection, ids).items():
        connection.execute(
            text("UPDATE price_locks SET hash = :hash WHERE checkout_id = :id"),
            {"hash": hash_quote(quote), "id": checkout_id},
        )


def test_an_empty_database_violates_no_invariant(engine: Engine, settings: Settings) -> None:
    with engine.connect() as connection:
        assert audit(connection, settings) == []


def test_consistent_rows_violate_no_invariant(consistent: Engine, settings: Settings) -> None:
    with consistent.connect() as connection:
        report = take_report(connection, settings)
    assert report.violations == ()
    assert report.checked == list_invariants()
    assert report.needs_review == 0
    with consistent.begin() as connection:
        assert_sound(connection, settings)


@pytest.mark.parametrize("plant", PLANTS, ids=[f"{plant.invariant}-{n}" for n, plant in enumerate(PLANTS)])
def test_a_violated_invariant_is_reported_alone(connection: Connection, settings: Settings, plant: Plant) -> None:
    connection.exec_driver_sql(plant.sql)
    if plant.invariant != "price_lock_is_unforged":
        write_hashes(connection)
    assert broken(check(connection, settings)) == {plant.invariant: plant.rows}
    # ... and seen by what ends every other test
    with pytest.raises(AssertionError, match=plant.invariant):
        assert_sound(connection, settings)


def test_every_invariant_has_rows_that_violate_it() -> None:
    names = [invariant.name for invariant in list_invariants()]
    assert len(set(names)) == len(names)
    assert {plant.invariant for plant in PLANTS} == set(names)


def test_a_violation_names_what_broke_and_its_figures(connection: Connection, settings: Settings) -> None:
    connection.exec_driver_sql("UPDATE stock_levels SET on_hand = 9")
    (violation,) = check(connection, settings).violations
    assert violation.meaning == "On hand and reserved are the sums of the stock ledger."
    expected: dict[str, Any] = {
        "variant_id": 1,
        "location_id": 1,
        "on_hand": 9,
        "ledger_on_hand": 8,
        "reserved": 1,
        "ledger_reserved": 1,
    }
    assert [dict(row) for row in violation.rows] == [expected]


def test_a_thousand_violations_are_counted_and_the_first_hundred_shown(
    connection: Connection, settings: Settings
) -> None:
    connection.exec_driver_sql(
        "INSERT INTO stock_levels (variant_id, location_id, on_hand) SELECT n, 1, 1 FROM generate_series(2, 1001) AS n"
    )
    (violation,) = check(connection, settings).violations
    assert violation.count == 1000
    assert len(violation.rows) == 100
