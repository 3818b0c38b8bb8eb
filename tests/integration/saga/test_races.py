"""Two connections want the same stock, cart, key or message: one gets it, and neither fails."""

from collections import Counter
from functools import partial
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from pipeline.errors import Code, Conflict
from pipeline.intake import PaymentInput, StartRequest
from pipeline.intake import commands as intake
from pipeline.intake.result import CommandResult
from pipeline.saga.chain import CHAIN
from tests.support.harness import OWNER, Shelf, Works
from tests.support.rivals import Crowd, at_once, count_events, hold, hold_checkout, pump_both, spin_until
from tests.support.workbench import settle

STOCK_HELD = "SELECT FROM stock_levels FOR UPDATE"
PHASES = {phase.name: phase for phase in CHAIN}


def bring_to(works: Works, shelf: Shelf, phase: str, *carts: UUID) -> list[UUID]:
    """Start straight through and stop right before `phase`."""
    ids = [works.start(cart, token="tok_ok") for cart in carts]
    works.pump(until=phase)
    works.line.lose_all()
    return ids


def request(cart_id: UUID, *, owner: str = OWNER, key: str | None = None) -> StartRequest:
    return StartRequest(
        owner=owner, cart_id=cart_id, payment=PaymentInput(token="tok_ok"), idempotency_key=key or str(uuid4())
    )


def read_deadlocks(engine: Engine) -> int:
    """Return the deadlocks of this database so far. Sessions report theirs at their end: the engine's are ended."""
    engine.dispose()
    gone = text("SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'checkout.rival'")
    count = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        spin_until(lambda: bool(connection.execute(gone).scalar_one()), "the rival's sessions do not end")
        return int(connection.execute(count).scalar_one())


def test_two_buyers_want_the_last_unit(works: Works, rival: Works, crowd: Crowd, shelf: Shelf) -> None:
    # Given two checkouts that both saw it
    shelf.add_variant("last", stock=1)
    ids = bring_to(works, shelf, "inventory_reservation", *(shelf.add_cart(("last", 1)) for _ in range(2)))
    # When both reach for it at the same moment, from two processes
    with hold(shelf.engine, STOCK_HELD):
        sides = [
            crowd.begin_blocked(lambda: works.runner.run(PHASES["inventory_reservation"], ids[:1])),
            crowd.begin_blocked(lambda: rival.runner.run(PHASES["inventory_reservation"], ids[1:])),
        ]
    for side in sides:
        side.result(10)
    # Then one holds it, and only that one goes on
    assert shelf.stock("last") == (1, 1)
    pump_both(works, rival)
    assert sorted(works.states(ids)) == ["completed", "failed"]
    failures = [each.failure for each in map(works.status, ids) if each.failure is not None]
    assert [(each.code, each.detail["available"]) for each in failures] == [("out_of_stock", 0)]
    assert shelf.stock("last") == (0, 0)


