"""One name for one thing, on both sides: what a cart says finds what the shop wrote, and nothing is counted apart."""

# ruff: noqa: RUF001 (letters that look alike are the matter)

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError

from pipeline.catalog.tax_rates import TaxRow, store_taxes
from tests.support.counter import USED_UP, add_cup, read_failure, start, used
from tests.support.harness import Shelf, Works

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def buy(works: Works, shelf: Shelf, *codes: str, customer: str | None = None) -> UUID:
    checkout_id = start(works, shelf, *codes, token="tok_ok", customer=customer)
    works.pump()
    return checkout_id


@pytest.mark.parametrize(
    ("stored", "kept", "typed"),
    [
        ("STRAßE", "STRASSE", ["STRAßE", "straße", "strasse", "Strasse "]),
        ("summer 10", "SUMMER10", ["SUMMER10", " Summer 10", "summer\u00a010", "sum\u200bmer10"]),
        ("İNDİRİM", "INDIRIM", ["indirim", "İNDİRİM"]),
        ("größe", "GRÖSSE", ["GRO\u0308SSE", "größe"]),
        ("ñandú", "ÑANDÚ", ["Ñandú", "n\u0303andu\u0301"]),
    ],
)
def test_a_code_that_the_shop_wrote_is_redeemed_however_it_is_typed(
    works: Works, shelf: Shelf, stored: str, kept: str, typed: list[str]
) -> None:
    add_cup(shelf, stock=100)
    shelf.add_coupon(stored)
    assert shelf.rows("SELECT code FROM coupons") == [(kept,)]
    bought = [buy(works, shelf, code) for code in typed]
    assert works.states(bought) == ["completed"] * len(typed)
    assert used(shelf, kept) == (len(typed), len(typed), 0)


def test_one_code_in_two_spellings_is_redeemed_once(works: Works, shelf: Shelf) -> None:
    add_cup(shelf)
    shelf.add_coupon("TEN")
    assert works.status(buy(works, shelf, "TEN", "ten", "t\u200ben", "ＴＥＮ")).total_minor == 1400
    assert used(shelf) == (1, 1, 0)


def test_two_spellings_of_one_code_are_one_coupon(shelf: Shelf) -> None:
    shelf.add_coupon("STRASSE")
    with pytest.raises(IntegrityError, match="coupons_pkey"):
        shelf.add_coupon("Straße ")
    with pytest.raises(IntegrityError, match="coupons_code_check"):
        shelf.add_coupon("\u200b \u3000")
    assert shelf.rows("SELECT code FROM coupons") == [("STRASSE",)]


def test_a_customer_has_one_use_in_whatever_spelling(works: Works, shelf: Shelf) -> None:
    add_cup(shelf, stock=100)
    shelf.add_coupon("TEN", each=1)
    first = buy(works, shelf, customer="Ada@Shop.example")
    spellings = [
        "ada@shop.example",
        "ADA@SHOP.EXAMPLE",
        " ada@shop.example",
        "ada@shop.example\u200b",
        "ada@shop.example\u00a0",
        "a da@shop.example",
        "ａda@shop.example",
        "ad\u00ada@shop.example",
    ]
    others = [buy(works, shelf, customer=spelling) for spelling in spellings]
    assert works.states([first, *others]) == ["completed"] + ["failed"] * len(spellings)
    assert {read_failure(works, each)[::2] for each in others} == {("coupon_used_up", USED_UP)}
    assert shelf.rows("SELECT customer FROM redemptions") == [("ada@shop.example",)]
    assert works.states([buy(works, shelf, customer="bob@shop.example")]) == ["completed"]


@pytest.mark.parametrize("customer", ["\u200b", " ", "\u00a0\u2060"])
def test_a_customer_with_an_invisible_name_is_none(works: Works, shelf: Shelf, customer: str) -> None:
    add_cup(shelf)
    shelf.add_coupon("TEN", each=1)
    assert read_failure(works, buy(works, shelf, customer=customer))[0] == "coupon_needs_customer"
    assert used(shelf) == (0, 0, 0)


