"""Coupons: their discounts, their limits, and why one cannot be used."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.support.counter import USED_UP, add_cup, read_failure, start, used
from tests.support.harness import Shelf, Works
from tests.support.workbench import NOTHING, read_bank

YESTERDAY, TOMORROW = (datetime.now(UTC) + timedelta(days=days) for days in (-1, 1))


@pytest.mark.parametrize(
    ("promotion", "total", "discounts"),
    [
        ({"kind": "percentage", "percent": "12.5"}, 1375, ([125], [])),
        ({"kind": "percentage", "percent": 50, "categories": ["crockery"]}, 1000, ([500], [])),
        ({"kind": "fixed_amount", "amount_minor": 300, "currency": "EUR"}, 1200, ([300], [])),
        ({"kind": "fixed_amount", "amount_minor": 9999, "currency": "EUR"}, 500, ([1000], [])),
        ({"kind": "free_shipping", "minimum_minor": 1000}, 1000, ([], [500])),
    ],
    ids=["percentage", "category", "fixed amount", "more than there is", "free shipping"],
)
def test_a_coupon_lowers_what_is_charged(
    works: Works,
    shelf: Shelf,
    engine: Engine,
    promotion: dict[str, Any],
    total: int,
    discounts: tuple[list[int], list[int]],
) -> None:
    # Given
    add_cup(shelf)
    promotion_id = shelf.add_promotion(title="Spring", **promotion)
    shelf.add_coupon("TEN", promotion_id, limit=1)
    # When
    checkout_id = start(works, shelf, token="tok_ok")
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert read_bank(engine, checkout_id).captured_minor == total
    order = shelf.row("SELECT total_minor, shipping FROM orders")
    lines = shelf.row("SELECT discounts FROM order_lines").discounts
    applied = {"text": "Spring", "promotion_id": promotion_id, "code": "TEN"}
    assert order.total_minor == total
    assert lines == [{**applied, "amount_minor": amount} for amount in discounts[0]]
    assert order.shipping["discounts"] == [{**applied, "amount_minor": amount} for amount in discounts[1]]
    assert used(shelf) == (1, 1, 0)


def test_an_automatic_promotion_is_nobodys_coupon(works: Works, shelf: Shelf) -> None:
    # Given one that is valid, and three that are not
    add_cup(shelf)
    shelf.add_promotion(percent=10, automatic=True)
    shelf.add_promotion(percent=20, automatic=True, active=False)
    shelf.add_promotion(percent=30, automatic=True, ends_at=datetime.now(UTC), starts_at=YESTERDAY)
    shelf.add_promotion(percent=40, automatic=True, starts_at=TOMORROW)
    # When
    checkout_id = works.start(shelf.add_cart(("cup", 4)))
    works.pump()
    # Then
    assert works.status(checkout_id).total_minor == 900
    assert shelf.rows("SELECT count(*) FROM redemptions") == [(0,)]


INVALID = 'Coupon "TEN" does not exist or is not valid now: remove it.'
NEEDS_CUSTOMER = 'Coupon "TEN" is limited per customer and the cart names none: name the customer.'


def gives_nothing(reason: str, code: str = "TEN") -> str:
    return f'Coupon "{code}" gives nothing on this cart ({reason}): remove it.'


OTHER_GOODS = gives_nothing("it is for other goods")


@pytest.mark.parametrize(
    ("promotion", "coupon", "code", "sentence"),
    [
        ({}, None, "coupon_unknown", INVALID),
        ({"starts_at": YESTERDAY, "ends_at": datetime.now(UTC)}, {}, "coupon_unknown", INVALID),
        ({"starts_at": TOMORROW}, {}, "coupon_unknown", INVALID),
        ({"active": False}, {}, "coupon_unknown", INVALID),
        ({}, {"limit": 0}, "coupon_used_up", USED_UP),
        ({}, {"each": 1}, "coupon_needs_customer", NEEDS_CUSTOMER),
        ({"skus": ["pot"]}, {}, "coupon_not_applicable", OTHER_GOODS),
        ({"categories": ["linen"]}, {}, "coupon_not_applicable", OTHER_GOODS),
        ({"minimum_minor": 1001}, {}, "coupon_not_applicable", gives_nothing("it needs goods for 10.01 EUR")),
        (
            {"minimum_minor": 1, "currency": "USD"},
            {},
            "coupon_not_applicable",
            gives_nothing("it needs goods for 0.01 USD, and there is no current rate from USD to EUR"),
        ),
        ({"percent": 0}, {}, "coupon_not_applicable", gives_nothing("it takes nothing off what is left to pay")),
        (
            {"kind": "fixed_amount", "amount_minor": 5, "currency": "USD"},
            {},
            "coupon_not_applicable",
            gives_nothing("it is an amount in USD, and the cart is in EUR"),
        ),
    ],
    ids=[
        "unknown",
        "expired",
        "not yet",
        "inactive",
        "used up",
        "needs a customer",
        "other sku",
        "other category",
        "below the minimum",
        "minimum without a rate",
        "of nothing",
        "other currency",
    ],
)
@pytest.mark.parametrize("token", [None, "tok_ok"], ids=["started", "straight_through"])
def test_a_coupon_that_cannot_be_used(
    works: Works,
    shelf: Shelf,
    engine: Engine,
    promotion: dict[str, Any],
    coupon: dict[str, int] | None,
    code: str,
    sentence: str,
    token: str | None,
) -> None:
    # Given
    add_cup(shelf)
    if coupon is not None:
        shelf.add_coupon("TEN", shelf.add_promotion(**{"percent": 10, **promotion}), **coupon)
    # When
    checkout_id = start(works, shelf, token=token)
    works.pump()
    # Then nothing is held, redeemed, frozen or paid
    assert works.states([checkout_id]) == ["failed"]
    assert read_failure(works, checkout_id) == (code, "price_lock", sentence)
    assert shelf.stock("cup") == (10, 0)
    assert shelf.rows("SELECT sum(used) FROM coupons") == [(None if coupon is None else 0,)]
    for table in ("redemptions", "price_locks", "orders", "payment_operations"):
        assert shelf.rows(f"SELECT count(*) FROM {table}") == [(0,)]
    assert read_bank(engine, checkout_id) == NOTHING


def test_one_bad_coupon_redeems_none(works: Works, shelf: Shelf) -> None:
    # Given a second coupon that may not be combined with the first
    add_cup(shelf)
    shelf.add_coupon("TEN")
    shelf.add_coupon("ALONE", shelf.add_promotion(percent=50, combines=False, priority=200))
    # When
    checkout_id = start(works, shelf, "TEN", "ALONE")
    works.pump()
    # Then
    sentence = gives_nothing("it does not combine with another discount of this cart", "ALONE")
    assert read_failure(works, checkout_id) == ("coupon_not_applicable", "price_lock", sentence)
    assert (used(shelf), used(shelf, "ALONE")) == ((0, 0, 0), (0, 0, 0))


def test_case_and_blanks_of_a_code_mean_nothing_and_twice_is_once(works: Works, shelf: Shelf) -> None:
    # Given
    add_cup(shelf)
    shelf.add_coupon("TEN", limit=1)
    # When
    checkout_id = start(works, shelf, " ten\t", "Ten")
    works.pump()
    # Then
    assert works.status(checkout_id).total_minor == 1400
    assert used(shelf) == (1, 1, 0)


@pytest.mark.parametrize("codes", [[""], ["  "], [None], ["TEN", None]])
def test_an_empty_code_is_no_code(works: Works, shelf: Shelf, codes: list[str | None]) -> None:
    # Given a cart that an upstream has filled with SQL of its own
    add_cup(shelf)
    shelf.add_coupon("TEN")
    cart_id = shelf.add_cart(("cup", 4), coupon_codes=codes)
    # When
    checkout_id = works.start(cart_id)
    works.pump()
    # Then
    sentence = 'Coupon "" does not exist or is not valid now: remove it.'
    assert read_failure(works, checkout_id) == ("coupon_unknown", "price_lock", sentence)
    assert used(shelf) == (0, 0, 0)
