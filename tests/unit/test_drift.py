"""What the caller expects to be charged, held against what is frozen."""

import pytest

from pipeline.pricing.drift import Expected, find_drift
from pipeline.pricing.quote import hash_quote, price_order
from tests.unit.orders import goods, order, percentage, shipping, vat

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


def test_a_hash_tells_quotes_of_one_total_apart() -> None:
    assert find_drift(QUOTE, Expected(hash=hash_quote(QUOTE)), 0) is None
    assert find_drift(QUOTE, Expected(1260, hash_quote(QUOTE)), 0) is None

    drift = find_drift(QUOTE, Expected(1260, "another"), 1000)
    assert drift is not None
    assert (drift["hash"], drift["lines"]) == (hash_quote(QUOTE), [CUP, POT])


def test_of_a_caller_who_named_lines_those_that_differ_are_listed() -> None:
    drift = find_drift(QUOTE, Expected(1300, lines={"1": 450, "2": 360}), 0)

    assert drift is not None
    assert drift["lines"] == [POT | {"expected_total_minor": 360}]
