"""One normaliser for each kind of name: what is one, what is two, and what is refused with a sentence."""

# ruff: noqa: RUF001 (letters that look alike are the matter)

import random
import unicodedata
from collections.abc import Callable

import pytest

from models.identifiers import (
    fold_tax_name,
    make_skeleton,
    normalize_coupon_code,
    normalize_customer,
    normalize_location,
    normalize_sku,
    normalize_tax_category,
    normalize_tax_name,
    normalize_text,
)

NORMALISERS: list[Callable[[str], str]] = [
    fold_tax_name, make_skeleton, normalize_coupon_code, normalize_customer, normalize_location, normalize_sku,
    normalize_tax_category, normalize_tax_name, normalize_text,
]  # fmt: skip


@pytest.mark.parametrize(
    ("normalise", "texts", "one"),
    [
        (normalize_coupon_code, ["STRAßE", "STRASSE", " Strasse ", "STRA\u1e9eE", "stras\u200bse"], "STRASSE"),
        (normalize_coupon_code, ["summer 10", "SUMMER10", "ＳＵＭＭＥＲ１０", "summer\u00a010"], "SUMMER10"),
        (normalize_coupon_code, ["İNDİRİM", "indirim", "INDIRIM", "ındırım"], "INDIRIM"),
        (normalize_coupon_code, ["İNDİRİM".lower(), "indi\u0307rim", "I\u0307NDI\u0307RI\u0307M"], "INDIRIM"),
        (normalize_coupon_code, ["\u24be\u02d9", "I \u0307", "i\u0307\u0307", "i\u200b\u0307", "\uff29\u0307"], "I"),
        (normalize_customer, ["İris@a.example", "i\u0307ris@a.example", "IRIS@a.example"], "iris@a.example"),
        (normalize_location, ["İzmir", "i\u0307zmir", "izmir"], "izmir"),
        (normalize_coupon_code, ["größe", "GRÖSSE", "GRO\u0308SSE", "gro\u200b\u0308sse"], "GRÖSSE"),
        (normalize_coupon_code, ["ΣΟΦΟΣ", "σοφος", "σοφοσ"], "ΣΟΦΟΣ"),
        (normalize_customer, ["Ada@Shop.example", " ada@shop.example", "a da@shop.example\u200b"], "ada@shop.example"),
        (normalize_location, ["Main", "main", " MAIN\t", "ｍain", "ma\u00adin"], "main"),
        (normalize_location, ["Main  hall", "main\u3000hall", "MAIN\u2003 HALL"], "main hall"),
        (normalize_tax_category, ["Books", "books ", "BOOKS\u200e"], "books"),
        (fold_tax_name, ["VAT", "vat", "Vat\u200b", "ＶＡＴ"], "vat"),
        (normalize_tax_name, ["State  tax", " State tax\u200b", "State\u00a0tax"], "State tax"),
        (normalize_sku, ["kettle", " kettle", "kettle\u200b", "\u2060kettle\u00a0", "ket\u00adtle"], "kettle"),
        (normalize_sku, ["caf\u00e9", "cafe\u0301"], "caf\u00e9"),
        (make_skeleton, ["Kettle", "kettle", "\u043a\u0435ttl\u0435", "ｋｅｔｔｌｅ", "ket tle", "KETT1E"], "kettie"),
        (normalize_text, ["A cup", "A\u00a0cup ", "A\u202e cup", "A\x07 cup"], "A cup"),
    ],
)  # fmt: skip
def test_names_of_one_thing_become_one(normalise: Callable[[str], str], texts: list[str], one: str) -> None:
    """Case, blanks, width, invisible characters: whatever the kind does not compare by."""
    assert [normalise(text) for text in texts] == [one] * len(texts)


@pytest.mark.parametrize(
    ("normalise", "texts"),
    [
        (normalize_sku, ["abc", "ABC", "a bc", "ａbc", "\u0430bc", "a-bc"]),
        (normalize_coupon_code, ["SUMMER10", "SUMMER1O", "SUMMER-10", "SÜMMER10"]),
        (normalize_customer, ["ada@a.example", "ada@b.example", "\u0430da@a.example"]),
        (normalize_location, ["main", "main 2", "maine"]),
        (normalize_text, ["fleur", "FLEUR", "\U0001f468\u200d\U0001f469", "\U0001f468\U0001f469"]),
    ],
)
def test_names_of_two_things_stay_two(normalise: Callable[[str], str], texts: list[str]) -> None:
    """What the kind compares by."""
    assert len({normalise(text) for text in texts}) == len(texts)


@pytest.mark.parametrize("normalise", [each for each in NORMALISERS if each is not make_skeleton])
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "it is blank"),
        (" \t\u3000", "it is blank"),
        ("\u200b\u2060\ufeff", "it is blank"),
        ("a" * 1001, "characters: send at most"),
        ("a\x00", "a NUL character"),
        ("a\ud800", "U\\+D800, which is no character"),
        ("a\ue000", "U\\+E000, which is no character"),
    ],
)
def test_what_is_no_name_is_refused(normalise: Callable[[str], str], text: str, sentence: str) -> None:
    """Blank, too long, or made of what is no character."""
    with pytest.raises(ValueError, match=sentence):
        normalise(text)


def test_a_name_that_grows_is_bounded_after_it_has_grown() -> None:
    """One ligature of Arabic becomes eighteen letters."""
    with pytest.raises(ValueError, match=r"it has 1800 characters|at most 100"):
        normalize_coupon_code("\ufdfa" * 100)


@pytest.mark.parametrize("normalise", [each for each in NORMALISERS if each is not make_skeleton])
def test_normalising_twice_is_normalising_once(normalise: Callable[[str], str]) -> None:
    """Every character alone and, seeded, among others."""
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    characters = [chr(code) for code in range(1, 0x110000) if unicodedata.category(chr(code)) not in {"Cn", "Co", "Cs"}]
    hard = [each for each in characters if unicodedata.normalize("NFKC", each) != each or each.casefold() != each]
    hard += [each for each in characters if unicodedata.combining(each) or unicodedata.category(each) in {"Cf", "Zs"}]
    texts = [*hard, *("".join(draw.choices(hard, k=draw.randint(2, 6))) for _ in range(3_000))]
    broken = [text for text in texts if not _is_stable(normalise, text)]
    assert broken == [], f"seed {seed}"


def _is_stable(normalise: Callable[[str], str], text: str) -> bool:
    try:
        once = normalise(text)
    except ValueError:
        return True
    try:
        return normalise(once) == once
    except ValueError:
        return False
