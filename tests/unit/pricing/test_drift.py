"""What the caller expects to be charged, compared with what is frozen."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.checkouts import Expected
from pipeline.intake.requests import Expecting
from pipeline.pricing.drift import find_drift
from pipeline.pricing.quote import hash_quote, price_order
from tests.factories.orders import goods, order, percentage, shipping, vat

QUOTE = price_order(
    order(
        goods(1, 250, 2),
        goods(2, 99, 3, tax_included=False),
        shipping=shipping(490),
        promotions=(percentage(1, "10"),),
        tax_rates=(vat("0.2"),),
    )
)
CUP = {
    "line": 1,
    "sku": "sku-1",
    "quantity": 2,
    "unit_price_minor": 250,
    "discount_minor": 50,
    "tax_minor": 75,
    "total_minor": 450,
    "expected_total_minor": None,
}
POT = {
    "line": 2,
    "sku": "sku-2",
    "quantity": 3,
    "unit_price_minor": 99,
    "discount_minor": 30,
    "tax_minor": 53,
    "total_minor": 320,
    "expected_total_minor": None,
}


def test_nothing_expected_is_no_drift() -> None:
    assert QUOTE.total_minor == 1260
    assert find_drift(QUOTE, Expected(), 0) is None


@pytest.mark.parametrize("tolerance", [0, 3])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_total_may_be_off_by_the_tolerance_and_no_more(tolerance: int, sign: int) -> None:
    assert find_drift(QUOTE, Expected(1260 + sign * tolerance), tolerance) is None

    beyond = 1260 + sign * (tolerance + 1)
    assert find_drift(QUOTE, Expected(beyond), tolerance) == {
        "total_minor": 1260,
        "expected_total_minor": beyond,
        "hash": hash_quote(QUOTE),
        "shipping_minor": 490,
        "lines": [CUP, POT],
    }


def test_quotes_of_one_total_have_different_hashes() -> None:
    assert find_drift(QUOTE, Expected(hash=hash_quote(QUOTE)), 0) is None
    assert find_drift(QUOTE, Expected(1260, hash_quote(QUOTE)), 0) is None

    drift = find_drift(QUOTE, Expected(1260, "another"), 1000)
    assert drift is not None
    assert (drift["hash"], drift["lines"]) == (hash_quote(QUOTE), [CUP, POT])


def test_with_expected_lines_those_that_differ_are_listed() -> None:
    drift = find_drift(QUOTE, Expected(1300, lines={"1": 450, "2": 360}), 0)

    assert drift is not None
    assert drift["lines"] == [POT | {"expected_total_minor": 360}]


@pytest.mark.parametrize(
    ("lines", "tolerance", "differs"),
    [
        ({"1": 450, "2": 320}, 0, None),
        ({"1": 100, "2": 320}, 0, "line 1 is 450, not 100"),
        ({"1": 451, "2": 320}, 0, "line 1 is 450, not 451"),
        ({"1": 451, "2": 319}, 1, None),
        ({"1": 452, "2": 320}, 1, "line 1 is 450, not 452"),
        # Each within the tolerance, and together beyond it: a hundred lines are not off by a hundred tolerances.
        ({"1": 451, "2": 321}, 1, "line 1 is 450, not 451, line 2 is 320, not 321"),
        ({"1": 450}, 1000, "line 2 is new"),
        ({"2": 320}, 1000, "line 1 is new"),
        ({"1": 450, "2": 320, "3": 0}, 1000, "line 3 is not there"),
        ({"9": 100}, 0, "line 1 is new, line 2 is new, line 9 is not there"),
        ({"3": 1, "4": 1, "5": 1}, 0, "line 1 is new, line 2 is new, line 3 is not there and 2 more"),
    ],
)
def test_lines_alone_are_compared(lines: dict[str, int], tolerance: int, differs: str | None) -> None:
    drift = find_drift(QUOTE, Expected(lines=lines), tolerance)

    assert (None if drift is None else drift["differs"]) == differs


def test_a_line_that_is_not_there_is_listed_with_what_was_expected_of_it() -> None:
    drift = find_drift(QUOTE, Expected(lines={"1": 450, "2": 320, "7": 99}), 0)

    assert drift is not None
    nothing = dict.fromkeys(("quantity", "unit_price_minor", "discount_minor", "tax_minor", "total_minor"), 0)
    assert drift["lines"] == [{"line": 7, "sku": None, **nothing, "expected_total_minor": 99}]
    assert drift["expected_total_minor"] is None


@pytest.mark.parametrize("lines", [{}, {"01": 1}, {"-1": 1}, {"one": 1}, {"1": -1}, {"1": 1.5}, {"1\n": 1}])
def test_lines_that_name_nothing_are_refused_on_input(lines: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Expecting.model_validate({"expected_lines": lines})
