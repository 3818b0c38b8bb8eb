"""The inventory reservation over real rows: which checkout gets which units from where."""

import pytest
from sqlalchemy import Engine

from models.states import CheckoutState
from pipeline.settings import Settings
from tests.support.harness import Shelf, Works
from tests.support.workbench import build_audited

HELD = """
    SELECT l.code, r.quantity FROM reservations r JOIN locations l ON l.id = r.location_id
    WHERE r.checkout_id = :id AND r.state = 'held' ORDER BY r.line, l.code
"""

LEVELS = "SELECT l.code, s.on_hand, s.reserved FROM stock_levels s JOIN locations l ON l.id = s.location_id ORDER BY 1"


def test_one_location_is_preferred_for_a_whole_line(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock={"north": 2, "south": 3, "west": 9})
    # When
    checkout_id = works.start(shelf.add_cart(("cup", 3)))
    works.pump()
    # Then
    assert shelf.rows(HELD, id=checkout_id) == [("south", 3)]


def test_a_line_is_split_when_no_location_has_enough(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock={"north": 2, "south": 3, "west": 0})
    # When
    checkout_id = works.start(shelf.add_cart(("cup", 4)), token="tok_ok")
    works.pump(until="price_lock")
    # Then the fullest gives first
    assert shelf.rows(HELD, id=checkout_id) == [("north", 1), ("south", 3)]
    # When it is sold
    works.pump()
    # Then
    assert shelf.rows(LEVELS) == [
        ("north", 1, 0),
        ("south", 0, 0),
        ("west", 0, 0),
    ]


def test_two_lines_of_one_variant_are_counted_together(works: Works, shelf: Shelf) -> None:
    # Given four units, which are enough at the validation
    shelf.add_variant("cup", stock=4)
    enough = works.start(shelf.add_cart(("cup", 2), ("cup", 2)))
    works.run_phase("cart_validation")
    shelf.run("UPDATE stock_levels SET on_hand = 3")
    shelf.run(
        "INSERT INTO stock_movements (variant_id, location_id, kind, quantity)"
        " SELECT variant_id, location_id, 'adjust', -1 FROM stock_levels"
    )
    # When
    works.pump()
    # Then
    failure = works.status(enough).failure
    assert failure is not None
    assert (failure.code, failure.phase, failure.detail) == (
        "out_of_stock",
        "inventory_reservation",
        {"line": 2, "sku": "cup", "requested": 4, "available": 3},
    )
    assert failure.message == 'Of "cup", 4 were asked for and 3 are left: ask for fewer.'
    assert shelf.stock("cup") == (3, 0)
    assert shelf.rows("SELECT * FROM reservations") == []


def test_a_variant_on_backorder_is_sold_beyond_what_is_there(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=1, backorder=True)
    # When
    ids = [works.start(shelf.add_cart(("cup", 3)), token="tok_ok") for _ in range(2)]
    works.pump(until="stock_commit")
    # Then
    assert shelf.stock("cup") == (1, 6)
    # When
    works.pump()
    # Then
    assert works.states(ids) == ["completed"] * 2
    assert shelf.stock("cup") == (-5, 0)


def test_all_lines_or_none(works: Works, shelf: Shelf) -> None:
    # Given two that want the last pot; the first is served, the second gets nothing at all
    shelf.add_variant("cup", stock=10)
    shelf.add_variant("pot", stock=1)
    ids = sorted(works.start(shelf.add_cart(("cup", 2), ("pot", 1)), token="tok_ok") for _ in range(2))
    # When
    works.pump(until="price_lock")
    # Then
    assert (shelf.stock("cup"), shelf.stock("pot")) == ((10, 2), (1, 1))
    # When
    works.pump()
    # Then
    assert works.states(ids) == ["completed", "failed"]
    assert (shelf.stock("cup"), shelf.stock("pot")) == ((8, 0), (0, 0))


