"""A promotion is used once by a checkout: brought by two codes, by one of two spellings, or by itself and by a code."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from tests.support.counter import add_cup, read_failure, start, used
from tests.support.harness import Shelf, Works

SERIES = 'Coupon "TEN-2" gives nothing on this cart (it brings the same promotion as coupon "TEN", which is used once)'


def add_series(shelf: Shelf, *codes: str, **columns: Any) -> int:
    """Write one promotion, ten per cent off, and its codes, each of which may be used once."""
    promotion_id = shelf.add_promotion(percent=10, **columns)
    for code in codes:
        shelf.add_coupon(code, promotion_id, limit=1)
    return promotion_id


@pytest.mark.parametrize("token", [None, "tok_ok"], ids=["started", "straight_through"])
def test_the_second_code_of_a_series_is_refused_and_none_is_used(works: Works, shelf: Shelf, token: str | None) -> None:
    # Given
    add_cup(shelf)
    add_series(shelf, "TEN", "TEN-2")
    # When
    checkout_id = start(works, shelf, "TEN", "TEN-2", token=token)
    works.pump()
    # Then
    assert read_failure(works, checkout_id) == ("coupon_not_applicable", "price_lock", f"{SERIES}: remove it.")
    assert (used(shelf), used(shelf, "TEN-2")) == ((0, 0, 0), (0, 0, 0))
    assert shelf.stock("cup") == (10, 0)
    for table in ("redemptions", "price_locks", "orders", "payment_operations"):
        assert shelf.rows(f"SELECT count(*) FROM {table}") == [(0,)]
    # When the buyer removes it, as the sentence says
    again = start(works, shelf, "TEN", token=token)
    works.pump()
    # Then
    assert works.status(again).total_minor == 1400
    assert (used(shelf), used(shelf, "TEN-2")) == ((1, 1, 0), (0, 0, 0))


def test_the_first_code_in_the_cart_is_the_one(works: Works, shelf: Shelf) -> None:
    add_cup(shelf)
    add_series(shelf, "TEN", "TEN-2")
    checkout_id = start(works, shelf, "TEN-2", "TEN")
    works.pump()
    assert (
        'Coupon "TEN" gives nothing on this cart (it brings the same promotion as coupon "TEN-2"'
        in (read_failure(works, checkout_id)[2])
    )


@pytest.mark.parametrize("columns", [{}, {"combines": False}, {"priority": 1}], ids=str)
def test_one_that_applies_by_itself_and_has_a_code_is_used_once_and_the_code_with_it(
    works: Works, shelf: Shelf, columns: dict[str, Any]
) -> None:
    # Given
    add_cup(shelf)
    add_series(shelf, "TEN", automatic=True, **columns)
    # When one buyer brings the code and another does not
    brought, itself = start(works, shelf), works.start(shelf.add_cart(("cup", 4), shipping_minor=500))
    works.pump()
    # Then both have it once, and the code was used once
    assert [works.status(each).total_minor for each in (brought, itself)] == [1400, 1400]
    assert used(shelf) == (1, 1, 0)
    assert shelf.rows("SELECT discounts #>> '{0,code}' FROM price_lock_lines ORDER BY 1 NULLS LAST") == [
        ("TEN",),
        (None,),
    ]


def test_two_promotions_of_one_title_are_two(works: Works, shelf: Shelf) -> None:
    add_cup(shelf)
    add_series(shelf, "TEN")
    add_series(shelf, "OTHER")
    checkout_id = start(works, shelf, "TEN", "OTHER")
    works.pump()
    # Ten per cent of 1000, and of the 900 left.
    assert works.status(checkout_id).total_minor == 1310
    assert (used(shelf), used(shelf, "OTHER")) == ((1, 1, 0), (1, 1, 0))


def test_the_schema_refuses_a_promotion_twice_in_one_checkout(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given a checkout that has used one code of a series
    add_cup(shelf)
    add_series(shelf, "TEN", "TEN-2")
    checkout_id = start(works, shelf, "TEN")
    works.pump()
    # When SQL of an upstream adds the other
    add = "INSERT INTO redemptions (checkout_id, code, promotion_id) SELECT :id, code, promotion_id FROM coupons"
    with engine.connect() as connection, pytest.raises(IntegrityError, match="redemptions_"):
        connection.execute(text(f"{add} WHERE code = 'TEN-2'"), {"id": checkout_id})
    # Then
    assert used(shelf, "TEN-2") == (0, 0, 0)


def test_a_series_in_a_rush_is_used_once_a_buyer(works: Works, rival: Works, shelf: Shelf) -> None:
    # Given ten buyers: five with a code of their own, and five with two codes each
    add_cup(shelf, stock=100)
    codes = [f"S{number}" for number in range(10)]
    add_series(shelf, *codes)
    ids: list[UUID] = [start(works, shelf, code) for code in codes[:5]]
    greedy = [start(works, shelf, code, codes[5 + (number + 1) % 5]) for number, code in enumerate(codes[5:])]
    works.pump(until="price_lock")
    rival.line.waiting.update({queue: works.line.waiting[queue].copy() for queue in works.line.waiting})
    # When two processes get the same batch
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda each: each.pump(), (works, rival)))
    # Then
    assert [works.status(each).total_minor for each in ids] == [1400] * 5
    assert [read_failure(works, each)[0] for each in greedy] == ["coupon_not_applicable"] * 5
    assert shelf.rows("SELECT code, used FROM coupons ORDER BY code") == [
        (code, 1 if number < 5 else 0) for number, code in enumerate(codes)
    ]


def test_a_minimum_in_the_shops_currency_is_converted_for_a_cart_in_another(works: Works, shelf: Shelf) -> None:
    # Given 10.00 EUR as the minimum, one row without a currency and one with it, and 1 EUR = 160 JPY
    shelf.add_variant("cup", stock=99, price_minor=250)
    shelf.add_rate("EUR", "JPY", "160", observed_at=datetime.now(UTC) - timedelta(hours=1))
    shelf.add_coupon("TEN", shelf.add_promotion(percent=10, minimum_minor=1000))
    shelf.add_coupon("TIN", shelf.add_promotion(percent=10, minimum_minor=1000, currency="EUR"))
    for code in ("TEN", "TIN"):
        # When one cart has 9 EUR and a bit, and the other 10
        carts = [shelf.add_cart(("cup", count), currency="JPY", coupon_codes=[code]) for count in (3, 4)]
        few, enough = [works.start(cart) for cart in carts]
        works.pump()
        # Then
        assert works.status(enough).total_minor == 1440
        assert read_failure(works, few)[2] == (
            f'Coupon "{code}" gives nothing on this cart (it needs goods for 10.00 EUR): remove it.'
        )


def test_a_minimum_of_a_third_currency_goes_over_the_euro_and_an_old_rate_counts_as_none(
    works: Works, shelf: Shelf
) -> None:
    # Given goods for 10 EUR in a euro cart, and minimums of 11 USD and of 1600 JPY, whose rate is ten days old
    add_cup(shelf, stock=99)
    hour, days = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) - timedelta(days=10)
    shelf.add_rate("EUR", "USD", "1.1", observed_at=hour)
    shelf.add_rate("EUR", "JPY", "160", observed_at=days)
    shelf.add_coupon("TEN", shelf.add_promotion(percent=10, minimum_minor=1100, currency="USD"))
    shelf.add_promotion(percent=50, minimum_minor=1, currency="JPY", automatic=True)
    # When
    checkout_id = start(works, shelf)
    works.pump()
    # Then
    assert works.status(checkout_id).total_minor == 1400
