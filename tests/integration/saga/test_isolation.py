"""A poisoned checkout never takes its batch down: it is counted, tried alone, and given up after its limit."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine, text

from pipeline.checkouts.locks import lock_checkouts
from pipeline.gateways.sandbox.invariants import BankTotals
from pipeline.saga import CHAIN, Phase
from pipeline.saga.chain import TransactionPhase
from pipeline.saga.failure_policy import fail_undo
from pipeline.settings import Settings
from tests.support.harness import Shelf, Works
from tests.support.workbench import (
    NOTHING,
    RESTING,
    build_audited,
    read_bank,
    sabotage,
    settle,
    start_many,
    take_snapshot,
)

#: A write of each phase that can be refused for one checkout.
WRITES = {
    "cart_validation": ("events", "NEW.kind = 'checkout.phase_completed' AND NEW.phase = 'cart_validation'"),
    "inventory_reservation": ("reservations", "true"),
    "price_lock": ("price_locks", "true"),
    "payment_authorization": ("payment_operations", "NEW.kind = 'authorize'"),
    "order_creation": ("orders", "NEW.state = 'pending'"),
    "payment_capture": ("payment_operations", "NEW.kind = 'capture'"),
}


PHASES = [pytest.param(phase, id=phase.name) for phase in CHAIN[:-1]]


@pytest.mark.parametrize("phase", PHASES)
def test_the_other_four_finish_in_the_same_run(works: Works, shelf: Shelf, engine: Engine, phase: Phase) -> None:
    # Given five in one batch, of which the third is refused by the database each time
    ids = sorted(start_many(works, shelf, 5))
    poisoned, others = ids[2], [*ids[:2], *ids[3:]]
    works.pump(until=phase.name)
    table, what = WRITES[phase.name]
    with sabotage(engine, table, f"NEW.checkout_id = '{poisoned}' AND {what}"):
        # When
        assert works.run_phase(phase.name) == 5
        # Then
        assert [works.status(each).phases_completed for each in ids] == [
            phase.number - 1 if each == poisoned else phase.number for each in ids
        ]
        row = shelf.row("SELECT attempts, due_reason, last_error FROM checkouts WHERE id = :id", id=poisoned)
        assert (row.attempts, row.due_reason) == (1, "scheduled")
        assert "sabotaged" in row.last_error
        # When it has failed five times
        states = settle(works, ids, without_leases=True)
    # Then
    assert states == ["failed" if each == poisoned else "completed" for each in ids]
    failure = works.status(poisoned).failure
    assert failure is not None
    assert (failure.code, failure.phase) == ("attempts_exhausted", phase.name)
    assert failure.detail["attempts"] == 5
    assert failure.message.startswith(f"Phase {phase.name} failed 5 times (")
    assert [read_bank(engine, each) for each in others] == [BankTotals(0, 700, 0)] * 4
    assert read_bank(engine, poisoned) == NOTHING
    assert (shelf.stock("cup"), shelf.stock("pot")) == ((16, 0), (12, 0))


def test_past_the_pivot_it_needs_review_and_a_retry_finishes_it(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given
    ids = sorted(start_many(works, shelf, 5))
    poisoned = ids[2]
    with sabotage(engine, "orders", f"NEW.state = 'placed' AND NEW.checkout_id = '{poisoned}'"):
        # When
        states = settle(works, ids, until=RESTING)
    # Then nothing is undone: the money is captured, the stock reserved
    assert states == ["needs_review" if each == poisoned else "completed" for each in ids]
    status = works.status(poisoned)
    assert status.review is not None
    assert (status.phases_completed, status.review.code) == (6, "attempts_exhausted")
    assert status.review.phase == "stock_commit"
    detail = status.review.detail
    assert (set(detail), detail["phase"], detail["attempts"]) == ({"phase", "attempts", "error"}, "stock_commit", 5)
    assert "sabotaged" in detail["error"]
    assert status.failure is None
    assert read_bank(engine, poisoned) == BankTotals(0, 700, 0)
    assert (shelf.stock("cup"), shelf.stock("pot")) == ((16, 1), (12, 2))
    # When it is still in review
    before = take_snapshot(engine)
    works.sweep()
    works.pump()
    works.runner.run(CHAIN[-1], [poisoned])
    # Then
    assert take_snapshot(engine) == before
    # When an operator retries
    assert works.service.retry(poisoned, actor="ops", reason="trigger removed").changed
    works.pump()
    # Then
    status = works.status(poisoned)
    assert (status.state, status.review, status.failure) == ("completed", None, None)
    assert (shelf.stock("cup"), shelf.stock("pot")) == ((15, 0), (10, 0))
    assert works.service.retry(poisoned, actor="ops", reason="again").changed is False
    assert shelf.rows("SELECT data FROM events WHERE kind = 'checkout.retried'") == [
        ({"actor": "ops", "reason": "trigger removed"},)
    ]


def test_a_phase_that_raises_for_one_is_run_for_the_others(
    works: Works, shelf: Shelf, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a phase with a bug in it, for one checkout
    ids = sorted(start_many(works, shelf, 5))
    works.pump(until="price_lock")
    phase = CHAIN[2]
    work = phase.work
    assert isinstance(work, TransactionPhase)
    sizes: list[int] = []

    def raise_for_one(connection, batch, settings):  # type: ignore[no-untyped-def]
        sizes.append(len(batch))
        if any(member.id == ids[4] for member in batch):
            raise KeyError("a bug")
        return work.do(connection, batch, settings)

    buggy = replace(phase, work=TransactionPhase(raise_for_one, work.undo))
    # When
    works.runner.run(buggy, ids)
    # Then the batch was tried as one, and then each alone
    assert sizes == [5, 1, 1, 1, 1, 1]
    assert [works.status(each).phases_completed for each in ids] == [3, 3, 3, 3, 2]
    waits = "SELECT CAST(extract(epoch FROM due_at - updated_at) AS float) FROM checkouts WHERE id = :id"
    assert shelf.rows(waits, id=ids[4]) == [(works.settings.retry_seconds,)]
    # When it comes again with a new one beside it, it runs alone and affects no other
    sizes.clear()
    neighbour = works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
    works.run_phase("cart_validation")
    works.run_phase("inventory_reservation")
    works.runner.run(buggy, [ids[4], neighbour])
    # Then
    assert sizes == [1, 1]
    assert works.status(neighbour).phases_completed == 3
    assert shelf.row("SELECT attempts FROM checkouts WHERE id = :id", id=ids[4]).attempts == 2
    assert shelf.rows(waits, id=ids[4]) == [(2 * works.settings.retry_seconds,)]
    # When the bug is gone
    assert settle(works, [*ids, neighbour]) == ["completed"] * 6
    assert shelf.rows("SELECT DISTINCT attempts, last_error FROM checkouts") == [(0, None)]


@pytest.mark.parametrize(
    ("table", "when", "phase"),
    [
        ("reservations", "NEW.state = 'released'", "inventory_reservation"),
        ("price_locks", "NEW.voided_at IS NOT NULL", "price_lock"),
        ("orders", "NEW.state = 'cancelled'", "order_creation"),
        ("payment_operations", "NEW.kind = 'void'", "payment_capture"),
    ],
)
def test_an_undo_that_raises_backs_off_needs_review_and_goes_on_after_a_retry(
    engine: Engine, settings: Settings, shelf: Shelf, table: str, when: str, phase: str
) -> None:
    # Given
    with build_audited(engine, settings.model_copy(update={"max_undo_attempts": 3}), None) as works:
        ids = sorted(start_many(works, shelf, 3, card="tok_capture_declined"))
        poisoned = ids[1]
        with sabotage(engine, table, f"NEW.checkout_id = '{poisoned}' AND {when}"):
            # When
            works.pump()
            # Then the others are done, this one is put off
            assert works.states(ids) == ["failed", "unwinding", "failed"]
            row = shelf.row("SELECT attempts, due_reason FROM checkouts WHERE id = :id", id=poisoned)
            assert (row.attempts, row.due_reason) == (1, "scheduled")
            # When its attempts are used up
            assert settle(works, [poisoned], until=RESTING) == ["needs_review"]
        # Then
        review = works.status(poisoned).review
        assert review is not None
        assert (review.code, review.phase) == ("undo_failed", phase)
        assert review.message.startswith(f"Undoing {phase} failed 3 times (")
        assert "sabotaged" in review.detail["error"]
        # When an operator retries
        works.service.retry(poisoned, actor="ops", reason="trigger removed")
        # Then
        assert settle(works, [poisoned]) == ["failed"]
        assert read_bank(engine, poisoned) == NOTHING
        assert (shelf.stock("cup"), shelf.stock("pot")) == ((20, 0), (20, 0))


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 0.05), (1, 0.1), (2, 0.2), (3, 0.4), (4, 0.4)])
def test_an_undo_that_failed_waits_twice_as_long_each_time_up_to_a_bound(
    works: Works, shelf: Shelf, engine: Engine, attempts: int, seconds: float
) -> None:
    # Given
    (checkout_id,) = start_many(works, shelf, 1)
    # When
    with engine.begin() as connection:
        (member,) = lock_checkouts(connection, [checkout_id])
        fail_undo(connection, replace(member, attempts=attempts), "boom", works.settings)
    # Then
    waits = "CAST(extract(epoch FROM due_at - updated_at) AS float)"
    assert shelf.rows(f"SELECT {waits}, due_reason, attempts, last_error FROM checkouts") == [
        (seconds, "scheduled", attempts + 1, "boom")
    ]


def test_the_review_of_an_undo_has_its_error(works: Works, shelf: Shelf, engine: Engine) -> None:
    (checkout_id,) = start_many(works, shelf, 1)
    with engine.connect() as connection:
        (member,) = lock_checkouts(connection, [checkout_id])
        last = replace(member, attempts=works.settings.max_undo_attempts - 1)
        fail_undo(connection, last, "boom" + 500 * "!", works.settings)
        review = connection.execute(text("SELECT review FROM checkouts")).scalar_one()
        connection.rollback()
    assert review["phase"] == "cart_validation"
    assert review["detail"] == {
        "phase": "cart_validation",
        "attempts": works.settings.max_undo_attempts,
        "error": "boom" + 496 * "!",
    }


def test_a_database_that_fails_costs_no_attempt(works: Works, shelf: Shelf, engine: Engine) -> None:
    # Given a transaction that the database cuts off the first time
    (checkout_id,) = start_many(works, shelf, 1)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SEQUENCE cut_off")
        connection.exec_driver_sql("""
            CREATE FUNCTION cut_off() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF nextval('cut_off') = 1 THEN RAISE EXCEPTION 'serialize' USING ERRCODE = '40001'; END IF;
                RETURN NEW;
            END $$
        """)
        connection.exec_driver_sql(
            "CREATE TRIGGER cut_off BEFORE INSERT ON reservations FOR EACH ROW EXECUTE FUNCTION cut_off()"
        )
    try:
        # When
        works.pump()
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP FUNCTION cut_off CASCADE")
            connection.exec_driver_sql("DROP SEQUENCE cut_off")
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert shelf.rows("SELECT attempts, last_error FROM checkouts") == [(0, None)]
