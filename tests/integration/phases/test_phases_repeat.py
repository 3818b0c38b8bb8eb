"""Every phase: do, do again, undo, undo again, undo without do; for one checkout and for many."""

from uuid import UUID

import pytest
from sqlalchemy import Engine

from models.states import CheckoutState
from pipeline.checkouts import Done
from pipeline.checkouts.locks import lock_checkouts
from pipeline.gateways.sandbox.invariants import BankTotals
from pipeline.payments import load_payments
from pipeline.saga import CHAIN, Phase
from pipeline.saga.chain import GatewayPhase, TransactionPhase
from tests.support.harness import OWNER, Shelf, Works
from tests.support.workbench import (
    count_rows,
    read_bank,
    read_events,
    read_rows,
    settle,
    start_many,
    take_snapshot,
)

#: Rows that one checkout of two lines has after each phase. `events`: its start, its phases, its end.
ROWS = {
    "cart_validation": {"events": 2, "checkout_lines": 2},
    "inventory_reservation": {"events": 3, "reservations": 2, "stock_movements": 2},
    "price_lock": {"events": 4, "price_locks": 1, "price_lock_lines": 2},
    "payment_authorization": {
        "events": 5,
        "payment_operations": 2,
        "sandbox.payments": 1,
        "sandbox.requests": 2,
        "sandbox.entries": 1,
    },
    "order_creation": {"events": 6, "orders": 1, "order_lines": 2},
    "payment_capture": {"events": 7, "payment_operations": 3, "sandbox.requests": 3, "sandbox.entries": 2},
    "stock_commit": {"events": 10, "stock_movements": 4},
}

#: Rows of the shelf itself: two variants, each received once at one location.
SHELF = {"variants": 2, "prices": 2, "locations": 1, "stock_levels": 2, "stock_movements": 2}

PHASES = [pytest.param(phase, id=phase.name) for phase in CHAIN]
LOCAL_UNDOS = [pytest.param(CHAIN[number - 1], id=CHAIN[number - 1].name) for number in (2, 3, 5)]
COUNTS = pytest.mark.parametrize("count", [1, 7])


def expect_rows(phase: Phase, count: int) -> dict[str, int]:
    each = {"carts": 1, "cart_lines": 2, "checkouts": 1, "idempotency_keys": 1, "payments": 1}
    for done in CHAIN[: phase.number]:
        each |= ROWS[done.name]
    return {name: each.get(name, 0) * count + SHELF.get(name, 0) for name in each.keys() | SHELF.keys()}


@COUNTS
@pytest.mark.parametrize("phase", PHASES)
def test_do_again_changes_nothing(works: Works, shelf: Shelf, engine: Engine, phase: Phase, count: int) -> None:
    # Given
    ids = start_many(works, shelf, count)
    works.pump(until=phase.name)
    works.runner.run(phase, ids)
    once = take_snapshot(engine)
    # When
    works.runner.run(phase, ids)
    # Then
    assert take_snapshot(engine) == once
    assert [works.status(each).phases_completed for each in ids] == [phase.number] * count
    assert count_rows(engine) == expect_rows(phase, count)
    # When the doubled messages go on to the end
    works.pump()
    # Then
    assert works.states(ids) == ["completed"] * count
    assert count_rows(engine) == expect_rows(CHAIN[-1], count)
    assert shelf.stock("cup") == (20 - count, 0)
    assert shelf.stock("pot") == (20 - 2 * count, 0)
    assert [read_bank(engine, each) for each in ids] == [BankTotals(0, 700, 0)] * count


@COUNTS
@pytest.mark.parametrize("phase", PHASES)
def test_do_out_of_turn_changes_nothing(works: Works, shelf: Shelf, engine: Engine, phase: Phase, count: int) -> None:
    # Given checkouts that wait before the price lock
    ids = start_many(works, shelf, count)
    works.pump(until="price_lock")
    before = take_snapshot(engine)
    # When
    if phase.name != "price_lock":
        works.runner.run(phase, ids)
    works.unwinder.run(ids)
    # Then
    assert take_snapshot(engine) == before


@COUNTS
@pytest.mark.parametrize("completed", range(6))
def test_undo_again_changes_nothing(works: Works, shelf: Shelf, engine: Engine, completed: int, count: int) -> None:
    # Given
    ids = start_many(works, shelf, count)
    works.pump(until=CHAIN[completed].name)
    for each in ids:
        works.service.cancel(each, OWNER)
    works.unwinder.run(ids)
    once = take_snapshot(engine)
    # When
    works.unwinder.run(ids)
    works.pump()
    # Then
    assert take_snapshot(engine) == once
    assert works.states(ids) == ["cancelled"] * count
    assert (shelf.stock("cup"), shelf.stock("pot")) == ((20, 0), (20, 0))
    undone = {
        0: [],
        1: [],
        2: ["inventory_reservation"],
        3: ["payment_authorization", "price_lock", "inventory_reservation"],
        4: ["payment_authorization", "price_lock", "inventory_reservation"],
        5: ["payment_capture", "order_creation", "payment_authorization", "price_lock", "inventory_reservation"],
    }
    for each in ids:
        events = [phase for kind, phase in read_events(engine, each) if kind == "checkout.phase_undone"]
        assert events == undone[completed]
    states = [("cancelled",)] * count if completed == 5 else []
    assert shelf.rows("SELECT state FROM orders") == states
    assert shelf.rows("SELECT state FROM reservations") == [("released",)] * (2 * count if completed > 1 else 0)


