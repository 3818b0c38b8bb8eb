"""The last use of a coupon: redeemed with the price lock, returned with its undo, never used by two."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from uuid import UUID

import pytest

from pipeline.database import connect_engine
from pipeline.settings import Settings
from tests.support.counter import USED_UP, add_cup, read_failure, start, used
from tests.support.harness import OWNER, Shelf, Works, build_works
from tests.support.rivals import Crowd, hold
from tests.support.workbench import settle

BUYERS, USES, ENGINES = 200, 10, 4


def test_two_hundred_buyers_of_ten_uses(works: Works, shelf: Shelf, settings: Settings) -> None:
    # Given four engines with connections of their own, and stock for everybody
    add_cup(shelf, stock=4 * BUYERS)
    shelf.add_coupon("TEN", limit=USES)
    with ExitStack() as stack:
        rivals = [works]
        for _ in range(ENGINES - 1):
            database = connect_engine(settings, application_name="rival")
            stack.callback(database.dispose)
            rivals.append(stack.enter_context(build_works(database, settings)))
        # When
        with ThreadPoolExecutor(ENGINES) as pool:
            ids = [id_ for made in pool.map(lambda each: buy(each, shelf), rivals) for id_ in made]
    # Then
    states = Counter(settle(works, ids))
    assert states == {"completed": USES, "failed": BUYERS - USES}
    assert used(shelf) == (USES, USES, 0)
    assert shelf.rows(
        "SELECT DISTINCT failure_code, failure_phase, failure_message FROM checkouts WHERE phase < 7"
    ) == [("coupon_used_up", "price_lock", USED_UP)]
    assert shelf.stock("cup") == (4 * (BUYERS - USES), 0)
    assert shelf.rows("SELECT count(*), sum(captured_minor) FROM sandbox.payments") == [(USES, USES * 1400)]


def buy(works: Works, shelf: Shelf) -> list[UUID]:
    """Start this engine's share of the checkouts and work them off, eight at once."""
    ids = [start(works, shelf, token="tok_ok") for _ in range(BUYERS // ENGINES)]
    works.pump(batch=8)
    return ids


def cancel(works: Works, shelf: Shelf, checkout_id: UUID) -> str:
    assert used(shelf) == (1, 1, 0)
    works.service.cancel(checkout_id, OWNER)
    return "cancelled"


def expire(works: Works, shelf: Shelf, checkout_id: UUID) -> str:
    shelf.run("UPDATE checkouts SET expires_at = now() - interval '1 second' WHERE id = :id", id=checkout_id)
    works.sweep()
    return "expired"


def decline(works: Works, shelf: Shelf, checkout_id: UUID) -> str:
    for _ in range(works.settings.payment_attempts):
        assert used(shelf) == (1, 1, 0)
        works.pay(checkout_id, "tok_declined")
        works.pump()
    return "failed"


def decline_capture(works: Works, _shelf: Shelf, checkout_id: UUID) -> str:
    works.pay(checkout_id, "tok_capture_declined")
    return "failed"


@pytest.mark.parametrize("end", [cancel, expire, decline, decline_capture])
def test_an_undo_returns_the_last_use_and_it_is_used_again(
    works: Works, shelf: Shelf, end: Callable[[Works, Shelf, UUID], str]
) -> None:
    # Given a checkout with the last use, and another that is too late
    add_cup(shelf)
    shelf.add_coupon("TEN", limit=1)
    first = start(works, shelf)
    works.pump()
    late = start(works, shelf)
    works.pump()
    assert read_failure(works, late) == ("coupon_used_up", "price_lock", USED_UP)
    # When the first one ends without an order
    state = end(works, shelf, first)
    assert settle(works, [first]) == [state]
    # Then
    assert used(shelf) == (0, 0, 1)
    assert shelf.stock("cup") == (10, 0)
    # When
    next_one = start(works, shelf, token="tok_ok")
    works.pump()
    # Then
    assert works.states([next_one]) == ["completed"]
    assert used(shelf) == (1, 1, 1)


def test_the_last_use_goes_to_the_first_of_a_batch(works: Works, shelf: Shelf) -> None:
    # Given
    add_cup(shelf)
    shelf.add_coupon("TEN", limit=1)
    ids = [start(works, shelf, token="tok_ok") for _ in range(2)]
    # When both are in one batch, the later one before the earlier one
    works.pump(until="price_lock")
    works.line.waiting["checkout.price_lock"].reverse()
    works.pump()
    # Then
    assert works.states(ids) == ["completed", "failed"]
    assert read_failure(works, ids[1]) == ("coupon_used_up", "price_lock", USED_UP)
    assert used(shelf) == (1, 1, 0)


def test_a_use_that_two_transactions_want_goes_to_one(works: Works, shelf: Shelf, rival: Works, crowd: Crowd) -> None:
    # Given two engines that wait for the coupon's row
    add_cup(shelf)
    shelf.add_coupon("TEN", limit=1)
    ids = [start(each, shelf) for each in (works, rival)]
    works.pump(until="price_lock")
    rival.pump(until="price_lock")
    with hold(works.engine, "SELECT FROM coupons FOR UPDATE"):
        both = [crowd.begin_blocked(partial(each.run_phase, "price_lock")) for each in (works, rival)]
    # When they may go on
    assert [each.result(4) for each in both] == [1, 1]
    works.pump()
    rival.pump()
    # Then
    assert sorted(works.states(ids)) == ["awaiting_payment", "failed"]
    assert used(shelf) == (1, 1, 0)


def test_a_customer_may_use_a_coupon_so_often(works: Works, shelf: Shelf) -> None:
    # Given
    add_cup(shelf, stock=20)
    shelf.add_coupon("TEN", each=1)
    first = start(works, shelf, customer="ada", token="tok_ok")
    works.pump()
    # When
    ids = [first, start(works, shelf, customer="ada"), start(works, shelf, customer="bob")]
    works.pump()
    # Then
    assert works.states(ids) == ["completed", "failed", "awaiting_payment"]
    assert read_failure(works, ids[1]) == ("coupon_used_up", "price_lock", USED_UP)
    assert used(shelf) == (2, 2, 0)
    # When the other customer cancels
    works.service.cancel(ids[2], OWNER)
    works.pump()
    again = start(works, shelf, customer="bob", token="tok_ok")
    works.pump()
    # Then
    assert works.states([again]) == ["completed"]
    assert used(shelf) == (2, 2, 1)


@pytest.mark.parametrize("batch", [64, 1], ids=["in one batch", "one by one"])
def test_two_purchases_of_a_customer_at_once_use_a_coupon_once(works: Works, shelf: Shelf, batch: int) -> None:
    # Given
    add_cup(shelf)
    shelf.add_coupon("TEN", each=1)
    ids = [start(works, shelf, customer="ada") for _ in range(2)]
    # When
    works.pump(batch=batch)
    # Then
    assert works.states(ids) == ["awaiting_payment", "failed"]
    assert used(shelf) == (1, 1, 0)


def test_two_purchases_of_a_customer_in_two_transactions_use_a_coupon_once(
    works: Works, shelf: Shelf, rival: Works, crowd: Crowd
) -> None:
    # Given
    add_cup(shelf)
    shelf.add_coupon("TEN", each=1)
    ids = [start(each, shelf, customer="ada") for each in (works, rival)]
    works.pump(until="price_lock")
    rival.pump(until="price_lock")
    with hold(works.engine, "SELECT FROM coupons FOR UPDATE"):
        both = [crowd.begin_blocked(partial(each.run_phase, "price_lock")) for each in (works, rival)]
    # When
    assert [each.result(4) for each in both] == [1, 1]
    works.pump()
    rival.pump()
    # Then
    assert sorted(works.states(ids)) == ["awaiting_payment", "failed"]
    assert used(shelf) == (1, 1, 0)


def test_two_engines_lock_the_same_coupons_in_one_order(works: Works, shelf: Shelf, rival: Works, crowd: Crowd) -> None:
    # Given two carts that name the same two coupons the other way round
    add_cup(shelf)
    shelf.add_coupon("TEN")
    shelf.add_coupon("ELEVEN")
    ids = [start(works, shelf, "TEN", "ELEVEN"), start(rival, shelf, "ELEVEN", "TEN")]
    works.pump(until="price_lock")
    rival.pump(until="price_lock")
    # When
    both = [crowd.begin(partial(each.run_phase, "price_lock")) for each in (works, rival)]
    # Then
    assert [each.result(4) for each in both] == [1, 1]
    assert works.states(ids) == ["awaiting_payment"] * 2
    assert [works.status(id_).total_minor for id_ in ids] == [1310, 1310]
    assert (used(shelf, "TEN"), used(shelf, "ELEVEN")) == ((2, 2, 0), (2, 2, 0))
