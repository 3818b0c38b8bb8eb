"""The largest total, and how far a total may drift, are amounts of a currency, and converted for carts in another."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from models.money import MAX_MINOR
from pipeline.errors import Conflict
from pipeline.settings import Settings
from tests.support.counter import read_failure
from tests.support.harness import Shelf, Works
from tests.support.workbench import NOTHING, build_audited, read_bank

HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)


@pytest.mark.parametrize("rated", [True, False], ids=["with a rate", "without one"])
def test_a_million_rupiah_are_not_much(works: Works, shelf: Shelf, engine: Engine, *, rated: bool) -> None:
    # Given 1,000,000.00 IDR, about 50 EUR
    shelf.add_variant("cup", stock=9, price_minor=100_000_000, currency="IDR")
    if rated:
        shelf.add_rate("EUR", "IDR", "19500", observed_at=HOUR_AGO)
    # When
    checkout_id = works.start(shelf.add_cart(("cup", 1), currency="IDR"), token="tok_ok")
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert read_bank(engine, checkout_id).captured_minor == 100_000_000


@pytest.mark.parametrize(
    ("caps", "total_minor", "state"),
    [
        # 1 EUR = 160 JPY: 999,999.99 EUR are 159,999,998.4 JPY.
        ("EUR:99999999", 159_999_998, "completed"),
        ("EUR:99999999", 159_999_999, "failed"),
        ("EUR:1,JPY:500", 500, "completed"),
        ("EUR:99999999,JPY:500", 501, "failed"),
        # Over the euro: 1.10 USD are 1 EUR.
        ("USD:110", 160, "completed"),
        ("USD:110", 161, "failed"),
        # No rate, so no cap of the engine.
        ("CHF:1", 10**12, "completed"),
        ("", 10**12, "completed"),
        ("JPY:0", 1, "failed"),
    ],
)
def test_a_cap_is_of_its_currency(
    engine: Engine, settings: Settings, shelf: Shelf, caps: str, total_minor: int, state: str
) -> None:
    # Given
    shelf.add_variant("cup", stock=9, price_minor=total_minor, currency="JPY")
    shelf.add_rate("EUR", "JPY", "160", observed_at=HOUR_AGO)
    shelf.add_rate("EUR", "USD", "1.1", observed_at=HOUR_AGO)
    with build_audited(engine, settings.model_copy(update={"max_totals": caps})) as works:
        # When
        checkout_id = works.start(shelf.add_cart(("cup", 1), currency="JPY"), token="tok_ok")
        works.pump()
        # Then
        assert works.states([checkout_id]) == [state]
        if state == "failed":
            assert read_failure(works, checkout_id)[:2] == ("total_too_large", "price_lock")
            assert (shelf.stock("cup"), read_bank(engine, checkout_id)) == ((9, 0), NOTHING)


def test_amounts_of_two_currencies_are_not_added_up(works: Works, shelf: Shelf) -> None:
    # Given a price that is beyond all bounds in the shop's currency alone, and 1 EUR = 0.000001 JPY
    shelf.add_variant("cup", stock=9, price_minor=MAX_MINOR // 2)
    shelf.add_variant("pot", stock=9, price_minor=100, currency="JPY")
    shelf.add_rate("EUR", "JPY", "0.000001", observed_at=HOUR_AGO)
    # When
    checkout_id = works.start(shelf.add_cart(("cup", 3), ("pot", 1), currency="JPY"), token="tok_ok")
    works.pump()
    # Then what counts is what it comes to, 1.4E11 JPY, which is above the cap, and not an overflow
    assert read_failure(works, checkout_id)[:2] == ("total_too_large", "price_lock")


@pytest.mark.parametrize(
    ("tolerances", "off", "taken"),
    [("EUR:10", 16, True), ("EUR:10", 17, False), ("JPY:3", 3, True), ("EUR:10,JPY:3", 4, False), ("CHF:99", 1, False)],
)
def test_a_tolerance_is_of_its_currency(
    engine: Engine, settings: Settings, shelf: Shelf, tolerances: str, off: int, *, taken: bool
) -> None:
    # Given 10.00 EUR at 160 JPY: ten cents are 16 yen
    shelf.add_variant("cup", stock=9, price_minor=1000)
    shelf.add_rate("EUR", "JPY", "160", observed_at=HOUR_AGO)
    with build_audited(engine, settings.model_copy(update={"price_drift_tolerances": tolerances})) as works:
        # When the total is named at the start, and when the buyer pays
        ids = [works.start(shelf.add_cart(("cup", 1), currency="JPY"), expected_total_minor=1600 + off)]
        ids.append(works.start(shelf.add_cart(("cup", 1), currency="JPY")))
        works.pump()
        if taken:
            works.pay(ids[0], expected_total_minor=1600 - off)
            works.pay(ids[1], expected_total_minor=1600 - off)
            works.pump()
        else:
            with pytest.raises(Conflict, match="The total is 1600"):
                works.pay(ids[1], expected_total_minor=1600 - off)
        # Then
        assert works.states(ids) == (["completed"] * 2 if taken else ["failed", "unwinding"])
        works.pump()
