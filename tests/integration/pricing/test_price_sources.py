"""Where an amount comes from: price lists, exchange rates and taxes that are valid at the moment of the lock."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from pipeline.settings import Settings, TaxRounding
from tests.support.counter import read_failure
from tests.support.harness import ADDRESS, Shelf, Works
from tests.support.workbench import NOTHING, build_audited, read_bank

NOW = datetime.now(UTC)
IN_CALIFORNIA = {**ADDRESS, "country": "US", "region": "CA"}


def buy(works: Works, shelf: Shelf, *lines: tuple[str, int], **columns: Any) -> UUID:
    checkout_id = works.start(shelf.add_cart(*(lines or (("cup", 1),)), **columns), token="tok_ok")
    works.pump()
    return checkout_id


def add_price(shelf: Shelf, currency: str, amount_minor: int) -> None:
    shelf.run(
        "INSERT INTO prices (variant_id, currency, amount_minor) SELECT id, :c, :a FROM variants",
        c=currency,
        a=amount_minor,
    )


@pytest.mark.parametrize(
    ("currency", "rate", "total"),
    [("USD", "1.0857", 271), ("JPY", "160.25", 401), ("BHD", "0.40999", 1025), ("GBP", "0.855", 214)],
)
def test_a_price_is_converted_and_the_rate_is_frozen(
    works: Works, shelf: Shelf, engine: Engine, currency: str, rate: str, total: int
) -> None:
    # Given 2.50 EUR, an older rate, and one of another source that is to come
    shelf.add_variant("cup", price_minor=250)
    observed_at = NOW - timedelta(hours=119)
    shelf.add_rate("EUR", currency, "9", observed_at=NOW - timedelta(hours=200))
    shelf.add_rate("EUR", currency, rate, observed_at=observed_at)
    shelf.add_rate("EUR", currency, "8", observed_at=NOW + timedelta(hours=1), source="guess")
    # When
    checkout_id = buy(works, shelf, currency=currency)
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert shelf.rows(
        "SELECT currency, total_minor, base_currency, exchange_rate, exchange_source, exchange_at FROM price_locks"
    ) == [(currency, total, "EUR", rate, "ECB", observed_at.isoformat())]
    assert shelf.rows("SELECT unit_price_minor, price_source FROM price_lock_lines") == [(total, "list")]
    assert read_bank(engine, checkout_id).captured_minor == total


def test_two_rates_to_the_euro_make_a_third(engine: Engine, settings: Settings, shelf: Shelf) -> None:
    # Given a shop that keeps its prices in pounds
    shelf.add_variant("cup", price_minor=1000, currency="GBP")
    shelf.add_rate("EUR", "GBP", "0.8", observed_at=NOW - timedelta(hours=2))
    shelf.add_rate("EUR", "USD", "1.2", observed_at=NOW - timedelta(hours=1))
    with build_audited(engine, settings.model_copy(update={"base_currency": "GBP"})) as works:
        # When
        buy(works, shelf, currency="USD")
    # Then it is as old as the older one
    assert shelf.rows("SELECT total_minor, base_currency, exchange_rate, exchange_at FROM price_locks") == [
        (1500, "GBP", "1.5", (NOW - timedelta(hours=2)).isoformat())
    ]


def test_a_rate_that_is_too_old_is_refused(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    shelf.add_variant("cup", price_minor=250)
    observed_at = NOW - timedelta(hours=144, seconds=1)
    shelf.add_rate("EUR", "USD", "1.1", observed_at=observed_at)
    # When
    checkout_id = buy(works, shelf, currency="USD")
    # Then
    code, phase, message = read_failure(works, checkout_id)
    assert (code, phase) == ("exchange_rate_stale", "price_lock")
    failure = works.status(checkout_id).failure
    assert failure is not None
    assert datetime.fromisoformat(failure.detail["observed_at"]) == observed_at
    assert message == f"The rate from EUR to USD is of {failure.detail['observed_at']}: import a newer one."
    assert (shelf.stock("cup"), read_bank(engine, checkout_id)) == ((10, 0), NOTHING)
    # When a newer one is there
    shelf.add_rate("EUR", "USD", "1.2", observed_at=NOW)
    # Then
    assert works.status(buy(works, shelf, currency="USD")).total_minor == 300


def test_a_price_without_a_rate_is_no_price(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", price_minor=250)
    # When
    checkout_id = buy(works, shelf, currency="USD")
    # Then
    sentence = 'Line 1: "cup" has no price in USD: add one, or remove the line.'
    assert read_failure(works, checkout_id) == ("price_missing", "price_lock", sentence)
    assert shelf.stock("cup") == (10, 0)


@pytest.mark.parametrize("hours", [1, 500], ids=["fresh rate", "stale rate"])
def test_a_price_in_the_charge_currency_wins_over_a_converted_one(works: Works, shelf: Shelf, hours: int) -> None:
    # Given a price in dollars beside the one that a rate would make 275
    shelf.add_variant("cup", price_minor=250)
    add_price(shelf, "USD", 299)
    shelf.add_rate("EUR", "USD", "1.1", observed_at=NOW - timedelta(hours=hours))
    # When
    checkout_id = buy(works, shelf, currency="USD")
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert works.status(checkout_id).total_minor == 299


def read_taxes(shelf: Shelf) -> list[list[tuple[str, str, int]]]:
    """Return name, rate and amount of each tax of each line of the last order, in order."""
    sql = "SELECT taxes FROM order_lines JOIN orders o ON o.id = order_id ORDER BY o.number DESC, line"
    return [[(tax["name"], tax["rate"], tax["amount_minor"]) for tax in taxes] for (taxes,) in shelf.rows(sql)]


@pytest.mark.parametrize(
    ("address", "taxes", "shipping_tax"),
    [
        (IN_CALIFORNIA, [[("City", "0.01", 10), ("State", "0.0725", 73)], [("City", "0.01", 10)]], 36),
        ({**IN_CALIFORNIA, "region": "NY"}, [[("State", "0.04", 40)], [("State", "0.04", 40)]], 20),
        (ADDRESS, [[], []], 0),
    ],
    ids=["California", "New York", "another country"],
)
def test_a_region_has_rates_of_its_own(
    works: Works,
    shelf: Shelf,
    address: Mapping[str, Any],
    taxes: list[list[tuple[str, str, int]]],
    shipping_tax: int,
) -> None:
    # Given a country's rate, a state's, one of its cities that is not on postage, and no state tax on books there
    shelf.add_variant("cup", price_minor=1000, tax_included=False)
    shelf.add_variant("book", price_minor=1000, tax_included=False, category="books")
    shelf.add_tax("0.04", "US", "State")
    shelf.add_tax("0.0725", "US", "State", region="CA")
    shelf.add_tax("0.01", "US", "City", region="CA", on_shipping=False)
    shelf.add_tax("0", "US", "State", region="CA", category="books")
    # When
    checkout_id = buy(
        works,
        shelf,
        ("cup", 1),
        ("book", 1),
        address=address,
        shipping_minor=500,
        shipping_tax_included=False,
    )
    # Then a rate of zero is a line of the order as well
    zero = [("State", "0", 0)] if address == IN_CALIFORNIA else []
    assert read_taxes(shelf) == [taxes[0], taxes[1] + zero]
    goods_tax = sum(amount for line in taxes for _, _, amount in line)
    assert works.status(checkout_id).total_minor == 2500 + goods_tax + shipping_tax


def test_only_a_tax_of_today_is_charged(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", price_minor=1000, tax_included=False)
    shelf.add_tax("0.1", valid_from=NOW - timedelta(days=9), valid_until=NOW - timedelta(days=1))
    shelf.add_tax("0.2", valid_from=NOW - timedelta(days=1))
    shelf.add_tax("0.3", valid_from=NOW + timedelta(days=1))
    # When
    checkout_id = buy(works, shelf)
    # Then
    assert works.status(checkout_id).total_minor == 1200


@pytest.mark.parametrize(
    ("rounding", "tax", "said"),
    [(TaxRounding.LINE, 3, "half-up, tax per line"), (TaxRounding.ORDER, 2, "half-up, tax per order")],
)
def test_the_rounding_that_was_chosen_is_recorded(
    engine: Engine, settings: Settings, shelf: Shelf, rounding: TaxRounding, tax: int, said: str
) -> None:
    # Given three lines with half a cent of tax each
    shelf.add_variant("cup", price_minor=10, tax_included=False)
    shelf.add_tax("0.05")
    with build_audited(engine, settings.model_copy(update={"tax_rounding": rounding})) as works:
        # When
        buy(works, shelf, ("cup", 1), ("cup", 1), ("cup", 1))
    # Then
    assert shelf.rows("SELECT tax_minor, total_minor, rounding FROM price_locks") == [(tax, 30 + tax, said)]


@pytest.mark.parametrize(("setting", "total"), [(True, 1000), (False, 1200)])
def test_an_external_price_includes_tax_as_the_settings_say(
    engine: Engine, settings: Settings, shelf: Shelf, *, setting: bool, total: int
) -> None:
    # Given
    shelf.add_variant("cup", price_minor=1)
    shelf.add_tax("0.2")
    with build_audited(engine, settings.model_copy(update={"prices_include_tax": setting})) as works:
        # When
        silent = works.start(shelf.add_cart(("cup", 1, 1000)), token="tok_ok")
        telling = works.start(
            shelf.add_cart(("cup", 1, 1000), line_columns={"tax_included": not setting}), token="tok_ok"
        )
        works.pump()
        # Then
        assert [works.status(each).total_minor for each in (silent, telling)] == [total, 2200 - total]


@pytest.mark.parametrize(
    ("price_minor", "currency", "rate", "shown"),
    [(190, "HUF", "382", "1.90 HUF"), (1, "JPY", "400", "1 JPY"), (3, "KWD", "0.9", "0.003 KWD")],
)
def test_a_price_that_would_become_nothing_is_refused(
    engine: Engine, settings: Settings, shelf: Shelf, price_minor: int, currency: str, rate: str, shown: str
) -> None:
    # Given a price that is less than half a cent
    shelf.add_variant("screw", stock=20_000, price_minor=price_minor, currency=currency)
    shelf.add_rate("EUR", currency, rate, observed_at=NOW)
    with build_audited(engine, settings.model_copy(update={"base_currency": currency})) as works:
        # When ten thousand are wanted
        checkout_id = buy(works, shelf, ("screw", 10_000), currency="EUR")
        # Then they are not given away
        assert read_failure(works, checkout_id) == (
            "price_too_small",
            "price_lock",
            f'Line 1: "screw" costs {shown}, and nothing in EUR: give it a price in EUR.',
        )
        assert shelf.stock("screw") == (20_000, 0)
        assert read_bank(engine, checkout_id) == NOTHING
        # When it has one, as the sentence says
        add_price(shelf, "EUR", 1)
        again = buy(works, shelf, ("screw", 10_000), currency="EUR")
        # Then
        assert works.status(again).total_minor == 10_000
