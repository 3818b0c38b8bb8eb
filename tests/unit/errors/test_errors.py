"""Every code has one helpful sentence."""

import string

import pytest

from pipeline.errors import CheckoutError, Code, Conflict, Invalid, NotFound, Refused, sentence
from pipeline.errors.tree import SENTENCES


@pytest.mark.parametrize("code", Code)
def test_every_code_has_one_sentence(code: Code) -> None:
    text = SENTENCES[code]

    assert text[0].isupper() or text.startswith("{")
    assert text.endswith(".")
    assert "\n" not in text
    assert code.value == code.value.lower()
    assert code.value.replace("_", "").isalpha()


def test_sentences_differ() -> None:
    assert set(SENTENCES) == set(Code)
    assert len(set(SENTENCES.values())) == len(Code)


@pytest.mark.parametrize("code", Code)
def test_facts_are_filled_in_by_name(code: Code) -> None:
    names = {name for _, name, _, _ in string.Formatter().parse(SENTENCES[code]) if name is not None}

    shown = sentence(code, {name: f"<{name}>" for name in names})

    assert all(f"<{name}>" in shown for name in names)
    assert "{" not in shown


def test_a_missing_fact_leaves_a_hole_and_a_fact_with_braces_is_text() -> None:
    assert sentence(Code.OUT_OF_STOCK, {"sku": "{cup}"}) == (
        'Of "{cup}", ? were asked for and ? are left: ask for fewer.'
    )


def test_an_error_is_its_sentence() -> None:
    error = NotFound(Code.CART_UNKNOWN, cart_id="c1")

    assert str(error) == "There is no cart c1: create it first, then start its checkout."
    assert (error.code, error.detail) == (Code.CART_UNKNOWN, {"cart_id": "c1"})


def test_there_is_one_tree() -> None:
    assert all(issubclass(kind, Refused) for kind in (Invalid, NotFound, Conflict))
    assert issubclass(Refused, CheckoutError)