def test_seven_buyers_for_five_units_in_one_batch(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    ids = sorted(works.start(shelf.add_cart(("cup", 1)), token="tok_ok") for _ in range(7))
    works.run_phase("cart_validation")
    # When one batch holds them all, in any order
    works.line.waiting["checkout.inventory_reservation"].reverse()
    assert works.run_phase("inventory_reservation") == 7
    # Then the first five by id got one each
    assert shelf.rows("SELECT checkout_id, quantity FROM reservations ORDER BY 1") == [(each, 1) for each in ids[:5]]
    assert shelf.stock("cup") == (5, 5)
    # When
    works.pump()
    # Then
    assert works.states(ids) == ["completed"] * 5 + ["failed"] * 2
    assert shelf.stock("cup") == (0, 0)
    for each in ids[5:]:
        failure = works.status(each).failure
        assert failure is not None
        assert failure.message == '"cup" is sold out: remove it.'


def test_a_big_order_that_falls_short_does_not_keep_a_smaller_one_out(works: Works, shelf: Shelf) -> None:
    # Given a batch of three, of which the second cannot be served any more and the third can
    shelf.add_variant("cup", stock=5)
    ids = [works.start(shelf.add_cart(("cup", quantity))) for quantity in (4, 4, 1)]
    works.run_phase("cart_validation")
    # When
    works.run_phase("inventory_reservation")
    works.pump()
    # Then
    assert works.states(ids) == ["awaiting_payment", "failed", "awaiting_payment"]
    assert shelf.stock("cup") == (5, 5)


@pytest.mark.parametrize("batch", [1, 64])
def test_a_rush_is_the_same_in_batches_of_any_size(works: Works, shelf: Shelf, batch: int) -> None:
    # Given
    shelf.add_variant("cup", stock=20)
    ids = [works.start(shelf.add_cart(("cup", 1)), token="tok_ok") for _ in range(30)]
    # When
    works.pump(batch=batch)
    # Then
    states = works.states(ids)
    assert (states.count("completed"), states.count("failed")) == (20, 10)
    assert shelf.stock("cup") == (0, 0)
    assert shelf.rows("SELECT count(DISTINCT number), max(number) - min(number) FROM orders") == [(20, 19)]


def test_a_price_that_ended_after_the_validation_is_rejected_by_the_price_lock(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    checkout_id = works.start(shelf.add_cart(("cup", 1)))
    works.pump(until="price_lock")
    shelf.run("UPDATE prices SET valid_from = now() - interval '2 hours', valid_until = now() - interval '1 hour'")
    # When
    works.pump()
    # Then
    failure = works.status(checkout_id).failure
    assert failure is not None
    assert (failure.code, failure.phase) == ("price_missing", "price_lock")
    assert failure.message == 'Line 1: "cup" has no price in EUR: add one, or remove the line.'
    assert shelf.stock("cup") == (5, 0)


def test_the_price_is_frozen_in_phase_3(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=5, price_minor=250)
    checkout_id = works.start(shelf.add_cart(("cup", 2)))
    works.pump()
    # When
    shelf.run("UPDATE prices SET amount_minor = 999")
    works.pay(checkout_id)
    works.pump()
    # Then
    assert shelf.rows("SELECT total_minor FROM orders") == [(500,)]
    assert shelf.rows("SELECT unit_price_minor, quantity, total_minor FROM order_lines") == [(250, 2, 500)]


def test_the_expected_total_is_compared_with_the_quote(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=5, price_minor=250)
    # When
    right = works.start(shelf.add_cart(("cup", 2)), token="tok_ok", expected_total_minor=500)
    wrong = works.start(shelf.add_cart(("cup", 2)), token="tok_ok", expected_total_minor=499)
    works.pump()
    # Then
    assert works.states([right, wrong]) == ["completed", "failed"]
    failure = works.status(wrong).failure
    assert failure is not None
    assert failure.message == "The total is 500, not the expected 499: show it and ask again."
    assert shelf.stock("cup") == (3, 0)


def test_an_order_of_nothing_is_an_order(engine: Engine, settings: Settings, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("sample", stock=1, price_minor=0)
    with build_audited(engine, settings) as works:
        # When
        checkout_id = works.start(shelf.add_cart(("sample", 1)), token="tok_ok")
        works.pump()
        # Then
        assert works.states([checkout_id]) == [CheckoutState.COMPLETED]
        assert shelf.rows("SELECT total_minor FROM orders") == [(0,)]
