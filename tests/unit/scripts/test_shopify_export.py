"""The rows of Shopify's product export: variants, their titles and SKUs, and refused rows with their reasons."""

import pytest

from scripts.importers.shopify import MAX_QUANTITY, RowRefusal, derive_sku, read_export
from tests.factories.exports import HEADER, further, image, read, row, write


def test_a_product_without_options_is_one_variant() -> None:
    export = read(row())

    (variant,) = export.variants
    assert (variant.row, variant.sku, variant.is_sku_derived) == (2, "MUG-1", False)
    assert (variant.title, variant.category, variant.active) == ("Mug", "Kitchen", True)
    assert (variant.price_minor, variant.quantity, variant.backorder_policy) == (999, 7, "deny")
    assert (export.rows, export.encoding, export.refused) == (1, "utf-8", ())


def test_options_are_joined_to_the_title_of_the_first_row() -> None:
    export = read(
        row(Handle="top", Title="Classic Varsity Top", Option1_Value="Small", Variant_SKU="T-S"),
        further(Handle="top", Option1_Value="Large", Option2_Value="Red", Variant_SKU="T-L"),
    )

    assert [variant.title for variant in export.variants] == [
        "Classic Varsity Top - Small",
        "Classic Varsity Top - Large / Red",
    ]
    assert [variant.category for variant in export.variants] == ["Kitchen", "Kitchen"]


def test_a_further_image_is_no_variant_and_no_refusal() -> None:
    export = read(row(), image("mug"), image("mug"), row(Handle="cup", Title="Cup", Variant_SKU="CUP"))

    assert [(variant.row, variant.sku) for variant in export.variants] == [(2, "MUG-1"), (5, "CUP")]
    assert (export.rows, export.refused) == (4, ())


def test_an_empty_sku_is_derived_from_handle_and_options() -> None:
    export = read(
        row(Handle="top", Option1_Value="Small", Option2_Value="Navy Blue", Variant_SKU=""),
        row(Handle="plain-shirt", Variant_SKU=""),
    )

    assert [(variant.sku, variant.is_sku_derived) for variant in export.variants] == [
        ("top-small-navy-blue", True),
        ("plain-shirt", True),
    ]


@pytest.mark.parametrize(
    ("_case", "handle", "options", "sku"),
    [
        ("punctuation becomes one dash", "top", ("S / M", "50% off!"), "top-s-m-50-off"),
        ("letters of every script stay", "tee", ("青", "Größe"), "tee-青-grösse"),
        ("nothing usable", "!!", (), ""),
    ],
)
def test_derived_skus(_case: str, handle: str, options: tuple[str, ...], sku: str) -> None:
    assert derive_sku(handle, options) == sku


@pytest.mark.parametrize(
    ("_case", "cells", "active"),
    [
        ("published and active", {}, True),
        ("in capitals, as a spreadsheet writes it", {"Published": "TRUE", "Status": "Active"}, True),
        ("nothing said", {"Published": "", "Status": ""}, True),
        ("unlisted is sold to buyers with the address", {"Status": "unlisted"}, True),
        ("draft", {"Status": "draft"}, False),
        ("archived", {"Status": "archived"}, False),
        ("not published", {"Published": "false"}, False),
    ],
)
def test_status_and_published_make_active(_case: str, cells: dict[str, str], *, active: bool) -> None:
    export = read(row(**cells), further(Variant_SKU="MUG-2", Option1_Value="Large"))

    assert [variant.active for variant in export.variants] == [active, active]


def test_the_optional_columns_may_be_missing() -> None:
    header = [name for name in HEADER if name not in {"Type", "Published", "Status", "Option1 Value", "Option2 Value"}]

    (variant,) = read_export(write(row(), header=header), "USD").variants

    assert (variant.title, variant.category, variant.active) == ("Mug", None, True)


@pytest.mark.parametrize(
    ("_case", "currency", "price", "minor"),
    [
        ("whole units", "USD", "50", 5000),
        ("exact where a float is not", "USD", "1.15", 115),
        ("zeros beyond the minor unit", "USD", "9.9900", 999),
        ("no minor unit", "JPY", "1200", 1200),
        ("three digits", "BHD", "1.234", 1234),
        ("free", "USD", "0.00", 0),
        ("the largest that can be stored", "JPY", "99999999999999999", 99999999999999999),
    ],
)
def test_prices_are_exact(_case: str, currency: str, price: str, minor: int) -> None:
    (variant,) = read(row(Variant_Price=price), currency=currency).variants

    assert variant.price_minor == minor


