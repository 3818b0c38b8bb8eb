"""What is a token, and what it asks for."""

import pytest

from pipeline.gateways.gateway import KEYED_VERBS, Verb
from pipeline.gateways.sandbox.tokens import Token, TokenFault, TokenOutcome, find_fault, parse_token


@pytest.mark.parametrize("outcome", TokenOutcome)
def test_a_word_alone_is_an_outcome(outcome: TokenOutcome) -> None:
    assert parse_token(f"tok_{outcome}") == Token(outcome, {})


@pytest.mark.parametrize("verb", KEYED_VERBS)
@pytest.mark.parametrize("fault", TokenFault)
def test_a_fault_alone_is_a_card_that_works_otherwise(verb: Verb, fault: TokenFault) -> None:
    assert parse_token(f"tok_{verb}_{fault}") == Token(TokenOutcome.OK, {verb: fault})


def test_words_are_joined_with_plus() -> None:
    token = parse_token("tok_action_required+tok_capture_timeout_after+tok_refund_error")

    assert token == Token(
        TokenOutcome.ACTION_REQUIRED, {Verb.CAPTURE: TokenFault.TIMEOUT_AFTER, Verb.REFUND: TokenFault.ERROR}
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tok_",
        "ok",
        "TOK_OK",
        "tok_ok ",
        "tok_ok+",
        "tok_ok+declined",
        "tok_ok+tok_declined",
        "tok_ok+tok_ok",
        "tok_open_error+tok_open_declined",
        "tok_retrieve_error",
        "pm_card_visa",
    ],
)
def test_anything_else_is_no_token_and_asks_for_no_fault(text: str) -> None:
    assert parse_token(text) is None
    assert [find_fault(verb, text) for verb in KEYED_VERBS] == [None] * len(KEYED_VERBS)
