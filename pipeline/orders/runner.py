"""Does what is requested of orders: one change of an order at a time, in the order of the requests.

A message may come twice, late or out of order: the rows decide. A crash at any point loses nothing: what is intended is
written and leased before the provider is called, and is due again when the lease ends.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import assert_never
from uuid import UUID

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from models.guards import BEYOND_BOUND
from models.states import ChangeKind, ChangeState
from pipeline.checkouts.locks import lock_orders
from pipeline.database.backoff import back_off
from pipeline.errors import Code
from pipeline.orders.changes import LockedChange, Reason, find_orders, load_changes, schedule_changes
from pipeline.orders.completion import fail_changes, finish_changes, review_changes
from pipeline.orders.refunds.calls import PlannedRefund, RefundResult, lease_calls, store_answers
from pipeline.orders.refunds.policy import Ask, Fail, Finish, Make, Pause, Plan, plan_refund
from pipeline.orders.refunds.row import ABSENT
from pipeline.saga import Executor
from pipeline.saga.executor import Step
from pipeline.settings import Settings

log = structlog.get_logger()


class ChangeRunner:
    """The only code that does changes of orders by itself. What it cannot settle, a person does."""

    def __init__(self, executor: Executor, settings: Settings) -> None:
        """Take what commits, sends and calls."""
        self._executor = executor
        self._settings = settings

    def run(self, ids: Sequence[UUID]) -> None:
        """Do those of these changes that are next in their orders, and then those after them."""
        self._executor.run(ids, self._step, self._fail, may_leave=True)

    def _step(self, connection: Connection, ids: Sequence[UUID], answers: Sequence[RefundResult]) -> Step[RefundResult]:
        orders = _lock(connection, ids)
        every = {change.id: change for changes in orders.values() for change in changes}
        if answers:
            every = store_answers(connection, every, answers)
        first = {changes[0].id for changes in (_to_do(each) for each in orders.values()) if changes}
        answered = {each.subject_id for each in answers}
        named = [every[id_] for id_ in ids if id_ in every]
        # Others may have settled the change of an answer meanwhile, or moved it to review.
        ready = [each for each in named if each.id in first or (each.id in answered and _is_settled(each))]
        step: Step[RefundResult] = Step()
        if len(ready) > 1:
            # One of them may be what crashes its worker.
            step.again = [[each.id] for each in ready if each.attempts and each.id not in answered]
            ready = [each for each in ready if not each.attempts or each.id in answered]
        self._wait(connection, [each for each in named if each.is_to_do and each.id not in first])
        ended, step.calls = self._carry_out(connection, ready)
        after = [_next(orders[change.order_id], ended) for change in ready if change.id in ended]
        if following := [id_ for id_ in after if id_ is not None]:
            step.again = [*step.again, following]
        return step

    def _carry_out(
        self, connection: Connection, ready: Sequence[LockedChange]
    ) -> tuple[set[UUID], Sequence[PlannedRefund]]:
        """Do what is possible now; return the changes that ended or need review, and the calls to make."""
        plans = [(change, self._plan(change)) for change in ready]
        finished: list[LockedChange] = []
        failed: list[tuple[LockedChange, Reason]] = []
        asked: list[tuple[LockedChange, Reason]] = []
        paused: list[tuple[LockedChange, float, str, int]] = []
        wanted: list[tuple[LockedChange, Make]] = []
        for change, plan in plans:
            match plan:
                case Finish():
                    finished.append(change)
                case Fail():
                    failed.append((change, plan.reason))
                case Ask():
                    asked.append((change, plan.reason))
                case Pause():
                    paused.append((change, plan.seconds, plan.reason, change.attempts))
                case Make():
                    wanted.append((change, plan))
                case _:
                    assert_never(plan)
        # Refunds lock payments, which come after orders; stock and coupons come after both.
        calls = lease_calls(connection, wanted, self._settings)
        schedule_changes(connection, paused)
        finish_changes(connection, finished, self._settings)
        fail_changes(connection, failed)
        review_changes(connection, asked)
        if plans:
            log.info(
                "order_changes.ran",
                change_ids=[str(change.id) for change in ready],
                done=len(finished),
                failed=len(failed),
                reviews=len(asked),
                calls=len(calls),
                paused=len(paused),
            )
        ended = {change.id for change in finished} | {change.id for change, _ in (*failed, *asked)}
        return ended, calls

    def _plan(self, change: LockedChange) -> Plan:
        if change.attempts >= self._settings.max_attempts:
            error = "its worker crashed without committing, each time"
            return Ask(_explain_attempts(change, change.attempts, error))
        match change.kind:
            case ChangeKind.CANCEL | ChangeKind.REFUND:
                return plan_refund(change, self._settings)
            case ChangeKind.RESTOCK | ChangeKind.FULFILLMENT:
                return Finish()
            case ChangeKind.DISPUTE:
                raise TypeError("a dispute is the provider's")
            case _:
                assert_never(change.kind)

    def _wait(self, connection: Connection, waiting: Iterable[LockedChange]) -> None:
        """Leave these to the end of the change before them, and to the sweep."""
        seconds = self._settings.redeliver_after_seconds
        schedule_changes(connection, [(each, seconds, "another change is done first", 0) for each in waiting])

    def _fail(self, connection: Connection, change_id: UUID, error: Exception) -> Step[RefundResult]:
        """Count the attempt of a change that raised; after the last attempt, move it to review."""
        orders = _lock(connection, [change_id])
        for change in (each for changes in orders.values() for each in changes if each.id == change_id):
            if not change.is_to_do:
                continue
            if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == BEYOND_BOUND:
                # Refunds that were made at the provider have used up what was captured.
                facts = {"number": change.number, "amount": str(change.amount), "left_minor": 0}
                fail_changes(connection, [(change, Reason(Code.REFUND_EXCEEDS_CAPTURED, facts))])
            elif change.attempts + 1 >= self._settings.max_attempts:
                review_changes(connection, [(change, _explain_attempts(change, change.attempts + 1, repr(error)))])
            else:
                seconds = back_off(
                    change.attempts,
                    first_seconds=self._settings.retry_seconds,
                    longest_seconds=self._settings.retry_cap_seconds,
                )
                schedule_changes(connection, [(change, seconds, repr(error), change.attempts + 1)])
        return Step()


def _lock(connection: Connection, ids: Sequence[UUID]) -> Mapping[UUID, list[LockedChange]]:
    """Lock the orders of these changes; return what is to do in each, and the named changes, oldest first."""
    order_ids = lock_orders(connection, find_orders(connection, ids))
    return load_changes(connection, order_ids, ids)


def _to_do(changes: Sequence[LockedChange]) -> list[LockedChange]:
    return [each for each in changes if each.is_to_do]


def _next(changes: Sequence[LockedChange], ended: set[UUID]) -> UUID | None:
    """Return the change of an order that is next, once these have ended."""
    return next((each.id for each in _to_do(changes) if each.id not in ended), None)


def _is_settled(change: LockedChange) -> bool:
    """Return whether an answer has just settled the refund of a change that a person is to settle.

    That the provider has no such refund settles nothing: the person decides whether there is to be another.
    """
    if change.state is not ChangeState.NEEDS_REVIEW or not change.refunds:
        return False
    last = change.refunds[-1]
    return not last.is_unsettled and last.code != ABSENT


def _explain_attempts(change: LockedChange, attempts: int, error: str) -> Reason:
    facts = {"change_id": str(change.id), "kind": change.kind, "attempts": attempts, "error": error[:500]}
    return Reason(Code.ATTEMPTS_EXHAUSTED, facts)
