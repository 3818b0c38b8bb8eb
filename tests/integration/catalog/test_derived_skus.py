"""Skus derived from handle and options: two never meet in one, and each is kept, in whatever order they come."""

import itertools
import random
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, text

from pipeline.catalog import VariantRow, upsert_variants
from scripts.importers.shopify import read_export
from tests.integration.catalog.stockroom import rows_of
from tests.integration.catalog.till import call, save

HEADER: Final = (
    "Handle,Title,Option1 Value,Option2 Value,Variant SKU,Variant Inventory Qty,Variant Inventory Policy,Variant Price"
)
pytestmark = pytest.mark.usefixtures("environment")


def line(handle: str, *options: str, title: str = "T", price: str = "1", sku: str = "") -> str:
    first, second = (*options, "", "")[:2]
    return f"{handle},{title},{first},{second},{sku},3,deny,{price}"


def load(folder: Path, *lines: str, code: int = 0) -> None:
    result = call("import", save(folder, *lines, header=HEADER), "--currency", "EUR")
    assert result.exit_code == code, result.output


def read(engine: Engine) -> dict[str, Any]:
    """Every variant's title and current price by sku."""
    with engine.begin() as connection:
        return {
            row[0]: row[1:]
            for row in rows_of(
                connection,
                "SELECT v.sku, v.title, p.amount_minor FROM variants v JOIN prices p ON p.variant_id = v.id"
                " WHERE p.valid_until IS NULL ORDER BY v.id",
            )
        }


#: Pairs whose handles and options differ and whose plain skus are one.
TWINS: Final = {
    "signs": (("glasses", "+1.50"), ("glasses", "-1.50")),
    "where the handle ends": (("t-shirt-red", "S"), ("t-shirt", "Red", "S")),
    "case": (("mug", "S"), ("mug", "s")),
    "emoji only": (("mug", "\U0001f534"), ("mug", "\U0001f535")),
    "emoji and none": (("mug", "\U0001f534"), ("mug",)),
    "which option is empty": (("mug", "S", ""), ("mug", "", "S")),
    "where an option ends": (("mug", "A B", "C"), ("mug", "A", "B C")),
    "punctuation of the handle": (("mug_1",), ("mug-1",)),
}


