"""Texts from outside are quoted where they are shown, and what is counted has its number."""

import pytest

from pipeline.errors.wording import MAX_QUOTED, count, describe, fill, quote


@pytest.mark.parametrize(
    ("_case", "text", "shown"),
    [
        ("plain", "kettle", '"kettle"'),
        ("nothing", "", '""'),
        ("a blank", "kettle ", '"kettle "'),
        ("a zero width space", "kettle\u200b", '"kettle\\u200b"'),
        ("a no-break space", "a\xa0b", '"a\\u00a0b"'),
        ("an escape sequence", "\x1b[31m", '"\\u001b[31m"'),
        ("a bidirectional override", "\u202eabc", '"\\u202eabc"'),
        ("a line break", "a\nb\r\t", '"a\\nb\\r\\t"'),
        ("quotes and a backslash", 'a"b\\', '"a\\"b\\\\"'),
        ("letters of other scripts", "чайник 茶壺 Straße", '"чайник 茶壺 Straße"'),
        ("beyond the first plane", "\U000e0001", '"\\U000e0001"'),
        ("half of a pair", "\ud800", '"\\ud800"'),
    ],
)
def test_a_text_from_outside_is_shown_in_quotes(_case: str, text: str, shown: str) -> None:
    assert quote(text) == shown


def test_a_long_text_is_cut() -> None:
    assert quote("x" * MAX_QUOTED) == f'"{"x" * MAX_QUOTED}"'
    assert quote("x" * (MAX_QUOTED + 1)) == f'"{"x" * (MAX_QUOTED - 1)}…"'


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0 lines"), (1, "1 line"), (2, "2 lines"), (1000, "1000 lines"), (0.5, "0.5 lines")]
)
def test_a_count_has_its_word(number: float, shown: str) -> None:
    assert count(number, "line", "lines") == shown
    assert fill("{n:line|lines}", {"n": number}) == shown


def test_facts_are_text_whatever_they_hold() -> None:
    assert fill("{sku!q} and {reason}", {"sku": "{cup} %s", "reason": "{0}"}) == '"{cup} %s" and {0}'


def test_a_missing_fact_leaves_a_hole() -> None:
    assert fill("{sku!q}, {n:line|lines}, {x}", {}) == "?, ? lines, ?"


def test_documents_name_the_facts() -> None:
    assert describe("Of {sku!q}, {n:was|were} wanted by {x}.") == "Of `sku`, `n` were wanted by `x`."
