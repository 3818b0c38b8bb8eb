"""Moves checkouts forward: one phase over one batch."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import assert_never
from uuid import UUID

import structlog
from sqlalchemy import Connection

from models.states import ENDINGS, CheckoutState
from pipeline.checkouts.batch import Done, Member, Outcome, Rejected, Retry, Review, Wait, part
from pipeline.checkouts.locks import lock_checkouts
from pipeline.errors import Code
from pipeline.messaging.ports import RESOLVE, UNWIND, Send
from pipeline.payments.leases import Answered, Planned, claim
from pipeline.payments.payment import LIVE, Books, Intent
from pipeline.payments.storage import load_books, record
from pipeline.saga import backward, forward
from pipeline.saga.chain import Local, Phase, Quoting, Remote
from pipeline.saga.executor import Driver, Lane, Step
from pipeline.saga.slow import Watch
from pipeline.settings import Settings

log = structlog.get_logger()


class Runner:
    """The only code that moves a checkout forward. Safe twice, safe late, safe out of order: the row decides."""

    def __init__(self, driver: Driver, settings: Settings) -> None:
        """Take the driver that commits, sends and calls."""
        self.driver = driver
        self.settings = settings

    def run(self, phase: Phase, ids: Sequence[UUID]) -> None:
        """Run `phase` for those of these checkouts that stand right before it; the others are left alone."""
        # What is done at a gateway is the same for any number of lines.
        most_lines = self.settings.batch_lines if isinstance(phase.work, Local) else None
        watch = Watch(phase.queue)
        lane = Lane(phase.queue, partial(self._step, phase, watch, None), partial(self._send_back, phase))
        step = partial(self._step, phase, watch, most_lines)
        self.driver.drive(ids, step, partial(self._fail, phase), may_leave=True, lane=lane)

    def _step(
        self,
        phase: Phase,
        watch: Watch,
        most_lines: int | None,
        connection: Connection,
        ids: Sequence[UUID],
        answers: Sequence[Answered],
    ) -> Step:
        held_seconds = watch.held_seconds()
        members = lock_checkouts(connection, ids)
        watch.mark(connection, members, partial(is_before, phase=phase), held_seconds)
        books = record(connection, members, answers) if answers else {}
        step = Step(sends=chase_late(connection, members, books))
        parts = part([each for each in members if is_before(each, phase)], most_lines)
        ready, step.again, step.heavy = parts.now, parts.again, parts.heavy
        forward.set_aside(connection, step.heavy, self.settings)
        if not ready:
            return step
        outcomes: Mapping[UUID, Outcome]
        match phase.work:
            case Quoting():
                outcomes = phase.work.do(connection, ready, self.settings, self.driver.gateway.chargeable)
            case Local():
                outcomes = phase.work.do(connection, ready, self.settings)
            case Remote():
                outcomes, step.calls = self._plan(connection, phase.work, ready, books)
            case _:
                assert_never(phase.work)
        step.sends += settle(
            connection, phase, [each for each in ready if each.id in outcomes], outcomes, self.settings
        )
        return step

    def _send_back(self, phase: Phase, ids: Sequence[UUID], connection: Connection) -> Step:
        waiting = [each for each in lock_checkouts(connection, ids) if is_before(each, phase)]
        return Step(sends=forward.send_back(connection, waiting, phase.queue, self.settings))

    def _plan(
        self, connection: Connection, work: Remote, ready: Sequence[Member], known: Mapping[UUID, Books]
    ) -> tuple[dict[UUID, Outcome], list[Planned]]:
        books = {**load_books(connection, [each.id for each in ready if each.id not in known]), **known}
        plans = {each.id: work.plan(each, books[each.id], self.settings) for each in ready}
        intents = [(each, books[each.id], plan) for each in ready if isinstance(plan := plans[each.id], Intent)]
        calls = claim(connection, intents, self.settings, pivot=work.pivot)
        return {id_: plan for id_, plan in plans.items() if not isinstance(plan, Intent)}, calls

    def _fail(self, phase: Phase, connection: Connection, checkout_id: UUID, error: Exception) -> Step:
        """Count the attempt of a checkout that raised, and give up on it after the last."""
        step = Step()
        for member in lock_checkouts(connection, [checkout_id]):
            if not is_before(member, phase):
                continue
            attempts = member.attempts + 1
            if attempts >= self.settings.max_attempts:
                step.sends += give_up(connection, phase, member, repr(error), self.settings)
            else:
                seconds = min(self.settings.retry_seconds * 2 ** (attempts - 1), self.settings.retry_cap_seconds)
                forward.later(connection, [(member, seconds, repr(error)[:1000], attempts)])
        return step


def is_before(member: Member, phase: Phase) -> bool:
    """Tell whether a checkout stands right before a phase and may go on."""
    return member.state is CheckoutState.RUNNING and member.phase == phase.number - 1


def settle(
    connection: Connection,
    phase: Phase,
    members: Sequence[Member],
    outcomes: Mapping[UUID, Outcome],
    settings: Settings,
) -> list[Send]:
    """Write the outcomes of a phase into the checkouts' rows and return the messages that follow."""
    done: list[Member] = []
    waits: dict[UUID, Wait] = {}
    rejections: dict[UUID, Rejected] = {}
    retries: dict[UUID, Retry] = {}
    reviews: dict[UUID, Review] = {}
    for member in members:
        outcome = outcomes[member.id]
        match outcome:
            case Done():
                done.append(member)
            case Rejected():
                rejections[member.id] = outcome
            case Wait():
                waits[member.id] = outcome
            case Retry():
                retries[member.id] = outcome
            case Review():
                reviews[member.id] = outcome
            case _:
                assert_never(outcome)
    sends = forward.advance(connection, phase, done, settings) if done else []
    rejected = [each for each in members if each.id in rejections]
    sends += backward.begin(connection, rejected, rejections, settings, ending=CheckoutState.FAILED, phase=phase.name)
    forward.park(connection, phase, waits)
    forward.schedule(connection, [each for each in members if each.id in retries], retries)
    forward.ask_person(connection, phase.name, reviews)
    log.info(
        "phase.ran",
        phase=phase.name,
        checkout_ids=[str(member.id) for member in members],
        done=len(done),
        rejected=len(rejections),
        waiting=len(waits),
        retried=len(retries),
        reviews=len(reviews),
    )
    return sends