@pytest.mark.parametrize("twins", TWINS.values(), ids=TWINS.keys())
def test_twins_in_one_file_get_two_skus_whatever_their_order(
    engine: Engine, tmp_path: Path, twins: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    one, other = (line(*origin, price=price) for origin, price in zip(twins, "12", strict=True))

    load(tmp_path, one, other)
    first = read(engine)
    load(tmp_path, other, one)

    assert len(first) == 2
    assert sorted(price for _, price in first.values()) == [100, 200]
    assert read(engine) == first


@pytest.mark.parametrize("twins", TWINS.values(), ids=TWINS.keys())
def test_a_product_that_was_alone_keeps_its_sku_when_its_twin_comes_in_another_file(
    engine: Engine, tmp_path: Path, twins: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    one, other = (line(*origin, price=price) for origin, price in zip(twins, "12", strict=True))

    load(tmp_path, one)
    (alone,) = read(engine).items()
    load(tmp_path, other)
    both = read(engine)
    load(tmp_path, other, one)

    assert alone[0] in both
    assert both[alone[0]] == alone[1]
    assert len(both) == 2
    assert read(engine) == both


def test_the_same_rows_get_the_same_skus_in_every_order() -> None:
    lines = [line("glasses", "+1.50"), line("glasses", "-1.50"), line("glasses", "1 50"), line("top", "Small")]
    found = [
        sorted(variant.sku for variant in read_export("\n".join((HEADER, *order, "")).encode(), "EUR").variants)
        for order in itertools.permutations(lines)
    ]

    assert len(set(found[0])) == 4
    assert found[0][-1] == "top-small"
    assert [sku.rpartition("-")[0] for sku in found[0][:-1]] == ["glasses-1-50"] * 3
    assert all(each == found[0] for each in found)


def test_what_was_derived_before_skus_were_remembered_is_recognised_by_its_title(
    engine: Engine, tmp_path: Path
) -> None:
    # Given what former imports left: one of two twins, and products that were given new titles since
    with engine.begin() as connection:
        upsert_variants(
            connection,
            [
                VariantRow("glasses-1-50", "Glasses - +1.50"),
                VariantRow("top-small", "Old top - Small"),
                VariantRow("cup", "Old cup"),
                VariantRow("t-shirt-red-s", "Red shirt - S"),
            ],
        )

    load(
        tmp_path,
        line("glasses", "-1.50", title="Glasses", price="2"),
        line("glasses", "+1.50", title="Glasses"),
        line("top", "Small", title="New top", price="3"),
        line("cup", title="New cup", price="4"),
        line("t-shirt", "Red", "S", title="Shirt", price="5"),
    )

    found = read(engine)
    assert found["glasses-1-50"] == ("Glasses - +1.50", 100)
    assert found["top-small"] == ("New top - Small", 300)
    assert found["cup"] == ("New cup", 400)
    assert sorted(row for sku, row in found.items() if sku not in {"glasses-1-50", "top-small", "cup"}) == [
        ("Glasses - -1.50", 200),
        ("Shirt - Red / S", 500),
    ]
    with engine.begin() as connection:
        assert rows_of(connection, "SELECT title FROM variants WHERE sku = 't-shirt-red-s'") == [("Red shirt - S",)]


def test_a_sku_of_the_file_is_never_derived_for_another_row(engine: Engine, tmp_path: Path) -> None:
    load(tmp_path, line("top", "Small", title="P"), line("x", title="Q", price="2", sku="top-small"))

    found = read(engine)
    assert found.pop("top-small") == ("Q", 200)
    assert list(found.values()) == [("P - Small", 100)]


def test_a_renamed_variant_keeps_its_name(engine: Engine, tmp_path: Path) -> None:
    load(tmp_path, line("top", "Small"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE variants SET sku = 'TOP-S'"))

    load(tmp_path, line("top", "Small", price="2"))

    assert read(engine) == {"TOP-S": ("T - Small", 200)}


def test_a_derived_sku_that_the_file_gives_to_another_row_is_refused(engine: Engine, tmp_path: Path) -> None:
    load(tmp_path, line("top", "Small"))

    load(tmp_path, line("top", "Small", price="2"), line("x", title="Q", price="3", sku="top-small"), code=3)

    assert read(engine) == {"top-small": ("Q", 300)}


def test_every_variant_gets_a_sku_of_its_own_from_handle_and_options(engine: Engine, tmp_path: Path) -> None:
    path = save(tmp_path, *(line("shoe", str(size), sku="SHOE") for size in range(36, 46)), header=HEADER)

    first = call("import", path, "--currency", "EUR")

    assert first.exit_code == 3
    assert first.stdout.splitlines()[2] == (
        "9 rows refused for a sku that another row has: give each variant one of its own, or import with --sku-from"
        " handle+options"
    )
    second = call("import", path, "--currency", "EUR", "--sku-from", "handle+options")
    assert (second.exit_code, second.stdout.splitlines()[2]) == (0, "10 skus derived from handle and options")
    assert set(read(engine)) == {"SHOE", *(f"shoe-{size}" for size in range(36, 46))}


def test_random_handles_and_options_never_share_a_sku(engine: Engine, tmp_path: Path) -> None:
    seed = 414
    chance = random.Random(seed)
    words = ["a", "A", "b", "-", "1", ".", "\U0001f534", "\xe9", "+", " "]

    def word() -> str:
        return "".join(chance.choices(words, k=chance.randint(1, 3))).strip()

    origins = {(f"h{word()}", word(), word()) for _ in range(300)}
    lines = [line(*origin, price=str(number)) for number, origin in enumerate(sorted(origins), start=1)]
    for _ in range(3):
        chance.shuffle(lines)
        half = len(lines) // 2
        for part in (lines[:half], lines[half:]):
            load(tmp_path, *part)

    found = read(engine)
    assert len(found) == len(origins), f"seed {seed}"
    assert sorted(price for _, price in found.values()) == [100 * (number + 1) for number in range(len(origins))]
    # Which price belongs to which origin did not change with the order.
    by_price = {100 * number: origin for number, origin in enumerate(sorted(origins), start=1)}
    with engine.begin() as connection:
        for handle, options, price in rows_of(
            connection,
            "SELECT d.handle, d.options, p.amount_minor FROM derived_skus d JOIN prices p USING (variant_id)"
            " WHERE p.valid_until IS NULL",
        ):
            assert (handle, *options[:2]) == by_price[price], f"seed {seed}"
