"""Where all tax rates have ended, or none has begun, the checkout, `diagnose` and health say so; or it is refused."""

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from pipeline.catalog.tax_rates import COUNT_LAPSED
from pipeline.database.migrations import read_head
from pipeline.operations import diagnose
from pipeline.operations.diagnostics import Diagnosis, Severity
from pipeline.operations.health import Health, check_database
from pipeline.pricing.loader import load_terms
from pipeline.pricing.taxes.lapses import find_lapsed
from pipeline.settings import Settings, TaxRatesEnded
from tests.factories import baskets
from tests.support.counter import read_failure
from tests.support.harness import ADDRESS, Shelf, Works
from tests.support.workbench import NOTHING, build_audited, read_bank, settle

NOW = datetime.now(UTC)
PAST: dict[str, Any] = {"valid_from": NOW - timedelta(days=9), "valid_until": NOW - timedelta(days=1)}
FUTURE: dict[str, Any] = {"valid_from": NOW + timedelta(days=1)}
IN_BC = {**ADDRESS, "country": "CA", "region": "BC"}


@dataclass(frozen=True, slots=True)
class Case:
    """Rates as (rate, columns), the address, what is missed, and the tax on 1000 that is charged nevertheless."""

    rates: list[tuple[str, dict[str, Any]]]
    address: dict[str, Any]
    missed: dict[str, str] | None
    tax_minor: int


CASES = {
    "all have ended": Case([("0.2", PAST)], ADDRESS, {"place": "GB", "names": "VAT"}, 0),
    "all begin in the future": Case([("0.2", FUTURE)], ADDRESS, {"place": "GB", "names": "VAT"}, 0),
    "those of the region have ended": Case(
        [("0.05", {"country": "CA", "name": "GST"}), ("0.07", {"country": "CA", "name": "PST", "region": "BC"} | PAST)],
        IN_BC,
        {"place": "CA (BC)", "names": "PST"},
        50,
    ),
    "that of the category has ended": Case(
        [("0.05", {"category": "crockery"} | PAST), ("0.1", {"category": "books"})],
        ADDRESS,
        {"place": "GB", "names": "VAT"},
        0,
    ),
    "a new one holds": Case([("0.2", PAST), ("0.25", {})], ADDRESS, None, 250),
    "it is said to be none": Case([("0.2", PAST), ("0", {})], ADDRESS, None, 0),
    "another region's have ended": Case([("0.2", {"region": "X"} | PAST)], ADDRESS, None, 0),
    "there never were any": Case([("0.2", {"country": "FR"} | PAST)], ADDRESS, None, 0),
}


def look(engine: Engine, settings: Settings) -> tuple[Diagnosis, Health]:
    with engine.connect() as connection:
        [found] = [each for each in diagnose(connection, settings) if each.code == "tax_rates_ended"]
        checks, _ = check_database(connection, settings, read_head())
    return found, checks["tax_rates_ended"].status


def start(works: Works, shelf: Shelf, address: dict[str, Any]) -> UUID:
    shelf.add_variant("cup", stock=9, price_minor=250, category="crockery", tax_included=False)
    checkout_id = works.start(shelf.add_cart(("cup", 4), address=address), token="tok_ok")
    settle(works, [checkout_id])
    return checkout_id


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_event_says_what_is_not_charged(works: Works, shelf: Shelf, case: Case) -> None:
    # Given
    for rate, columns in case.rates:
        shelf.add_tax(rate, **columns)
    # When
    checkout_id = start(works, shelf, case.address)
    # Then it is sold as before, and the trail says it
    assert works.states([checkout_id]) == ["completed"]
    assert works.status(checkout_id).total_minor == 1000 + case.tax_minor
    told = "SELECT phase, data FROM events WHERE checkout_id = :id AND kind = 'checkout.tax_rates_ended'"
    assert shelf.rows(told, id=checkout_id) == ([("price_lock", case.missed)] if case.missed else [])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_setting_refuses(engine: Engine, settings: Settings, shelf: Shelf, case: Case) -> None:
    # Given
    for rate, columns in case.rates:
        shelf.add_tax(rate, **columns)
    with build_audited(engine, settings.model_copy(update={"tax_rates_ended": TaxRatesEnded.REFUSE})) as works:
        # When
        checkout_id = start(works, shelf, case.address)
        # Then
        if case.missed is None:
            assert works.status(checkout_id).total_minor == 1000 + case.tax_minor
            return
        assert read_failure(works, checkout_id) == (
            "tax_rates_ended",
            "price_lock",
            "No rate of {names} in {place} is valid now: import valid ones, or a rate of 0.".format(**case.missed),
        )
        assert (shelf.stock("cup"), read_bank(engine, checkout_id)) == ((9, 0), NOTHING)
        for table in ("price_locks", "orders", "payment_operations"):
            assert shelf.rows(f"SELECT count(*) FROM {table}") == [(0,)]