def give_up(connection: Connection, phase: Phase, member: Member, error: str, settings: Settings) -> list[Send]:
    """End a checkout that raises or kills its worker each time: turn it back, or, past the pivot, ask a person."""
    detail = {"phase": phase.name, "attempts": member.attempts + 1, "error": error[:500]}
    if member.pivot_at is not None:
        forward.ask_person(connection, phase.name, {member.id: Review(Code.ATTEMPTS_EXHAUSTED, detail)})
        return []
    rejections = {member.id: Rejected(Code.ATTEMPTS_EXHAUSTED, detail)}
    return backward.begin(connection, [member], rejections, settings, ending=CheckoutState.FAILED, phase=phase.name)


def chase_late(connection: Connection, members: Sequence[Member], books: Mapping[UUID, Books]) -> list[Send]:
    """Call on checkouts whose answer came after they had turned back.

    An unwind may be waiting for just this answer; what is live after the end is voided or refunded.
    """
    late = [each for each in members if each.state in ENDINGS and each.id in books and books[each.id].status in LIVE]
    forward.later(connection, [(each, 0.0, "money turned up after the end", each.attempts) for each in late])
    turning = [each for each in members if each.state is CheckoutState.UNWINDING and each.id in books]
    return [Send(RESOLVE, each.id, each.now) for each in late] + [Send(UNWIND, each.id, each.now) for each in turning]
