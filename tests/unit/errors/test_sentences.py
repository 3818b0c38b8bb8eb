"""Every sentence of the catalogue, read with its facts filled in: the singular and the plural, none and one."""

import json
from collections import defaultdict
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from pipeline.errors import Code, sentence
from pipeline.errors.tree import list_sentences

#: What was read: a code, its facts, and the sentence that they make.
READ: list[dict[str, Any]] = json.loads((Path(__file__).parent / "sentences.json").read_text())

#: How many there may be of what is counted: the words differ for one.
COUNTS = {0, 1, 2}


@pytest.mark.parametrize("read", READ, ids=lambda read: f"{read['code']}-{READ.index(read)}")
def test_a_sentence_is_as_it_was_read(read: dict[str, Any]) -> None:
    said = sentence(Code(read["code"]), read["facts"])
    assert said == read["sentence"]
    assert (said[0].isupper() or not said[0].isalpha(), said[-1]) == (True, ".")
    assert "?" not in said
    assert "{" not in said


def test_every_sentence_was_read() -> None:
    made: dict[str, set[str]] = defaultdict(set)
    for read in READ:
        made[read["code"]].add(read["sentence"])
    assert set(made) == {code.value for code in Code}
    for code in Code:
        assert len(made[code.value]) >= len(list_sentences(code)), code


@pytest.mark.parametrize("code", Code)
def test_every_count_was_read_with_none_one_and_two(code: Code) -> None:
    parsed = Formatter().parse(list_sentences(code)[0])
    for name in [name for _, name, form, _ in parsed if name and form and "|" in form]:
        assert {read["facts"].get(name) for read in READ if read["code"] == code.value} >= COUNTS, name
