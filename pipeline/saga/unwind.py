"""Moves checkouts back: the undos of the completed phases, newest first, each in its own transaction."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import assert_never
from uuid import UUID

from sqlalchemy import Connection

from models.states import ENDINGS, CheckoutState
from pipeline.checkouts import Done, LockedCheckout, PhaseResult, Rejected, Retry, Review, Wait
from pipeline.checkouts.batch import split_by_attempts
from pipeline.checkouts.locks import lock_checkouts
from pipeline.messaging import UNWIND
from pipeline.payments import (
    CallResult,
    Intent,
    PaymentState,
    PlannedCall,
    abandon,
    load_payments,
    store_results,
    take_leases,
)
from pipeline.payments.late_funds import close_reviews, request_review
from pipeline.payments.undo import plan_undo
from pipeline.saga import backward, forward
from pipeline.saga.chain import GatewayPhase, Phase, TransactionPhase, find_phase
from pipeline.saga.executor import Executor, Lane, Step
from pipeline.saga.failure_policy import fail_undo, pursue_late_funds
from pipeline.saga.slow import Watch
from pipeline.settings import Settings


class Unwinder:
    """The only code that moves a checkout back. An undo is safe to repeat, and safe where the phase was never done."""

    def __init__(self, executor: Executor, settings: Settings) -> None:
        """Take what commits, sends and calls."""
        self._executor = executor
        self._settings = settings

    def run(self, ids: Sequence[UUID]) -> None:
        """Unwind those of these checkouts that are unwinding, as far as possible now; void or refund late funds."""
        watch = Watch(UNWIND)
        lane = Lane(UNWIND, partial(self._step, watch, None), self._send_back)
        step = partial(self._step, watch, self._settings.batch_lines)
        self._executor.run(ids, step, self._fail, may_leave=True, lane=lane)

    def _step(
        self,
        watch: Watch,
        most_lines: int | None,
        connection: Connection,
        ids: Sequence[UUID],
        answers: Sequence[CallResult],
    ) -> Step[CallResult]:
        held_seconds = watch.held_seconds()
        checkouts = lock_checkouts(connection, ids)
        watch.mark(connection, checkouts, lambda each: each.state is CheckoutState.UNWINDING, held_seconds)
        payments = store_results(connection, checkouts, answers) if answers else {}
        step: Step[CallResult] = Step()
        pursue_late_funds(connection, checkouts, payments)
        ended = [each for each in checkouts if each.state in ENDINGS]
        if ended:
            step.calls = self._void_or_refund_late(connection, ended)
        parts = split_by_attempts([each for each in checkouts if each.state is CheckoutState.UNWINDING], most_lines)
        unwinding, step.again, step.heavy = parts.now, parts.again, parts.heavy
        forward.set_aside(connection, step.heavy, self._settings)
        if not unwinding:
            return step
        number = max(each.phase for each in unwinding)
        phase = find_phase(number)
        group = [each for each in unwinding if each.phase == number]
        rest = [each.id for each in unwinding if each.phase < number]
        if self._undo(connection, phase, group, payments, step):
            rest += [each.id for each in group]
        if rest:
            step.again.append(rest)
        return step

    def _send_back(self, ids: Sequence[UUID], connection: Connection) -> Step[CallResult]:
        unwinding = [each for each in lock_checkouts(connection, ids) if each.state is CheckoutState.UNWINDING]
        return Step(messages=forward.send_back(connection, unwinding, UNWIND, self._settings))

    def _undo(
        self,
        connection: Connection,
        phase: Phase,
        group: Sequence[LockedCheckout],
        payments: Mapping[UUID, PaymentState],
        step: Step[CallResult],
    ) -> bool:
        """Undo one phase for a group. Return True when some of it has more to undo right away."""
        match phase.work:
            case TransactionPhase():
                if phase.work.undo is not None:
                    phase.work.undo(connection, group)
                return backward.step_down(connection, phase.number, group, self._settings)
            case GatewayPhase():
                undone = self._plan(connection, phase, phase.work, group, payments, step)
                return backward.step_down(connection, phase.number, undone, self._settings)
            case _:
                assert_never(phase.work)

    def _plan(
        self,
        connection: Connection,
        phase: Phase,
        work: GatewayPhase,
        group: Sequence[LockedCheckout],
        known: Mapping[UUID, PaymentState],
        step: Step[CallResult],
    ) -> list[LockedCheckout]:
        payments = {**load_payments(connection, [each.id for each in group if each.id not in known]), **known}
        plans = {each.id: work.plan_undo(each, payments.get(each.id), self._settings) for each in group}
        step.calls = [*step.calls, *self._lease(connection, group, payments, plans)]
        undone: list[LockedCheckout] = []
        retries: dict[UUID, Retry] = {}
        reviews: dict[UUID, Review] = {}
        for checkout in group:
            plan = plans[checkout.id]
            match plan:
                case Done():
                    undone.append(checkout)
                case Retry():
                    retries[checkout.id] = plan
                case Review():
                    reviews[checkout.id] = plan
                case Intent():
                    pass
                case Rejected() | Wait():
                    raise TypeError(f"an undo cannot return {plan}")
                case _:
                    assert_never(plan)
        abandon(connection, [each.id for each in undone if each.id in payments and payments[each.id].unsettled])
        forward.schedule(connection, [each for each in group if each.id in retries], retries)
        forward.move_to_review(connection, phase.name, reviews)
        return undone

    def _lease(
        self,
        connection: Connection,
        group: Sequence[LockedCheckout],
        payments: Mapping[UUID, PaymentState],
        plans: Mapping[UUID, PhaseResult | Intent],
    ) -> list[PlannedCall]:
        intents = [(each, payments[each.id], plan) for each in group if isinstance(plan := plans[each.id], Intent)]
        return take_leases(connection, intents, self._settings)

    def _void_or_refund_late(self, connection: Connection, ended: Sequence[LockedCheckout]) -> list[PlannedCall]:
        """Void or refund late funds. Where that fails, the payment moves to review."""
        payments = load_payments(connection, [each.id for each in ended])
        plans = {each.id: plan_undo(each, payments.get(each.id), self._settings) for each in ended}
        retries = {id_: plan for id_, plan in plans.items() if isinstance(plan, Retry)}
        forward.schedule(connection, [each for each in ended if each.id in retries], retries)
        reviews = {id_: plan for id_, plan in plans.items() if isinstance(plan, Review)}
        request_review(connection, reviews)
        settled = [each.id for each in ended if isinstance(plans[each.id], Done)]
        close_reviews(connection, settled)
        backward.schedule_next_poll(connection, [*settled, *reviews], self._settings)
        return self._lease(connection, ended, payments, plans)

    def _fail(self, connection: Connection, checkout_id: UUID, error: Exception) -> Step[CallResult]:
        """Count the attempt of an undo that raised; after the last attempt, move to review."""
        for checkout in lock_checkouts(connection, [checkout_id]):
            if checkout.state is not CheckoutState.UNWINDING:
                continue
            fail_undo(connection, checkout, repr(error), self._settings)
        return Step()