def test_twenty_buyers_want_one_unit_in_two_processes(works: Works, rival: Works, crowd: Crowd, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("one", stock=1)
    ids = bring_to(works, shelf, "inventory_reservation", *(shelf.add_cart(("one", 1)) for _ in range(20)))
    # When each process has ten of them in its batch
    with hold(shelf.engine, STOCK_HELD):
        sides = [
            crowd.begin_blocked(lambda: works.runner.run(PHASES["inventory_reservation"], ids[::2])),
            crowd.begin_blocked(lambda: rival.runner.run(PHASES["inventory_reservation"], ids[1::2])),
        ]
    for side in sides:
        side.result(10)
    pump_both(works, rival)
    # Then
    assert Counter(works.states(ids)) == {"completed": 1, "failed": 19}
    assert shelf.stock("one") == (0, 0)
    assert shelf.rows("SELECT count(*), sum(captured_minor) FROM sandbox.payments") == [(1, 250)]


def test_the_same_cart_is_started_twice_at_once_by_its_owner(
    works: Works, rival: Works, crowd: Crowd, shelf: Shelf
) -> None:
    # Given
    shelf.add_variant("cup")
    cart_id = shelf.add_cart(("cup", 1))
    # When
    with hold(shelf.engine, "SELECT FROM carts WHERE id = :id FOR UPDATE", id=cart_id):
        sides = [
            crowd.begin_blocked(lambda: works.service.start(request(cart_id))),
            crowd.begin_blocked(lambda: rival.service.start(request(cart_id))),
        ]
    admitted = [side.result(10) for side in sides]
    # Then both have the same checkout, which one of them created
    assert admitted[0].checkout_id == admitted[1].checkout_id
    assert sorted(each.changed for each in admitted) == [False, True]
    assert shelf.rows("SELECT count(*) FROM checkouts") == [(1,)]
    assert shelf.rows("SELECT count(*) FROM idempotency_keys") == [(2,)]
    pump_both(works, rival)
    assert works.states([admitted[0].checkout_id]) == ["completed"]


def test_the_same_cart_is_started_twice_at_once_by_two_owners(
    works: Works, rival: Works, crowd: Crowd, shelf: Shelf
) -> None:
    # Given
    shelf.add_variant("cup")
    cart_id = shelf.add_cart(("cup", 1))
    # When
    with hold(shelf.engine, "SELECT FROM carts WHERE id = :id FOR UPDATE", id=cart_id):
        sides = [
            crowd.begin_blocked(lambda: works.service.start(request(cart_id, owner="shop-1"))),
            crowd.begin_blocked(lambda: rival.service.start(request(cart_id, owner="shop-2"))),
        ]
    errors = [side.exception(10) for side in sides]
    # Then one of them is rejected because the cart is locked, and leaves nothing
    refusals = [error for error in errors if isinstance(error, Conflict)]
    assert [each.code for each in refusals] == [Code.CART_LOCKED]
    assert errors.count(None) == 1
    winner = sides[errors.index(None)].result().checkout_id
    owner = "shop-1" if errors[0] is None else "shop-2"
    assert shelf.rows("SELECT id, owner FROM checkouts") == [(winner, owner)]
    assert shelf.rows("SELECT owner FROM idempotency_keys") == [(owner,)]


def test_the_same_key_twice_at_once_is_one_checkout(works: Works, rival: Works, crowd: Crowd, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup")
    same = request(shelf.add_cart(("cup", 1)), key="key-1")
    # When the second comes while the first has not committed
    with shelf.engine.begin() as connection:
        first = intake.start(connection, same, works.settings)
        second = crowd.begin_blocked(lambda: rival.service.start(same))
    # Then
    assert second.result(10) == CommandResult(first.checkout_id, changed=False)
    assert shelf.rows("SELECT checkout_id FROM idempotency_keys") == [(first.checkout_id,)]
    assert shelf.rows("SELECT id FROM checkouts") == [(first.checkout_id,)]


def test_the_same_key_for_another_cart_at_once_is_a_conflict(
    works: Works, rival: Works, crowd: Crowd, shelf: Shelf
) -> None:
    # Given
    shelf.add_variant("cup")
    carts = [shelf.add_cart(("cup", 1)) for _ in range(2)]
    # When
    with shelf.engine.begin() as connection:
        first = intake.start(connection, request(carts[0], key="key-1"), works.settings)
        second = crowd.begin_blocked(lambda: rival.service.start(request(carts[1], key="key-1")))
    # Then the second has left nothing
    error = second.exception(10)
    assert isinstance(error, Conflict)
    assert error.code is Code.KEY_CONFLICT
    assert shelf.rows("SELECT id FROM checkouts") == [(first.checkout_id,)]
    assert rival.line.sent == []


def test_a_key_is_answered_even_when_its_checkout_ended_before_we_got_the_cart(
    works: Works, rival: Works, crowd: Crowd, shelf: Shelf
) -> None:
    # Given a request that has read its key and waits for the cart
    cart_id = shelf.add_cart()
    same = request(cart_id, key="key-1")
    with hold(shelf.engine, "SELECT FROM carts WHERE id = :id FOR UPDATE", id=cart_id) as connection:
        second = crowd.begin_blocked(lambda: rival.service.start(same))
        # When the same request is admitted by the holder of the cart, and its checkout ends at once
        first = intake.start(connection, same, works.settings).checkout_id
        intake.cancel(connection, first, OWNER, works.settings)
    # Then it is answered like any repeat
    assert second.result(10) == CommandResult(first, changed=False)
    assert shelf.rows("SELECT id FROM checkouts") == [(first,)]


@pytest.mark.parametrize("name", list(PHASES))
def test_two_processes_have_the_same_message(name: str, works: Works, rival: Works, crowd: Crowd, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=5)
    [checkout_id] = bring_to(works, shelf, name, shelf.add_cart(("cup", 2)))
    # When
    with hold_checkout(shelf.engine, checkout_id):
        sides = [
            crowd.begin_blocked(lambda: works.runner.run(PHASES[name], [checkout_id])),
            crowd.begin_blocked(lambda: rival.runner.run(PHASES[name], [checkout_id])),
        ]
    for side in sides:
        side.result(10)
    # Then the phase was done once, and so is everything after it
    assert works.status(checkout_id).phases_completed == PHASES[name].number
    pump_both(works, rival)
    assert settle(works, [checkout_id]) == ["completed"]
    assert count_events(shelf.engine, "checkout.phase_completed", [checkout_id]) == 7
    assert shelf.stock("cup") == (3, 0)
    assert shelf.rows("SELECT kind, n FROM payment_operations ORDER BY id") == [
        ("open", 1),
        ("authorize", 1),
        ("capture", 1),
    ]
    assert shelf.rows("SELECT kind, amount_minor FROM sandbox.entries ORDER BY id") == [
        ("authorize", 500),
        ("capture", 500),
    ]


def test_a_start_meets_the_end_of_its_cart_fifty_times(works: Works, rival: Works, crowd: Crowd, shelf: Shelf) -> None:
    # Given fifty checkouts of which only the last phase is left
    shelf.add_variant("cup", stock=50)
    carts = [shelf.add_cart(("cup", 1)) for _ in range(50)]
    ids = bring_to(works, shelf, "stock_commit", *carts)
    # When each ends while another request starts the same cart
    answers = [
        at_once(
            partial(works.runner.run, PHASES["stock_commit"], [checkout_id]),
            partial(rival.service.start, request(cart_id)),
        )
        for checkout_id, cart_id in zip(ids, carts, strict=True)
    ]
    # Then the request gets the checkout that still ran, or is rejected because the cart is bought
    for (ended, started), checkout_id in zip(answers, ids, strict=True):
        assert ended is None
        if isinstance(started, Conflict):
            assert started.code is Code.CART_COMPLETED
        else:
            assert started == CommandResult(checkout_id, changed=False)
    assert works.states(ids) == ["completed"] * 50
    assert shelf.rows("SELECT count(*) FROM checkouts") == [(50,)]
    rival.engine.dispose()
    assert read_deadlocks(shelf.engine) == 0


def test_carts_with_their_lines_in_opposite_order_never_deadlock(
    works: Works, rival: Works, crowd: Crowd, shelf: Shelf
) -> None:
    # Given forty carts over the same four variants, every second one the other way round
    goods = ["a", "b", "c", "d"]
    for sku in goods:
        shelf.add_variant(sku, stock=30)
    carts = [shelf.add_cart(*((sku, 1) for sku in (goods if number % 2 else reversed(goods)))) for number in range(40)]
    ids = bring_to(works, shelf, "inventory_reservation", *carts)
    phase = PHASES["inventory_reservation"]
    # When two processes take them on in small batches at the same moments
    for at in range(0, 40, 4):
        left, right = ids[at : at + 4 : 2], ids[at + 1 : at + 4 : 2]
        assert at_once(partial(works.runner.run, phase, left), partial(rival.runner.run, phase, right)) == [None, None]
    # Then thirty were served whole
    assert [shelf.stock(sku) for sku in goods] == [(30, 30)] * 4
    # When they are sold and released at the same moments
    at_once(works.pump, rival.pump)
    pump_both(works, rival)
    # Then
    assert Counter(works.states(ids)) == {"completed": 30, "failed": 10}
    assert [shelf.stock(sku) for sku in goods] == [(0, 0)] * 4
    rival.engine.dispose()
    assert read_deadlocks(shelf.engine) == 0