def test_a_category_is_one_in_variants_rates_and_promotions(works: Works, shelf: Shelf) -> None:
    shelf.add_variant("book", price_minor=1000, category=" Books\u200b", tax_included=False)
    shelf.add_tax("0.20")
    shelf.add_tax("0.05", category="BOOKS")
    shelf.add_promotion(percent=10, automatic=True, categories=["bOOks "], title="Reading")
    checkout_id = works.start(shelf.add_cart(("book", 1)), token="tok_ok")
    works.pump()
    assert works.status(checkout_id).total_minor == 945
    assert shelf.rows("SELECT category FROM variants") == [("books",)]


def test_two_spellings_of_one_tax_do_not_add_up(works: Works, shelf: Shelf) -> None:
    shelf.add_variant("cup", price_minor=1000, tax_included=False, category="food")
    shelf.add_tax("0.20", name="VAT")
    shelf.add_tax("0.05", name="vat ", category="food")
    checkout_id = works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
    works.pump()
    assert works.status(checkout_id).total_minor == 1050
    with pytest.raises(IntegrityError, match="tax_rates_once_key"):
        shelf.run(
            "INSERT INTO tax_rates (country, name, rate, valid_from)"
            " SELECT country, 'V\u200bat', 0.1, valid_from FROM tax_rates WHERE category IS NULL"
        )
    assert shelf.rows("SELECT name, name_key FROM tax_rates ORDER BY name") == [("VAT", "vat"), ("vat", "vat")]


def test_a_table_in_another_spelling_corrects_the_rate_that_is_there(shelf: Shelf) -> None:
    first = TaxRow("us", "State", Decimal("0.07"), NEW_YEAR, region="California")
    second = TaxRow("US", "STATE\u200b", Decimal("0.0725"), NEW_YEAR, region="us-ca")
    with shelf.engine.begin() as connection:
        assert (store_taxes(connection, [first]), store_taxes(connection, [second])) == (1, 1)
        assert store_taxes(connection, [second]) == 0
    assert shelf.rows("SELECT country, region, name, rate FROM tax_rates") == [("US", "CA", "STATE", Decimal("0.0725"))]


@pytest.mark.parametrize(
    "sku", ["Kettle", "kettle ", "ket tle", "kettle\u200b", "ｋettle", "k\u0435ttle", "kett1e", "KETTLE"]
)
def test_a_sku_that_looks_like_another_is_named(works: Works, shelf: Shelf, sku: str) -> None:
    shelf.add_variant("kettle")
    checkout_id = works.start(shelf.add_cart((sku, 1)), token="tok_ok")
    works.pump()
    failure = works.status(checkout_id).failure
    assert failure is not None
    assert (failure.code, failure.detail) == ("variant_unknown", {"line": 1, "sku": sku, "look_alike": "kettle"})
    assert failure.message.endswith('which is not in the catalog, but "kettle" is: correct the line, or remove it.')
    assert shelf.stock("kettle") == (10, 0)


def test_two_skus_that_look_alike_are_two(works: Works, shelf: Shelf) -> None:
    shelf.add_variant("ab", price_minor=100)
    shelf.add_variant("AB", price_minor=300)
    bought = [works.start(shelf.add_cart((sku, 1)), token="tok_ok") for sku in ("ab", "AB")]
    works.pump()
    assert [works.status(each).total_minor for each in bought] == [100, 300]
    with pytest.raises(IntegrityError, match="variants_sku_key"):
        shelf.add_variant(" ab\u200b")


def test_a_location_is_one_in_whatever_spelling(shelf: Shelf) -> None:
    shelf.add_variant("cup", stock={"Main": 3})
    shelf.add_variant("pot", stock={" MAIN\u200b": 4})
    assert shelf.rows("SELECT code FROM locations") == [("main",)]
