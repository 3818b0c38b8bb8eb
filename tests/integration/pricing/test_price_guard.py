"""Nobody is charged anything but what was shown."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from pipeline.errors import Conflict
from pipeline.pricing.storage import read_quotes
from pipeline.settings import Settings
from tests.support.counter import add_free_cart, fill, read_failure
from tests.support.harness import OWNER, Shelf, Works
from tests.support.workbench import NOTHING, build_audited, read_bank

CHANGED = "The total is 950, not the expected {}: show it and ask again.".format
OTHERWISE = "What is charged is not what was expected ({}): show it and ask again.".format


def read_hash(engine: Engine, checkout_id: UUID) -> str:
    with engine.connect() as connection:
        return read_quotes(connection, [checkout_id])[checkout_id][1]


def line(number: int, sku: str, quantity: int, unit: int, expected: int | None) -> dict[str, Any]:
    """Describe how a line without discount and tax differs."""
    return {
        "line": number,
        "sku": sku,
        "quantity": quantity,
        "unit_price_minor": unit,
        "discount_minor": 0,
        "tax_minor": 0,
        "total_minor": quantity * unit,
        "expected_total_minor": expected,
    }


@pytest.mark.parametrize("token", [None, "tok_ok"], ids=["started", "straight_through"])
@pytest.mark.parametrize("expected", [949, 951, 0])
def test_a_start_that_expects_another_total_unwinds_at_the_price_lock(
    works: Works, shelf: Shelf, engine: Engine, expected: int, token: str | None
) -> None:
    # Given
    cart_id = fill(shelf)
    # When
    checkout_id = works.start(cart_id, token=token, expected_total_minor=expected)
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["failed"]
    assert read_failure(works, checkout_id) == ("price_changed", "price_lock", CHANGED(expected))
    # Then the difference is there for a program to read, line by line
    failure = works.status(checkout_id).failure
    assert failure is not None
    assert len(failure.detail.pop("hash")) == 64
    assert failure.detail == {
        "total_minor": 950,
        "expected_total_minor": expected,
        "shipping_minor": 0,
        "lines": [line(1, "cup", 2, 250, None), line(2, "pot", 1, 450, None)],
    }
    # Then the stock is free again, the cart can be changed, and the bank has heard of nothing
    assert (shelf.stock("cup"), shelf.stock("pot")) == ((9, 0), (9, 0))
    assert shelf.run("UPDATE cart_lines SET quantity = 1 WHERE cart_id = :id", id=cart_id) == 2
    assert shelf.rows("SELECT count(*) FROM price_locks") == [(0,)]
    assert read_bank(engine, checkout_id) == NOTHING


def test_only_the_lines_that_differ_are_named(works: Works, shelf: Shelf) -> None:
    # Given a price that goes up between what was shown and the start
    cart_id = fill(shelf)
    shelf.run("UPDATE prices SET amount_minor = 455 WHERE amount_minor = 450")
    # When
    checkout_id = works.start(cart_id, expected_total_minor=950, expected_lines={"1": 500, "2": 450})
    works.pump()
    # Then
    failure = works.status(checkout_id).failure
    assert failure is not None
    assert (failure.code, failure.detail["total_minor"]) == ("price_changed", 955)
    assert failure.detail["lines"] == [line(2, "pot", 1, 455, 450)]


@pytest.mark.parametrize("token", [None, "tok_ok"], ids=["started", "straight_through"])
def test_lines_alone_are_compared_with_the_quote(works: Works, shelf: Shelf, engine: Engine, token: str | None) -> None:
    # Given the fault: a line of 7800 that was expected to cost 100 was charged
    shelf.add_variant("kettle", stock=5, price_minor=3900)
    cart_id = shelf.add_cart(("kettle", 2))
    # When
    checkout_id = works.start(cart_id, token=token, expected_lines={"1": 100})
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["failed"]
    sentence = OTHERWISE("line 1 is 7800, not 100")
    assert read_failure(works, checkout_id) == ("price_changed", "price_lock", sentence)
    assert shelf.stock("kettle") == (5, 0)
    assert read_bank(engine, checkout_id) == NOTHING
    # When the right line is expected
    again = works.start(cart_id, token="tok_ok", expected_lines={"1": 7800})
    works.pump()
    # Then
    assert works.states([again]) == ["completed"]


def test_what_was_expected_is_charged(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    cart_id = fill(shelf)
    # When
    checkout_id = works.start(cart_id, token="tok_ok", expected_total_minor=950, expected_lines={"1": 500, "2": 450})
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert read_bank(engine, checkout_id).captured_minor == 950


@pytest.mark.parametrize(
    ("expected", "lines", "differs"),
    [
        ({"expected_total_minor": 949}, [line(1, "cup", 2, 250, None), line(2, "pot", 1, 450, None)], None),
        (
            {"expected_total_minor": 949, "expected_lines": {"1": 500, "2": 449}},
            [line(2, "pot", 1, 450, 449)],
            None,
        ),
        (
            {"expected_total_minor": 950, "expected_hash": "0" * 64},
            [line(1, "cup", 2, 250, None), line(2, "pot", 1, 450, None)],
            "the quote's hash is another one",
        ),
        ({"expected_hash": "0" * 64, "expected_lines": {"1": 500, "2": 450}}, [], "the quote's hash is another one"),
        ({"expected_lines": {"1": 100, "2": 450}}, [line(1, "cup", 2, 250, 100)], "line 1 is 500, not 100"),
        ({"expected_lines": {"1": 500}}, [line(2, "pot", 1, 450, None)], "line 2 is new"),
        (
            {"expected_total_minor": 950, "expected_lines": {"1": 500, "2": 450, "9": 0}},
            [line(9, "", 0, 0, 0) | {"sku": None}],
            "line 9 is not there",
        ),
    ],
    ids=["total", "total and lines", "hash", "hash alone", "lines alone", "fewer lines", "a line that is not there"],
)
def test_a_payment_of_another_total_is_refused_and_nothing_is_reserved_any_longer(
    works: Works,
    shelf: Shelf,
    engine: Engine,
    expected: dict[str, Any],
    lines: list[dict[str, Any]],
    differs: str | None,
) -> None:
    # Given
    cart_id = fill(shelf)
    checkout_id = works.start(cart_id)
    works.pump()
    right = read_hash(engine, checkout_id)
    # When
    with pytest.raises(Conflict) as refusal:
        works.pay(checkout_id, **expected)
    # Then
    total = expected.get("expected_total_minor")
    sentence = CHANGED(total) if differs is None else OTHERWISE(differs)
    assert (refusal.value.code, str(refusal.value)) == ("price_changed", sentence)
    assert refusal.value.detail == {
        "total_minor": 950,
        "expected_total_minor": total,
        "hash": right,
        "shipping_minor": 0,
        "lines": lines,
    } | ({} if differs is None else {"differs": differs})
    # Then the stock and the cart are free again, and the bank has heard of nothing
    works.pump()
    failure = works.status(checkout_id).failure
    assert failure is not None
    assert (works.states([checkout_id]), failure.code, failure.detail) == (
        ["failed"],
        "price_changed",
        refusal.value.detail,
    )
    assert (shelf.stock("cup"), shelf.stock("pot")) == ((9, 0), (9, 0))
    assert shelf.rows("SELECT count(*) FROM payments") == [(0,)]
    assert read_bank(engine, checkout_id) == NOTHING
    # When the buyer has seen the right total
    again = works.start(cart_id)
    works.pump()
    works.pay(again, expected_total_minor=950, expected_hash=right, expected_lines={"1": 500, "2": 450})
    works.pump()
    # Then
    assert works.states([again]) == ["completed"]
    assert read_bank(engine, again).captured_minor == 950


def test_a_payment_of_another_total_returns_the_coupon(works: Works, shelf: Shelf) -> None:
    # Given
    cart_id = add_free_cart(shelf)
    checkout_id = works.start(cart_id)
    works.pump()
    assert shelf.rows("SELECT used FROM coupons") == [(1,)]
    # When
    with pytest.raises(Conflict):
        works.pay(checkout_id, None, expected_total_minor=1)
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["failed"]
    assert shelf.rows("SELECT used FROM coupons") == [(0,)]


def test_quotes_of_one_total_have_different_hashes(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    first = works.start(fill(shelf))
    works.pump()
    right = read_hash(engine, first)
    works.service.cancel(first, OWNER)
    works.pump()
    # When the same cart is expected to have this hash, and one with its lines in another order
    same = works.start(works.status(first).cart_id, token="tok_ok", expected_hash=right)
    other = works.start(shelf.add_cart(("pot", 1), ("cup", 2)), token="tok_ok", expected_hash=right)
    works.pump()
    # Then
    assert works.states([same, other]) == ["completed", "failed"]
    assert read_failure(works, other)[:2] == ("price_changed", "price_lock")


@pytest.mark.parametrize(
    ("expected", "state"), [(940, "completed"), (960, "completed"), (939, "failed"), (961, "failed")]
)
def test_within_the_tolerance_the_frozen_total_is_charged(
    engine: Engine, settings: Settings, shelf: Shelf, expected: int, state: str
) -> None:
    # Given
    cart_id = fill(shelf)
    with build_audited(engine, settings.model_copy(update={"price_drift_tolerances": "EUR:10"})) as works:
        # When
        checkout_id = works.start(cart_id, token="tok_ok", expected_total_minor=expected)
        works.pump()
        # Then
        assert works.states([checkout_id]) == [state]
        assert read_bank(engine, checkout_id).captured_minor == (950 if state == "completed" else 0)
