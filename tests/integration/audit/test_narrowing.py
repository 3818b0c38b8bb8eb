"""The audit of a range of checkouts: it finds what is wrong with these, and what is wrong with a sum."""

from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine

from pipeline.audit import take_report
from pipeline.audit.report import check, list_invariants
from pipeline.database.ids import ALL_IDS, IdRange
from pipeline.settings import Settings
from tests.integration.audit.plants import PLANTS, Plant, broken
from tests.integration.audit.test_audit import write_hashes

#: The ids of consistent_rows.sql are small: this range has none of them.
LATER = IdRange(UUID("01000000-0000-7000-8000-000000000000"), ALL_IDS.until_id)
BY_CHECKOUT = {each.name for each in list_invariants() if each.by_checkout}


def test_consistent_rows_violate_nothing_in_any_range(consistent: Engine, settings: Settings) -> None:
    halves = [
        IdRange(ALL_IDS.from_id, UUID("00000000-0000-7000-8000-000000000002")),
        IdRange(UUID("00000000-0000-7000-8000-000000000002"), ALL_IDS.until_id),
    ]
    with consistent.connect() as connection:
        for ids in (*halves, ALL_IDS, LATER):
            report = take_report(connection, settings, ids=ids)
            assert (report.violations, report.checked) == ((), list_invariants())


@pytest.mark.parametrize("plant", PLANTS, ids=[f"{plant.invariant}-{n}" for n, plant in enumerate(PLANTS)])
def test_a_range_has_what_its_checkouts_violate(connection: Connection, settings: Settings, plant: Plant) -> None:
    connection.exec_driver_sql(plant.sql)
    if plant.invariant != "price_lock_is_unforged":
        write_hashes(connection)
    assert broken(check(connection, settings, ids=ALL_IDS)) == {plant.invariant: plant.rows}
    # A sum is over all checkouts, whatever the range; an invariant of single checkouts is of those in the range.
    assert set(broken(check(connection, settings, ids=LATER))) <= {plant.invariant} - BY_CHECKOUT
    if plant.invariant not in BY_CHECKOUT:
        assert broken(check(connection, settings, ids=LATER)) == {plant.invariant: plant.rows}
