"""Moves checkouts forward: one phase over one batch."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import assert_never
from uuid import UUID

import structlog
from sqlalchemy import Connection

from models.states import CheckoutState
from pipeline.checkouts import Done, LockedCheckout, PhaseResult, Rejected, Retry, Review, Wait
from pipeline.checkouts.batch import split_by_attempts
from pipeline.checkouts.locks import lock_checkouts
from pipeline.gateways import Gateway
from pipeline.messaging import OutgoingMessage
from pipeline.payments import CallResult, Intent, PaymentState, PlannedCall, load_payments, store_results, take_leases
from pipeline.saga import backward, forward
from pipeline.saga.chain import GatewayPhase, Phase, QuotingPhase, TransactionPhase
from pipeline.saga.executor import Executor, Lane, Step
from pipeline.saga.failure_policy import fail_phase, pursue_late_funds
from pipeline.saga.slow import Watch
from pipeline.settings import Settings

log = structlog.get_logger()


class Runner:
    """The only code that moves a checkout forward. A message may come twice, late or out of order: the row decides."""

    def __init__(self, executor: Executor, gateway: Gateway, settings: Settings) -> None:
        """Take what commits, sends and calls, and the gateway, which decides what it can charge."""
        self._executor = executor
        self._gateway = gateway
        self._settings = settings

    def run(self, phase: Phase, ids: Sequence[UUID]) -> None:
        """Run `phase` for those of these checkouts that are right before it; the others do not change."""
        # The work of a gateway call does not depend on the number of lines.
        most_lines = self._settings.batch_lines if isinstance(phase.work, TransactionPhase) else None
        watch = Watch(phase.queue)
        lane = Lane(phase.queue, partial(self._step, phase, watch, None), partial(self._send_back, phase))
        step = partial(self._step, phase, watch, most_lines)
        self._executor.run(ids, step, partial(self._fail, phase), may_leave=True, lane=lane)

    def _step(
        self,
        phase: Phase,
        watch: Watch,
        most_lines: int | None,
        connection: Connection,
        ids: Sequence[UUID],
        answers: Sequence[CallResult],
    ) -> Step[CallResult]:
        held_seconds = watch.held_seconds()
        checkouts = lock_checkouts(connection, ids)
        watch.mark(connection, checkouts, partial(is_before, phase=phase), held_seconds)
        payments = store_results(connection, checkouts, answers) if answers else {}
        step: Step[CallResult] = Step(messages=pursue_late_funds(connection, checkouts, payments))
        parts = split_by_attempts([each for each in checkouts if is_before(each, phase)], most_lines)
        ready, step.again, step.heavy = parts.now, parts.again, parts.heavy
        forward.set_aside(connection, step.heavy, self._settings)
        if not ready:
            return step
        outcomes: Mapping[UUID, PhaseResult]
        match phase.work:
            case QuotingPhase():
                outcomes = phase.work.do(connection, ready, self._settings, self._gateway.chargeable)
            case TransactionPhase():
                outcomes = phase.work.do(connection, ready, self._settings)
            case GatewayPhase():
                outcomes, step.calls = self._plan(connection, phase.work, ready, payments)
            case _:
                assert_never(phase.work)
        step.messages += settle(
            connection, phase, [each for each in ready if each.id in outcomes], outcomes, self._settings
        )
        return step

    def _send_back(self, phase: Phase, ids: Sequence[UUID], connection: Connection) -> Step[CallResult]:
        waiting = [each for each in lock_checkouts(connection, ids) if is_before(each, phase)]
        return Step(messages=forward.send_back(connection, waiting, phase.queue, self._settings))

    def _plan(
        self,
        connection: Connection,
        work: GatewayPhase,
        ready: Sequence[LockedCheckout],
        known: Mapping[UUID, PaymentState],
    ) -> tuple[dict[UUID, PhaseResult], list[PlannedCall]]:
        payments = {**load_payments(connection, [each.id for each in ready if each.id not in known]), **known}
        plans = {each.id: work.plan(each, payments[each.id], self._settings) for each in ready}
        intents = [(each, payments[each.id], plan) for each in ready if isinstance(plan := plans[each.id], Intent)]
        calls = take_leases(connection, intents, self._settings, pivot=work.pivot)
        return {id_: plan for id_, plan in plans.items() if not isinstance(plan, Intent)}, calls

    def _fail(self, phase: Phase, connection: Connection, checkout_id: UUID, error: Exception) -> Step[CallResult]:
        """Count the attempt of a checkout that raised; after the last attempt, give up."""
        step: Step[CallResult] = Step()
        for checkout in lock_checkouts(connection, [checkout_id]):
            if is_before(checkout, phase):
                step.messages += fail_phase(connection, phase, checkout, repr(error), self._settings)
        return step


def is_before(checkout: LockedCheckout, phase: Phase) -> bool:
    """Return whether a checkout is running and `phase` is its next phase."""
    return checkout.state is CheckoutState.RUNNING and checkout.phase == phase.number - 1


def settle(
    connection: Connection,
    phase: Phase,
    checkouts: Sequence[LockedCheckout],
    outcomes: Mapping[UUID, PhaseResult],
    settings: Settings,
) -> list[OutgoingMessage]:
    """Write the outcomes of a phase into the checkouts' rows and return the messages that follow."""
    done: list[LockedCheckout] = []
    waits: dict[UUID, Wait] = {}
    rejections: dict[UUID, Rejected] = {}
    retries: dict[UUID, Retry] = {}
    reviews: dict[UUID, Review] = {}
    for checkout in checkouts:
        outcome = outcomes[checkout.id]
        match outcome:
            case Done():
                done.append(checkout)
            case Rejected():
                rejections[checkout.id] = outcome
            case Wait():
                waits[checkout.id] = outcome
            case Retry():
                retries[checkout.id] = outcome
            case Review():
                reviews[checkout.id] = outcome
            case _:
                assert_never(outcome)
    sends = forward.advance(connection, phase, done, settings) if done else []
    rejected = [each for each in checkouts if each.id in rejections]
    sends += backward.begin(connection, rejected, rejections, settings, ending=CheckoutState.FAILED, phase=phase.name)
    forward.wait_for_external(connection, phase, waits)
    forward.schedule(connection, [each for each in checkouts if each.id in retries], retries)
    forward.move_to_review(connection, phase.name, reviews)
    log.info(
        "phase.ran",
        phase=phase.name,
        checkout_ids=[str(checkout.id) for checkout in checkouts],
        done=len(done),
        rejected=len(rejections),
        waiting=len(waits),
        retried=len(retries),
        reviews=len(reviews),
    )
    return sends