@COUNTS
def test_undo_of_a_declined_capture_again_changes_nothing(
    works: Works, shelf: Shelf, engine: Engine, count: int
) -> None:
    # Given
    ids = start_many(works, shelf, count, card="tok_capture_declined")
    works.pump()
    once = take_snapshot(engine)
    # When
    works.unwinder.run(ids)
    # Then
    assert take_snapshot(engine) == once
    assert works.states(ids) == ["failed"] * count
    assert [read_bank(engine, each) for each in ids] == [BankTotals(0, 0, 0)] * count


@COUNTS
@pytest.mark.parametrize("phase", LOCAL_UNDOS)
def test_undo_inside_one_transaction(works: Works, shelf: Shelf, engine: Engine, phase: Phase, count: int) -> None:
    # Given
    ids = start_many(works, shelf, count)
    works.pump(until=phase.name)
    assert isinstance(phase.work, TransactionPhase)
    assert phase.work.undo is not None
    with engine.connect() as connection:
        batch = lock_checkouts(connection, ids)
        before = read_rows(connection)
        # When nothing was done yet
        phase.work.undo(connection, batch)
        # Then
        assert read_rows(connection) == before
        # When it was done
        outcomes = phase.work.do(connection, batch, works.settings)
        assert outcomes == dict.fromkeys(ids, Done())
        done = read_rows(connection)
        phase.work.undo(connection, batch)
        # Then
        once = read_rows(connection)
        assert once != done
        phase.work.undo(connection, batch)
        assert read_rows(connection) == once
        assert stock_of(once) == stock_of(before) or phase.name != "inventory_reservation"


def stock_of(rows: dict[str, list[str]]) -> list[str]:
    return rows["stock_levels"]


@pytest.mark.parametrize("number", [1, 7])
def test_phases_without_an_undo_say_so(number: int) -> None:
    work = CHAIN[number - 1].work

    assert isinstance(work, TransactionPhase)
    assert work.undo is None


@COUNTS
@pytest.mark.parametrize("number", [4, 6])
def test_undo_of_a_payment_that_never_began_is_done(
    works: Works, shelf: Shelf, engine: Engine, number: int, count: int
) -> None:
    # Given
    ids = start_many(works, shelf, count)
    works.pump(until="payment_authorization")
    work = CHAIN[number - 1].work
    assert isinstance(work, GatewayPhase)
    # When
    with engine.connect() as connection:
        payments = load_payments(connection, ids)
        plans = [
            work.plan_undo(member, payments[member.id], works.settings) for member in lock_checkouts(connection, ids)
        ]
        none = [work.plan_undo(member, None, works.settings) for member in lock_checkouts(connection, ids)]
    # Then
    assert (plans, none) == ([Done()] * count, [Done()] * count)


def test_an_unwind_of_mixed_depths_ends_all_in_one_run(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given seven checkouts, each as far as another phase, and one message for all
    ids: list[UUID] = []
    shelf.add_variant("cup", stock=20)
    for completed in (5, 4, 3, 2, 1, 0, 5):
        ids.append(works.start(shelf.add_cart(("cup", 1)), token="tok_ok"))
        works.pump(until=CHAIN[completed].name)
        works.line.lose_all()
    for each in ids:
        works.service.cancel(each, OWNER)
    works.line.lose_all()
    # When
    works.unwinder.run(ids)
    # Then
    assert works.states(ids) == ["cancelled"] * 7
    assert shelf.stock("cup") == (20, 0)
    assert [read_bank(engine, each) for each in ids] == [BankTotals(0, 0, 0)] * 7


def test_ids_that_do_not_exist_are_left_alone(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    ids = start_many(works, shelf, 1)
    unknown = UUID("0190a000-0000-7000-8000-000000000000")
    before = take_snapshot(engine)
    # When
    for phase in CHAIN:
        works.runner.run(phase, [unknown])
    works.unwinder.run([unknown])
    # Then
    assert take_snapshot(engine) == before
    works.pump()
    assert works.states(ids) == ["completed"]


def test_a_lost_message_is_sent_again_and_nothing_is_doubled(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    ids = start_many(works, shelf, 7)
    for phase in CHAIN:
        works.pump(until=phase.name)
        works.line.lose_all()
        shelf.run("UPDATE checkouts SET due_at = now() - interval '1 second' WHERE due_at IS NOT NULL")
        # When
        redelivered = works.sweep().redelivered
        # Then
        assert redelivered == 7
    assert settle(works, ids) == [CheckoutState.COMPLETED] * 7
    rows = expect_rows(CHAIN[-1], 7)
    assert count_rows(engine) == rows | {"events": rows["events"] + 7 * 7}
