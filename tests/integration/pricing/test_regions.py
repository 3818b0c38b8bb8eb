"""The place that goods go to decides their tax: its country and region, however they are written."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from tests.support.counter import read_failure
from tests.support.harness import ADDRESS, Shelf, Works
from tests.support.workbench import NOTHING, read_bank


def place(country: str, **others: Any) -> dict[str, Any]:
    return {**ADDRESS, "country": country, **others}


def buy(works: Works, shelf: Shelf, address: Mapping[str, Any], **columns: Any) -> UUID:
    """Buy a cup of 10.00, without tax: 7.25 % in California, 10 % in Lombardy, 4 % in Milan, none elsewhere."""
    shelf.add_variant("cup", price_minor=1000, tax_included=False)
    shelf.add_tax("0.0725", "US", "State", region="CA")
    shelf.add_tax("0.10", "IT", "Lombardy", region="25")
    shelf.add_tax("0.04", "IT", "Milan", region="MI")
    shelf.add_tax("0.2", "FR")
    checkout_id = works.start(shelf.add_cart(("cup", 1), address=address, **columns), token="tok_ok")
    works.pump()
    return checkout_id


@pytest.mark.parametrize(
    ("address", "tax", "frozen"),
    [
        *(
            (place("US", region=text), 73, "CA")
            for text in ("CA", "ca", "US-CA", "us-ca", "California", " california\u200b")
        ),
        *((place("us", **{name: "California"}), 73, "CA") for name in ("state", "province", "state_code")),
        (place("US", state="CA", region="California"), 73, "CA"),
        (place("US", region="NY"), 0, "NY"),
        (place("US", region="AE"), 0, "AE"),  # the armed forces have no region in ISO 3166-2
        (place("IT", region="MI"), 140, "MI"),
        (place("IT", region="Bergamo"), 100, "BG"),
        (place("IT", region="RM"), 0, "RM"),
        (place("FR", region="Nowhere"), 200, "Nowhere"),  # no rate depends on it: kept as it is
        (place("FR", county="Kent"), 200, None),
        (place("FR", region=" "), 200, None),
    ],
)
def test_a_region_is_one_however_it_is_written(
    works: Works, shelf: Shelf, engine: Engine, address: Mapping[str, Any], tax: int, frozen: str | None
) -> None:
    checkout_id = buy(works, shelf, address)
    assert works.states([checkout_id]) == ["completed"]
    [(taxed, kept)] = shelf.rows("SELECT tax_minor, shipping_address FROM price_locks")
    assert (taxed, kept.get("region"), kept["country"]) == (tax, frozen, address["country"].upper())
    assert read_bank(engine, checkout_id).captured_minor == 1000 + tax


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (place("US"), "names none"),
        (place("US", region=""), "names none"),
        (place("US", county="Los Angeles"), "names none"),
        (place("US", region="Kalifornien"), 'names "Kalifornien", which is none of US'),
        (place("US", state="XX"), 'names "XX", which is none of US'),
        (place("US", region="CA-QC"), 'names "CA-QC", which is none of US'),
        (place("IT", region="Lombardia"), "names 25, whose parts (MI) are taxed differently"),
    ],
)
def test_where_taxes_depend_on_the_region_it_must_be_known(
    works: Works, shelf: Shelf, engine: Engine, address: Mapping[str, Any], reason: str
) -> None:
    checkout_id = buy(works, shelf, address)
    assert read_failure(works, checkout_id) == (
        "region_required",
        "price_lock",
        f"What is taxed in {address['country']} depends on the region, and the shipping address {reason}:"
        " send it as region, by its code or name in ISO 3166-2.",
    )
    assert (shelf.stock("cup"), read_bank(engine, checkout_id)) == ((10, 0), NOTHING)
    assert shelf.rows("SELECT count(*) FROM price_locks") == [(0,)]


def test_an_upstream_that_taxes_everything_itself_needs_no_region(works: Works, shelf: Shelf) -> None:
    taxes = [{"name": "State", "rate": "0.08", "amount_minor": 80}]
    checkout_id = buy(works, shelf, place("US"), line_columns={"taxes": taxes})
    assert works.states([checkout_id]) == ["completed"]
    assert shelf.rows("SELECT tax_minor FROM price_locks") == [(80,)]


@pytest.mark.parametrize(
    ("country", "hint"),
    [("UK", "use GB"), ("EL", "use GR"), ("XX", "use two letters such as DE"), ("ZZ", "use two letters such as DE"),
     ("AN", "use CW, SX or BQ"), ("England", "use two letters such as DE"), ("DEU", "use DE")],
)  # fmt: skip
def test_what_is_no_country_is_refused_in_a_cart_written_by_sql(
    works: Works, shelf: Shelf, engine: Engine, country: str, hint: str
) -> None:
    shipped = buy(works, shelf, place(country))
    wrong = f"(country: {country!r} is no country of ISO 3166: {hint})"
    assert read_failure(works, shipped) == (
        "address_missing",
        "cart_validation",
        f"The shipping address cannot be used {wrong}: correct it.",
    )
    billed = works.start(shelf.add_cart(("cup", 1), billing_address={"country": country}), token="tok_ok")
    works.pump()
    assert read_failure(works, billed)[2] == (
        f"The billing address cannot be used {wrong}: correct it, or leave it out."
    )
    assert (shelf.stock("cup"), read_bank(engine, shipped)) == ((10, 0), NOTHING)


def test_two_fields_that_name_two_regions_are_refused(works: Works, shelf: Shelf) -> None:
    checkout_id = buy(works, shelf, place("US", region="CA", state="NY"))
    assert read_failure(works, checkout_id)[2] == (
        "The shipping address cannot be used (region and state name two regions: leave all but region out): correct it."
    )


@pytest.mark.parametrize(
    ("column", "value"),
    [("country", "uk1"), ("country", "U1"), ("region", "California"), ("region", "C-A"), ("name", "\u200b")],
)
def test_the_schema_refuses_a_rate_that_no_address_would_find(shelf: Shelf, column: str, value: str) -> None:
    row = {"country": "US", "name": "State", "region": "CA", "rate": "0.1", column: value}
    with pytest.raises(Exception, match=r"tax_rates_.*check|too long"):
        shelf.add_tax(**row)
    assert shelf.rows("SELECT count(*) FROM tax_rates") == [(0,)]
