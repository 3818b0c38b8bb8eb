"""What looks like a card number, what does not, and what a text is without one."""

import json
import random
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Final
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from pipeline.intake import PaymentInput
from pipeline.security.card_numbers import REMOVED, has_card_number, redact
from workers.logs import redact_event

CARD: Final = "4242424242424242"
ID: Final = "0190a000-0000-7000-8000-000000000001"

#: The providers' test numbers, in the ways people write them.
CARDS: Final = [
    CARD,
    "4242 4242 4242 4242",
    "4242-4242-4242-4242",
    "4222222222222",
    "5555555555554444",
    "5555 5555 5555 4444",
    "2223003122003222",
    "378282246310005",
    "3782 822463 10005",
    "3782-822463-10005",
    "6011111111111117",
    "6011 1111 1111 1117",
    "30569309025904",
    "3566002020360505",
    "6205500000000000004",
    "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
    "42424242 42424242",
    "4242\u00a04242\u00a04242\u00a04242",
    "4242\u20134242\u20134242\u20134242",
    "".join(chr(0xFF10 + int(digit)) for digit in CARD),  # as a Japanese keyboard types it
]

#: Words around one, and what is left of them.
AROUND: Final = {
    "{}": "{}",
    "card {} please": "card {} please",
    "card:{}, cvc 123": "card:{}, cvc 123",
    "{} 12/29": "{}/29",
    "{} 123": "{}",
    "7 {}": "{}",
    "a1b2-{}": "a1b2-{}",
    "カード{}です": "カード{}です",
    '{{"number":"{}"}}': '{{"number":"{}"}}',
    "number={}&cvc=123": "number={}&cvc=123",
    ";{}=29121010000": ";{}=29121010000",
    "one\n{}\ntwo": "one\n{}\ntwo",
    r'"one\n{}"': r'"one\n{}"',
    r"b'\xa0{}'": r"b'\xa0{}'",
    r'"\u00e9{}"': r'"\u00e9{}"',
    "{}, {}": "{}, {}",
    ID + " {} " + ID: ID + " {} " + ID,
}

#: Tokens as providers give them, and what else is made of digits.
NO_CARDS: Final = [
    "tok_ok",
    "tok_visa",
    "tok_1N4242424242424242424242",
    "tok_4242424242424242",
    "pm_1N4ZKbLkdIwHu7ixabcd4242",
    "pm_4242424242424242",
    "pm_card_visa",
    "src_4242424242424242",
    "card4242424242424242",
    "4242424242424242x",
    ID,
    "42424242-4242-4242-8abc-def012345678",
    "42424242-4242-4242-8242-424242424242",
    "pm_42424242-4242-4242-8abc-def012345678",
    "42424242-4242-4242-8abc-def012345678:authorize:1",
    "4242424242424241",
    "4242 4242 4242 4241",
    "1234567890123",
    "1764000000000",
    "0000000000000000",
    "9999999999999995",
    "424242424242",
    "42424242424242424242",
    "42424242424242420042424242424242",
    "4242  4242  4242  4242",
    "4242,4242,4242,4242",
    "",
]

DOUBLED: Final = "0246813579"


def passes_luhn(digits: str) -> bool:
    """Check digits by a table instead of arithmetic."""
    return sum(int(DOUBLED[int(each)] if at % 2 else each) for at, each in enumerate(reversed(digits))) % 10 == 0


def complete(start: str) -> str:
    """Return the digits with the one that makes them pass."""
    return next(start + last for last in "0123456789" if passes_luhn(start + last))


def looks_issued(digits: str) -> bool:
    return 13 <= len(digits) <= 19 and digits[0] in "23456" and passes_luhn(digits)


starts = st.from_regex(r"[2-6][0-9]{11,17}", fullmatch=True)
separators = st.lists(st.sampled_from(["", "", "", " ", "-"]), min_size=18, max_size=18)


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize(("text", "left"), AROUND.items(), ids=range(len(AROUND)))
def test_a_card_number_is_found_and_goes_with_the_digits_beside_it(card: str, text: str, left: str) -> None:
    # Given
    written = text.replace("{}", card).replace("{{", "{").replace("}}", "}")
    # When, then
    assert has_card_number(written)
    assert redact(written) == left.replace("{}", REMOVED).replace("{{", "{").replace("}}", "}")


@pytest.mark.parametrize("text", NO_CARDS)
def test_what_is_no_card_number_stays(text: str) -> None:
    assert not has_card_number(text)
    assert redact(text) == text
    assert redact(f"word {text}, word") == f"word {text}, word"
    assert text == "" or PaymentInput(token=text).token == text


@given(starts, separators)
def test_a_number_that_passes_is_always_found(start: str, between: list[str]) -> None:
    # Given
    pairs = zip(complete(start), ["", *between], strict=False)
    number = "".join(separator + digit for digit, separator in pairs)
    # When, then
    assert has_card_number(number)
    assert redact(f"({number})") == f"({REMOVED})"
    # ... also as a log would show it, with a space that does not break
    assert redact(repr({"token": number.replace(" ", "\u00a0")})) == repr({"token": REMOVED})
    assert redact(json.dumps([number.replace(" ", "\u2009").replace("-", "\u2013")])) == json.dumps([REMOVED])


@given(st.from_regex(r"[0-9]{1,40}", fullmatch=True))
@example(CARD)
def test_digits_alone_are_found_if_they_look_issued_and_only_then(digits: str) -> None:
    assert has_card_number(digits) == looks_issued(digits)


@given(st.lists(st.from_regex(r"[0-9]{1,8}", fullmatch=True), min_size=1, max_size=12), st.sampled_from(" -"))
@example(["12", "4242", "4242", "4242", "4242", "29"], " ")
def test_groups_are_found_if_some_in_a_row_look_issued_and_only_then(groups: list[str], separator: str) -> None:
    # Given
    rows = [row for at in range(len(groups)) for row in accumulate(groups[at:])]
    text = separator.join(groups)
    # When, then
    assert has_card_number(text) == any(looks_issued(row) for row in rows)
    assert redact(text) == (REMOVED if has_card_number(text) else text)


@given(st.text(alphabet="0123456789 -x_\n\\u\u00a0{}\"'", max_size=80))
def test_what_is_left_of_any_text_holds_none(text: str) -> None:
    assert not has_card_number(redact(text))


def test_ids_and_times_are_never_touched() -> None:
    # Given
    source = random.Random(7)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    random_ids = [uuid4() for _ in range(10_000)] + [uuid7() for _ in range(10_000)]
    # ... ids of decimal digits alone, as they come once in millions
    random_ids += [UUID("".join(source.choices("0123456789", k=32)), version=4) for _ in range(10_000)]
    texts = [str(each) for each in random_ids]
    texts += [f"{each}:authorize:{number}" for number, each in enumerate(random_ids[:1000], start=1)]
    texts += [str(source.randrange(10**12)) for _ in range(10_000)]
    for _ in range(10_000):
        moment += timedelta(seconds=source.randrange(10_000), microseconds=source.randrange(10**6))
        texts += [moment.isoformat(), str(moment), str(moment.timestamp()), str(int(moment.timestamp() * 1000))]
    # When, then
    assert [text for text in texts if redact(text) != text] == []
    # ... nor numbers, whose digits no check reads
    event = {"event": "checkout.admitted", "checkout_id": texts[0], "id": int(CARD), "ids": random_ids[:10]}
    assert redact_event(None, "info", event) == event