def test_diagnose_and_health_say_so_before_anything_is_sold(engine: Engine, settings: Settings, shelf: Shelf) -> None:
    assert look(engine, settings) == (Diagnosis("tax_rates_ended", Severity.OK, 0, "None."), Health.HEALTHY)
    # Given a country, a region and a category
    shelf.add_tax("0.2", **PAST)
    shelf.add_tax("0.05", country="CA", name="GST")
    shelf.add_tax("0.07", country="CA", name="PST", region="BC", **PAST)
    shelf.add_tax("0.05", country="FR", category="food", **PAST)
    # Then
    found, health = look(engine, settings)
    assert (found.count, health) == (3, Health.DEGRADED)
    assert found.sentence.startswith("3 groups of tax rates (a country, a region, a category) have ended")
    # When there is a rate of each again, or one of 0
    shelf.add_tax("0.25")
    shelf.add_tax("0", country="CA", name="PST", region="BC")
    shelf.add_tax("0.1", country="FR")
    # Then
    assert look(engine, settings)[0].count == 0


def test_delivery_is_a_group_of_its_own(engine: Engine, settings: Settings, shelf: Shelf) -> None:
    shelf.add_tax("0.2", on_shipping=False)
    shelf.add_tax("0.1", name="Freight", **PAST)
    assert look(engine, settings)[0].count == 1
    shelf.add_tax("0.1", name="Post")
    assert look(engine, settings)[0].count == 0


def test_the_whole_and_a_cart_agree(engine: Engine, settings: Settings, shelf: Shelf) -> None:
    # Given tables of rates at random
    seed = random.randrange(10**9)
    dice = random.Random(seed)
    places = [{**baskets.ADDRESS, "region": region} for region in (None, "X")]
    carts = [replace(baskets.BASKET, shipping_address=place) for place in places]
    found_some = 0
    for _ in range(120):
        shelf.run("DELETE FROM tax_rates")
        for number in range(dice.randint(1, 4)):
            columns = {
                "region": dice.choice([None, "X"]),
                "category": dice.choice([None, "food"]),
                "name": dice.choice(["VAT", "GST"]),
                "on_shipping": dice.choice([True, False]),
                **dice.choice([PAST, FUTURE, {"valid_from": NOW - timedelta(days=2)}]),
            }
            columns["valid_from"] += timedelta(seconds=number)
            shelf.add_tax("0.1", **columns)
        # When
        with engine.connect() as connection:
            counted = connection.execute(text(COUNT_LAPSED)).scalar_one()
            terms = load_terms(connection, carts, (), NOW, settings)
        missed = [
            find_lapsed(
                terms.tax_rates.get("GB", ()), terms.lapsed_rates.get("GB", ()), regions, [category], ships=ships
            )
            for regions, category, ships in product(((), ("X",)), (None, "food", "tools"), (True, False))
        ]
        # Then something is missed by some cart exactly where the whole says so
        assert bool(counted) == any(missed), (seed, shelf.rows("SELECT * FROM tax_rates"))
        found_some += bool(counted)
    assert 0 < found_some < 120
