"""What the search for card numbers costs: in proportion to the text, whatever stands in it; and texts are cut first."""

import random
import time
from typing import Final

import pytest

from pipeline.security.card_numbers import CUT, MAX_CHARACTERS, REMOVED, has_card_number, redact
from pipeline.security.redaction import MAX_KEPT
from pipeline.security.redaction import redact as redact_body
from workers.logs import MAX_TRACEBACK, redact_event

CARD: Final = "4242424242424242"

#: What makes a search work hardest: digits that never become a number, separators that lead nowhere, and both.
HARD: Final = {
    "digits and spaces": "1 ",
    "digits that may begin a number": "3 ",
    "digits alone": "3",
    "groups": "333333333333 ",
    "dashes that are wide": "3\u2014",
    "escaped spaces": r"3\u00a0",
    "backslashes": "\\",
    "backslashes after digits": "3\\\\\\",
    "ids": "11111111-1111-4111-8111-11111111111",
    "escapes": r"\x33",
    "line breaks": r"\n3",
    "numbers of one digit too many": "42424242424242420000 ",
}


def cost(text: str) -> float:
    """Return the CPU seconds that one search takes, the least of three."""
    costs = []
    for _ in range(3):
        began = time.process_time()
        assert not has_card_number(text)
        costs.append(time.process_time() - began)
    return min(costs)


@pytest.mark.slow
@pytest.mark.parametrize("piece", HARD.values(), ids=HARD.keys())
@pytest.mark.parametrize("end", ["", "x"])
def test_eight_times_the_text_takes_about_eight_times_the_time(piece: str, end: str) -> None:
    part = piece * (25_000 // len(piece)) + end
    whole = piece * (200_000 // len(piece)) + end
    # A quadratic search would take 64 times as long; a busy machine makes one of the two up to twice as slow.
    assert cost(whole) < 24 * cost(part) + 0.002


@pytest.mark.slow
def test_random_texts_of_the_search_own_characters_take_no_longer_than_the_hardest_known() -> None:
    seed = random.randrange(10**6)
    source = random.Random(seed)
    hardest = cost("3 " * 25_000)
    pieces = [*HARD.values(), "0", "9", "x", "\u00a0", "\\u2009", "-"]
    for _ in range(40):
        drawn = source.sample(pieces, 3)
        text = "".join(source.choices(drawn, k=50_000))[:50_000]
        began = time.process_time()
        has_card_number(text)
        assert time.process_time() - began < 5 * hardest + 0.01, (seed, drawn)


@pytest.mark.parametrize("before", range(MAX_CHARACTERS - 20, MAX_CHARACTERS + 2))
def test_a_number_across_the_cut_leaves_no_digit(before: int) -> None:
    left = redact("a" * (before - 1) + " " + CARD + " and more")
    assert left.startswith(("a" * (before - 1) + " ")[:MAX_CHARACTERS])
    assert left.endswith(CUT)
    assert (REMOVED in left, any(each.isdigit() for each in left)) == (before < MAX_CHARACTERS, False)


def test_what_is_longer_than_the_bound_is_cut_and_says_so() -> None:
    assert redact("a" * MAX_CHARACTERS) == "a" * MAX_CHARACTERS
    assert redact("a" * (MAX_CHARACTERS + 1)) == "a" * MAX_CHARACTERS + CUT
    event = redact_event(None, "info", {"event": "e" * 10**6, "deep": [["d" * 10**6]], "exception": "x" * 10**6})
    assert [len(event["event"]), len(event["deep"][0][0])] == [MAX_CHARACTERS + len(CUT)] * 2
    assert len(event["exception"]) == MAX_TRACEBACK + len(CUT)


@pytest.mark.parametrize(
    "number", [CARD, "".join(rf"\u003{digit}" for digit in CARD), r"4242\u00a04242\u20134242 4242"]
)
def test_a_body_that_is_cut_loses_a_number_however_it_is_written(number: str) -> None:
    body = f'{{"note": "{number}", "more": "{"x" * MAX_KEPT}"}}'
    left = redact_body(body)
    assert left.startswith(f'{{"note": "{REMOVED}", "more": "xxx')
    assert not has_card_number(left)
    assert len(left) <= MAX_KEPT