@pytest.mark.parametrize(
    ("_case", "cells", "reason"),
    [
        ("missing handle", {"Handle": ""}, "no handle"),
        ("missing title", {"Title": ""}, "no title on the first row of its product"),
        ("missing price", {"Variant_Price": ""}, "no price"),
        ("price in words", {"Variant_Price": "free"}, "bad price 'free': digits with a decimal point"),
        ("thousands separator", {"Variant_Price": "1,299.00"}, "bad price '1,299.00': digits with a decimal point"),
        ("decimal comma", {"Variant_Price": "9,99"}, "bad price '9,99': digits with a decimal point"),
        ("not a number", {"Variant_Price": "NaN"}, "bad price 'NaN': digits with a decimal point"),
        ("exponent", {"Variant_Price": "1e3"}, "bad price '1e3': digits with a decimal point"),
        ("wide digits", {"Variant_Price": "\uff11\uff12"}, "bad price '\uff11\uff12': digits with a decimal point"),
        ("negative price", {"Variant_Price": "-5.00"}, "bad price '-5.00': below zero"),
        ("too fine", {"Variant_Price": "9.999"}, "bad price '9.999': finer than the smallest unit of USD"),
        (
            "too large",
            {"Variant_Price": "99999999999999999"},
            "bad price '99999999999999999': larger than any amount that can be stored",
        ),
        (
            "more digits than are read exactly",
            {"Variant_Price": "0.010000000000000000000000000000000001"},
            "bad price '0.010000000000000000000000000000000001': digits with a decimal point",
        ),
        ("missing quantity", {"Variant_Inventory_Qty": ""}, "no quantity: 0 for none"),
        ("negative quantity", {"Variant_Inventory_Qty": "-3"}, "negative quantity '-3'"),
        ("half a unit", {"Variant_Inventory_Qty": "1.5"}, "bad quantity '1.5': a whole number"),
        (
            "absurd quantity",
            {"Variant_Inventory_Qty": str(MAX_QUANTITY + 1)},
            "bad quantity '1000000001': at most 1000000000",
        ),
        (
            "a quantity of thousands of digits",
            {"Variant_Inventory_Qty": "9" * 9000},
            f"bad quantity '{'9' * 57}...': at most 1000000000",
        ),
        (
            "unknown policy",
            {"Variant_Inventory_Policy": "maybe"},
            "unknown inventory policy 'maybe': deny or continue",
        ),
        ("unknown status", {"Status": "gone"}, "unknown status 'gone': active, unlisted, draft or archived"),
        ("published is no yes or no", {"Published": "soon"}, "published is 'soon': true or false"),
        ("long sku", {"Variant_SKU": "x" * 256}, "a sku of 256 characters: at most 255 fit"),
        ("long title", {"Title": "x" * 1001}, "a title of 1001 characters: at most 1000 fit"),
        ("no sku to be had", {"Handle": "!!", "Variant_SKU": ""}, "no sku, and none can be derived from its handle"),
        ("what no database text holds", {"Title": "Mu\x00g"}, "a NUL character in a cell"),
    ],
)
def test_a_bad_row_is_refused_and_its_neighbours_are_read(_case: str, cells: dict[str, str], reason: str) -> None:
    export = read(
        row(Handle="first", Variant_SKU="FIRST"), row(**cells), row(Handle="last", Title="Last", Variant_SKU="LAST")
    )

    assert [variant.sku for variant in export.variants] == ["FIRST", "LAST"]
    assert export.refused == (RowRefusal(3, reason),)


def test_a_sku_used_twice_is_refused_the_second_time() -> None:
    export = read(
        row(), row(Handle="cup", Title="Cup"), row(Handle="mug-1", Variant_SKU=""), row(Handle="mug-1", Variant_SKU="")
    )

    assert [variant.sku for variant in export.variants] == ["MUG-1", "mug-1"]
    assert export.refused == (
        RowRefusal(3, "duplicate sku 'MUG-1': row 2 has it already"),
        RowRefusal(5, "duplicate sku 'mug-1': row 4 has it already"),
    )
    assert export.same_sku == 2


def test_a_refused_first_row_still_names_its_product() -> None:
    export = read(row(Option1_Value="Small", Variant_Price="?"), further(Option1_Value="Large", Variant_SKU="MUG-L"))

    assert [variant.title for variant in export.variants] == ["Mug - Large"]
    assert export.refused == (RowRefusal(2, "bad price '?': digits with a decimal point"),)


def test_no_policy_is_the_one_that_cannot_oversell() -> None:
    export = read(row(Variant_Inventory_Policy=""), further(Variant_SKU="MUG-2", Variant_Inventory_Policy="Continue"))

    assert [variant.backorder_policy for variant in export.variants] == ["deny", "continue"]
