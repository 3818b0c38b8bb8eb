"""Both sides of the normalisers agree: the schema's function and Python's, over every character of Unicode."""

import random
import unicodedata
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

import pytest
from sqlalchemy import Engine, text

from models.identifiers import (
    make_skeleton,
    normalize_coupon_code,
    normalize_customer,
    normalize_location,
    normalize_sku,
)
from models.identifiers.characters import BLANKS, INVISIBLE, LOOK_ALIKES, map_capitals, map_case


class NameKind(StrEnum):
    """What is compared of a name."""

    SEEN = "seen"  #: a sku, the name of a tax as it is shown
    FOLDED = "folded"  #: a location, a tax category, the name of a tax as it is compared
    CUSTOMER = "customer"
    COUPON = "coupon"
    LOOK_ALIKE = "look_alike"  #: which skus can be confused


SIDES: Final[dict[NameKind, Callable[[str], str]]] = {
    NameKind.SEEN: normalize_sku,
    NameKind.FOLDED: normalize_location,
    NameKind.CUSTOMER: normalize_customer,
    NameKind.COUPON: normalize_coupon_code,
    NameKind.LOOK_ALIKE: make_skeleton,
}

BOTH: Final = text(
    "SELECT normalize_name(:kind, name) FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS n (name, at) ORDER BY at"
)

#: What Python refuses on input, and a NUL, which no text of the database has.
REFUSED: Final = {"Cn", "Co", "Cs"}

#: Ideographs and syllables of Hangul, tens of thousands in a row that are alike: some of them stand for all.
ALIKE: Final = (range(0x3400, 0x4DC0), range(0x4E00, 0xA000), range(0xAC00, 0xD7A4), range(0x17000, 0x18D00),
                range(0x20000, 0x32000))  # fmt: skip


def normalize_in_python(kind: NameKind, name: str) -> str:
    """Return Python's result; what it refuses as blank is '' in the schema."""
    try:
        return SIDES[kind](name)
    except ValueError:
        return ""


def normalize_in_sql(engine: Engine, kind: NameKind, names: Iterable[str]) -> list[str]:
    """Return the schema's results."""
    with engine.connect() as connection:
        return list(connection.execute(BOTH, {"kind": kind, "names": list(names)}).scalars())


def list_characters(engine: Engine) -> list[str]:
    """Return every character that both sides know: one that is newer than the Unicode of either is left out."""
    codes = [code for code in range(1, 0x110000) if not any(code in block and code % 97 for block in ALIKE)]
    characters = [chr(code) for code in codes if unicodedata.category(chr(code)) not in REFUSED]
    with engine.connect() as connection:
        known = connection.execute(
            text(
                "SELECT unicode_assigned(c) FROM unnest(CAST(:all AS text[])) WITH ORDINALITY AS n (c, at) ORDER BY at"
            )
            if (connection.dialect.server_version_info or ()) >= (17,)
            else text("SELECT true FROM unnest(CAST(:all AS text[]))"),
            {"all": characters},
        ).scalars()
        return [character for character, is_known in zip(characters, known, strict=True) if is_known]


@pytest.mark.parametrize("kind", list(NameKind))
def test_both_sides_agree_about_every_character(engine: Engine, kind: NameKind) -> None:
    """Alone and between letters, where a mark may join what stands before it."""
    characters = list_characters(engine)
    assert len(characters) > 30_000
    names = [*(f"a{each}b" for each in characters), *(each for each in characters if _is_hard(each))]
    answers = normalize_in_sql(engine, kind, names)
    differ = [
        (name, normalize_in_python(kind, name), answer)
        for name, answer in zip(names, answers, strict=True)
        if normalize_in_python(kind, name) != answer
    ]
    assert differ == []


@pytest.mark.parametrize("kind", list(NameKind))
def test_both_sides_agree_about_names_of_hard_characters(engine: Engine, kind: NameKind) -> None:
    """Seeded: letters with case, marks, blanks of every width and invisible characters, mixed."""
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    hard = [each for each in list_characters(engine) if _is_hard(each)] + list(
        "aAbB 19-ßẞİıſΣς\u200b\u00a0\u00ad\u0301\u0307"
    )
    names = ["".join(draw.choices(hard, k=draw.randint(1, 8))) for _ in range(4_000)]
    answers = normalize_in_sql(engine, kind, names)
    differ = [
        (name, normalize_in_python(kind, name), answer)
        for name, answer in zip(names, answers, strict=True)
        if normalize_in_python(kind, name) != answer
    ]
    assert differ == [], f"seed {seed}"
    if kind is not NameKind.LOOK_ALIKE:
        assert normalize_in_sql(engine, kind, answers) == answers, f"seed {seed}"


def test_the_function_has_the_characters_of_the_code(engine: Engine) -> None:
    """They are written as here: after a change of one side, this failure has the text for a migration."""
    look_alike = {code: ord(letter) for code, letter in LOOK_ALIKES.items()}
    with engine.connect() as connection:
        body: str = connection.execute(text("SELECT prosrc FROM pg_proc WHERE proname = 'normalize_name'")).scalar_one()
    for part in (
        f"blanks CONSTANT text := {quote(BLANKS)};",
        f"invisible CONSTANT text := {quote(INVISIBLE)};",
        f"{quote(map_case())} || invisible, {quote(map_case().values())});",
        f"{quote(map_capitals())}, {quote(map_capitals().values())});",
        f"{quote(look_alike)}, {quote(look_alike.values())});",
    ):
        assert part in body


def quote(codes: Iterable[int]) -> str:
    """Return the characters as an SQL string that shows none of them."""
    return "E'" + "".join(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}" for code in codes) + "'"


def _is_hard(character: str) -> bool:
    return (
        unicodedata.normalize("NFKC", character) != character
        or character.casefold() != character
        or unicodedata.combining(character) > 0
        or unicodedata.category(character) in {"Cc", "Cf", "Zs", "Zl", "Zp"}
    )
