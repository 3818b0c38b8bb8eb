"""Cells of an export that a spreadsheet has changed: restored or refused."""

import pytest

from scripts.importers.product_cells import read_name, read_sku
from scripts.importers.product_columns import find_unused
from scripts.importers.shopify import RowRefusal, SkuSource, read_export
from tests.factories.exports import HEADER, read, row, write

TRACKED = [*HEADER, "Variant Inventory Tracker"]


@pytest.mark.parametrize(
    ("cell", "sku"),
    [
        ("'1700001234", "1700001234"),
        ("'0012", "0012"),
        ("'-5", "-5"),
        ("'=A1", "=A1"),
        ("'+49 30", "+49 30"),
        ("'@home", "@home"),
        ("'n Roll", "'n Roll"),
        ("''12", "''12"),
        ("12E5", "12E5"),
        ("1E+5", "1E+5"),
        ("A\u200b", "A"),
        ("\ufeffA  B", "A B"),
        ("e\u0301", "\xe9"),
    ],
)
def test_skus_without_characters_that_a_spreadsheet_added(cell: str, sku: str) -> None:
    assert read_sku(cell) == sku


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("1.7E+09", "a sku '1.7E+09': a spreadsheet has shortened the number, so export it as text"),
        ("1,70e+12", "a sku '1,70e+12': a spreadsheet has shortened the number, so export it as text"),
        ("'1.7E+09", "a sku '1.7E+09': a spreadsheet has shortened the number, so export it as text"),
        ('="123"', "a sku '=\"123\"': a formula of a spreadsheet, so write what it stands for"),
        ("=A1&B1", "a sku '=A1&B1': a formula of a spreadsheet, so write what it stands for"),
        ("#N/A", "a sku '#N/A': what a spreadsheet shows when it has no value"),
        ("#REF!", "a sku '#REF!': what a spreadsheet shows when it has no value"),
        ("########", "a sku '########': what a spreadsheet shows when it has no value"),
        ("\u200b", "a sku '\\u200b': it is blank: send a name that can be seen, or leave it out"),
    ],
)
def test_skus_that_a_spreadsheet_has_changed_are_refused(cell: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^a sku") as refused:
        read_sku(cell)

    assert str(refused.value) == reason


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"Handle": "1.7E+09"}, "a handle '1.7E+09': a spreadsheet has shortened the number, so export it as text"),
        ({"Option1_Value": "#NAME?"}, "an option '#NAME?': what a spreadsheet shows when it has no value"),
        ({"Handle": "h" * 256}, "a handle of 256 characters: at most 255 fit"),
        ({"Option2_Value": "h" * 256}, "an option of 256 characters: at most 255 fit"),
        ({"Type": "t" * 256}, f"a type '{'t' * 57}...': it has 256 characters: send at most 255"),
        ({"Variant_SKU": "A\ue000"}, "a sku 'A\\ue000': it contains U+E000, which is no character: leave it out"),
    ],
)
def test_the_same_of_handles_and_options(cells: dict[str, str], reason: str) -> None:
    export = read(row(Handle="first", Variant_SKU="FIRST"), row(**cells))

    assert [variant.sku for variant in export.variants] == ["FIRST"]
    assert export.refused == (RowRefusal(3, reason),)


def test_a_name_is_bounded_before_it_is_read() -> None:
    with pytest.raises(ValueError, match="a sku of 1000000 characters: at most 255 fit"):
        read_name("1" * 1_000_000, "a sku")


@pytest.mark.parametrize(
    ("cells", "policy", "quantity", "tracked"),
    [
        ({"Variant Inventory Qty": "0"}, "continue", 0, False),
        ({"Variant Inventory Qty": ""}, "continue", 0, False),
        ({"Variant Inventory Qty": "-4"}, "continue", 0, False),
        ({"Variant Inventory Qty": "3"}, "continue", 3, False),
        ({"Variant Inventory Qty": "0", "Variant Inventory Tracker": "shopify"}, "deny", 0, True),
        ({"Variant Inventory Qty": "3", "Variant Inventory Tracker": "shipwire"}, "deny", 3, True),
    ],
)
def test_a_variant_that_shopify_does_not_track_is_always_for_sale(
    cells: dict[str, str], policy: str, quantity: int, *, tracked: bool
) -> None:
    (variant,) = read_export(write({**row(), **cells}, header=TRACKED), "USD").variants

    assert (variant.backorder_policy, variant.quantity, variant.is_tracked) == (policy, quantity, tracked)


def test_negative_stock_of_a_variant_on_backorder_is_0_and_its_price_is_imported() -> None:
    (variant,) = read(row(Variant_Inventory_Qty="-3", Variant_Inventory_Policy="continue")).variants

    assert (variant.quantity, variant.is_below_zero, variant.price_minor) == (0, True, 999)


def test_skus_from_handle_and_options_leave_the_column_out() -> None:
    content = write(row(Handle="shoe", Option1_Value="36"), row(Handle="shoe", Option1_Value="37"))

    export = read_export(content, "USD", sku_from=SkuSource.HANDLE)

    assert [variant.sku for variant in export.variants] == ["shoe-36", "shoe-37"]
    assert (export.refused, export.same_sku) == ((), 0)


def test_columns_that_may_change_what_is_charged_are_named() -> None:
    columns = ["handle", "VARIANT PRICE", "Body (HTML)", "Price / Canada", "Color (product.metafields.a.b)", "Ort"]

    assert find_unused(columns) == ("Price / Canada", "Ort")
