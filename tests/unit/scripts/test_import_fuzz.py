"""Damaged files: each row is imported as it was written, or refused. Seeded.

`FUZZ_ROUNDS=20000 pytest tests/unit/scripts/test_import_fuzz.py` runs longer; a failure names the seed to repeat it.
"""

import csv
import io
import os
import random
from collections.abc import Callable
from typing import Final

import pytest

from scripts.importers.shopify import Export, NotReadable, read_export

ROUNDS: Final = int(os.environ.get("FUZZ_ROUNDS", "150"))
COLUMNS: Final = (
    "Handle", "Title", "Body (HTML)", "Type", "Option1 Value", "Variant SKU", "Variant Inventory Qty",
    "Variant Inventory Policy", "Variant Price", "Image Src", "Status",
)  # fmt: skip
BODIES: Final = (
    "",
    "plain",
    "<p>two\nlines</p>",
    'a "quoted" word',
    "commas, in, a, sentence",
    '<p class=""></p>\n\n"',
)
TITLES: Final = ("Mug", "Café crème", "Größe 5", 'Plate 12"', "Cup, large", "青 Tee")

#: The imported values of a variant.
Facts = tuple[str, str, str, int, int]


def make_rows(chance: random.Random) -> list[dict[str, str]]:
    return [
        {
            "Handle": f"p{number}",
            "Title": chance.choice(TITLES),
            "Body (HTML)": chance.choice(BODIES),
            "Type": chance.choice(("", "Kitchen")),
            "Option1 Value": chance.choice(("", "Red", "12, 14")),
            "Variant SKU": f"SKU-{number:03}",
            "Variant Inventory Qty": str(chance.randint(0, 500)),
            "Variant Inventory Policy": chance.choice(("deny", "continue")),
            "Variant Price": f"{chance.randint(1, 99999) / 100:.2f}",
            "Image Src": chance.choice(("", "a.jpg")),
            "Status": "active",
        }
        for number in range(chance.randint(1, 12))
    ]


def write(rows: list[dict[str, str]], columns: tuple[str, ...], *, separator: str = ",", end: str = "\r\n") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, delimiter=separator, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read(content: bytes) -> Export | None:
    try:
        return read_export(content, "EUR")
    except NotReadable:
        return None


def facts_of(export: Export | None) -> set[Facts]:
    if export is None:
        return set()
    assert all(refusal.reason for refusal in export.refused)
    return {(each.sku, each.title, each.backorder_policy, each.price_minor, each.quantity) for each in export.variants}


def expected_of(rows: list[dict[str, str]]) -> set[Facts]:
    return facts_of(read_export(write(rows, COLUMNS).encode(), "EUR"))


def cut(text: str, chance: random.Random) -> bytes:
    """Truncate a download at a random byte."""
    content = text.encode(chance.choice(("utf-8", "utf-8-sig", "utf-16")))
    return content[: chance.randrange(len(content))]


def cut_cp1252(text: str, chance: random.Random) -> bytes:
    content = text.encode("cp1252", errors="ignore")
    return content[: chance.randrange(len(content))]


def repeat_rows(text: str, chance: random.Random) -> bytes:
    lines = text.splitlines(keepends=True)
    return "".join((*lines, chance.choice(lines))).encode()


@pytest.mark.parametrize("break_", [cut, cut_cp1252, repeat_rows])
def test_rows_of_a_damaged_file_are_unchanged_or_refused(break_: Callable[[str, random.Random], bytes]) -> None:
    kept = 0
    for seed in range(ROUNDS):
        chance = random.Random(seed)
        rows = make_rows(chance)
        if break_ is cut_cp1252:
            rows = [{name: value.replace("青", "") for name, value in row.items()} for row in rows]
        text = write(rows, COLUMNS, separator=chance.choice(",;\t"), end=chance.choice(("\n", "\r\n", "\r")))

        found = facts_of(read(break_(text, chance)))

        assert found <= expected_of(rows), f"seed {seed}"
        kept += len(found)
    assert kept > ROUNDS


def test_an_unbalanced_quote_changes_only_its_own_row() -> None:
    kept = written = 0
    for seed in range(ROUNDS):
        chance = random.Random(seed)
        rows = make_rows(chance)
        text = write(rows, COLUMNS)
        place = chance.randrange(text.index("\n") + 1, len(text) + 1)

        export = read((text[:place] + '"' + text[place:]).encode())

        expected = {facts[0]: facts for facts in expected_of(rows)}
        for facts in facts_of(export):
            # In the middle of a cell a quote is an ordinary character.
            known = expected[facts[0].replace('"', "")]
            assert facts[1].replace('"', "") == known[1].replace('"', ""), f"seed {seed}: {facts}"
            assert facts[2:] == known[2:], f"seed {seed}: {facts}"
            kept += 1
        written += len(rows)
    assert kept > written * 0.7


def test_columns_in_any_order_any_case_and_any_encoding_are_the_same_file() -> None:
    for seed in range(ROUNDS):
        chance = random.Random(seed)
        rows = make_rows(chance)
        columns = list(COLUMNS)
        chance.shuffle(columns)
        head, _, rest = write(rows, tuple(columns), separator=chance.choice(",;\t|")).partition("\r\n")
        text = chance.choice((head.upper(), head.lower(), head.replace(" ", "  "), head)) + "\r\n" + rest

        found = facts_of(read(text.encode(chance.choice(("utf-8", "utf-8-sig", "utf-16", "utf-32")))))

        assert found == expected_of(rows), f"seed {seed}"


def test_garbage_is_refused_and_never_a_traceback() -> None:
    for seed in range(ROUNDS):
        chance = random.Random(seed)
        content = bytearray(write(make_rows(chance), COLUMNS).encode())
        for _ in range(chance.randint(1, 20)):
            place = chance.randrange(len(content))
            match chance.randrange(3):
                case 0:
                    content[place] = chance.randrange(256)
                case 1:
                    del content[place : place + chance.randrange(40)]
                case _:
                    content[place:place] = chance.choice((b'"', b"\n", b",", b"\x00", b"\xff", b'""', b"'", b"\x85"))
            if not content:
                break
        facts_of(read(bytes(content)))
