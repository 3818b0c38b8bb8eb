"""The changes of a checkout's row that move it forward, make it wait, or move it to review. Lock the rows first."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import CheckoutState
from pipeline.checkouts import LockedCheckout, Retry, Review, Wait
from pipeline.checkouts.events import Happened, execute_with_events, with_events
from pipeline.messaging import UNWIND, OutgoingMessage
from pipeline.saga.chain import GatewayPhase, Phase, is_last, next_phase
from pipeline.settings import Settings

# :redeliver_after_seconds is null when nothing is due: the checkout waits for the buyer, or has ended. :window_seconds
# extends the reservation by an authorisation, so that it does not expire during a payment, but not past the end of the
# authorisation itself.
ADVANCE: Final = with_events("""
    UPDATE checkouts
    SET phase = :phase, state = :state, attempts = 0, last_error = NULL, sent_at = now(),
        due_at = now() + make_interval(secs => CAST(:redeliver_after_seconds AS double precision)),
        due_reason = CASE WHEN CAST(:redeliver_after_seconds AS double precision) IS NULL THEN NULL ELSE 'stalled' END,
        ended_at = CASE WHEN :state = 'completed' THEN now() END, updated_at = now(),
        expires_at = CASE WHEN CAST(:window_seconds AS double precision) IS NULL THEN expires_at ELSE
            least(greatest(expires_at, now() + make_interval(secs => CAST(:window_seconds AS double precision))),
                  coalesce((SELECT p.authorized_until - make_interval(secs => :margin_seconds)
                            FROM payments p WHERE p.checkout_id = checkouts.id), 'infinity')) END
    WHERE id = ANY(CAST(:ids AS uuid[]))
""")

WAIT: Final = with_events("""
    UPDATE checkouts
    SET state = :state, attempts = 0, last_error = NULL, due_at = NULL, due_reason = NULL, updated_at = now(),
        expires_at = greatest(expires_at, now() + make_interval(secs => :extend_seconds))
    WHERE id = ANY(CAST(:ids AS uuid[]))
""")

SCHEDULE: Final = text("""
    UPDATE checkouts c
    SET due_at = now() + make_interval(secs => s.seconds), due_reason = 'scheduled', last_error = s.reason,
        attempts = s.attempts, updated_at = now()
    FROM unnest(CAST(:ids AS uuid[]), CAST(:seconds AS double precision[]), CAST(:reasons AS text[]),
                CAST(:attempts AS smallint[])) AS s (id, seconds, reason, attempts)
    WHERE c.id = s.id
""")

SEND_BACK: Final = text("""
    UPDATE checkouts
    SET sent_at = now(), due_at = now() + make_interval(secs => :redeliver_after_seconds), due_reason = 'stalled',
        updated_at = now()
    WHERE id = ANY(CAST(:ids AS uuid[]))
""")

SET_ASIDE: Final = text("""
    UPDATE checkouts SET due_at = now() + make_interval(secs => :redeliver_after_seconds), updated_at = now()
    WHERE id = ANY(CAST(:ids AS uuid[])) AND due_reason = 'stalled'
""")

REVIEW: Final = with_events("""
    UPDATE checkouts c
    SET state = 'needs_review', due_at = NULL, due_reason = NULL, review = CAST(r.review AS jsonb), updated_at = now()
    FROM unnest(CAST(:ids AS uuid[]), CAST(:reviews AS text[])) AS r (id, review)
    WHERE c.id = r.id
""")

RESUME: Final = with_events("""
    UPDATE checkouts
    SET state = :state, fence = fence + CAST(:new_fence AS integer), attempts = 0, last_error = NULL, review = NULL,
        payment_given = payment_given OR EXISTS (SELECT FROM payments WHERE checkout_id = :id),
        expected_total_minor = coalesce(CAST(:expected_total_minor AS bigint), expected_total_minor),
        expected_hash = coalesce(:expected_hash, expected_hash),
        expected_lines = coalesce(CAST(:expected_lines AS jsonb), expected_lines),
        sent_at = now(), due_at = now() + make_interval(secs => :redeliver_after_seconds), due_reason = 'stalled',
        expires_at = greatest(expires_at, now() + make_interval(secs => :extend_seconds)), updated_at = now(),
        -- A checkout that goes forward again has not failed: the reason of its review stays in its events.
        failure_code = CASE WHEN :state = 'unwinding' THEN failure_code END,
        failure_phase = CASE WHEN :state = 'unwinding' THEN failure_phase END,
        failure_message = CASE WHEN :state = 'unwinding' THEN failure_message END,
        failure_detail = CASE WHEN :state = 'unwinding' THEN failure_detail END
    WHERE id = :id
""")


def advance(
    connection: Connection, phase: Phase, checkouts: Sequence[LockedCheckout], settings: Settings
) -> list[OutgoingMessage]:
    """Record that these checkouts completed `phase`, and return the messages for the next one."""
    sends: list[OutgoingMessage] = []
    authorizes = isinstance(phase.work, GatewayPhase) and not phase.work.pivot
    waiting = [each for each in checkouts if phase.awaits_payment and not each.payment_given]
    going = [each for each in checkouts if not (phase.awaits_payment and not each.payment_given)]
    for group, state in (
        (going, CheckoutState.COMPLETED if is_last(phase) else CheckoutState.RUNNING),
        (waiting, CheckoutState.AWAITING_PAYMENT),
    ):
        if not group:
            continue
        running = state is CheckoutState.RUNNING
        ids = [each.id for each in group]
        happened = [Happened("checkout.phase_completed", ids, phase.name)]
        if not running:
            happened.append(Happened(f"checkout.{state}", ids))
        if state is CheckoutState.COMPLETED:
            happened.append(Happened("order.placed", ids))
        execute_with_events(
            connection,
            ADVANCE,
            {
                "ids": ids,
                "phase": phase.number,
                "state": state,
                "redeliver_after_seconds": settings.redeliver_after_seconds if running else None,
                "window_seconds": settings.payment_window_seconds if authorizes else None,
                "margin_seconds": settings.authorization_margin_seconds,
            },
            *happened,
        )
        if running:
            sends += [OutgoingMessage(next_phase(phase.number).queue, each.id, each.now) for each in group]
    return sends


def wait_for_external(connection: Connection, phase: Phase, waits: Mapping[UUID, Wait]) -> None:
    """Make these checkouts wait for an external party, such as the buyer."""
    for state, event, extend_seconds in {(each.state, each.event, each.extend_seconds) for each in waits.values()}:
        facts = {
            id_: each.detail
            for id_, each in waits.items()
            if (each.state, each.event, each.extend_seconds) == (state, event, extend_seconds)
        }
        execute_with_events(
            connection,
            WAIT,
            {"ids": list(facts), "state": state, "extend_seconds": extend_seconds},
            Happened(event, list(facts), phase.name, facts),
        )


def schedule(connection: Connection, checkouts: Sequence[LockedCheckout], retries: Mapping[UUID, Retry]) -> None:
    """Schedule a retry of these checkouts after their wait; costs no attempt."""
    schedule_retry(
        connection,
        [(each, retries[each.id].after_seconds, retries[each.id].reason, each.attempts) for each in checkouts],
    )


def schedule_retry(connection: Connection, waits: Sequence[tuple[LockedCheckout, float, str, int]]) -> None:
    """Schedule a retry for each of (checkout, seconds, reason, attempts so far)."""
    if waits:
        connection.execute(
            SCHEDULE,
            {
                "ids": [checkout.id for checkout, *_ in waits],
                "seconds": [seconds for _, seconds, *_ in waits],
                "reasons": [reason for _, _, reason, _ in waits],
                "attempts": [attempts for *_, attempts in waits],
            },
        )


def set_aside(connection: Connection, groups: Sequence[Sequence[UUID]], settings: Settings) -> None:
    """Delay the redelivery of checkouts that wait in this process's memory, for at most half of this delay."""
    if groups:
        ids = [id_ for group in groups for id_ in group]
        connection.execute(SET_ASIDE, {"ids": ids, "redeliver_after_seconds": settings.redeliver_after_seconds})


def send_back(
    connection: Connection, checkouts: Sequence[LockedCheckout], queue: str, settings: Settings
) -> list[OutgoingMessage]:
    """Send these checkouts to the end of their queue; costs no attempt."""
    if not checkouts:
        return []
    connection.execute(
        SEND_BACK, {"ids": [each.id for each in checkouts], "redeliver_after_seconds": settings.redeliver_after_seconds}
    )
    return [OutgoingMessage(queue, each.id, each.now) for each in checkouts]


def move_to_review(connection: Connection, phase: str, reviews: Mapping[UUID, Review]) -> None:
    """Move these checkouts to review, with the reason."""
    if not reviews:
        return
    facts = {id_: each.describe(phase) for id_, each in reviews.items()}
    rows = [json.dumps(each, default=str) for each in facts.values()]
    execute_with_events(
        connection,
        REVIEW,
        {"ids": list(reviews), "reviews": rows},
        Happened("checkout.needs_review", list(reviews), phase, facts),
    )


def resume_checkout(
    connection: Connection,
    checkout: LockedCheckout,
    settings: Settings,
    *,
    event: str,
    extend_seconds: float = 0,
    expected: Mapping[str, Any] | None = None,
    detail: Mapping[str, Any] | None = None,
) -> list[OutgoingMessage]:
    """Resume a waiting checkout, with its stock and prices reserved for at least `extend_seconds` more."""
    if checkout.state is CheckoutState.NEEDS_REVIEW:
        state = CheckoutState.RUNNING if checkout.ending is None else CheckoutState.UNWINDING
    else:
        state = CheckoutState.RUNNING
    execute_with_events(
        connection,
        RESUME,
        {
            "id": checkout.id,
            "state": state,
            "new_fence": checkout.state is CheckoutState.NEEDS_REVIEW,
            "redeliver_after_seconds": settings.redeliver_after_seconds,
            "extend_seconds": extend_seconds,
            **(expected or {"expected_total_minor": None, "expected_hash": None, "expected_lines": None}),
        },
        Happened(event, [checkout.id], data={checkout.id: detail or {}}),
    )
    return [OutgoingMessage(queue_of(state, checkout.phase), checkout.id, checkout.now)]


def queue_of(state: CheckoutState, phase: int) -> str:
    """Return the queue that works on a checkout in this state."""
    return UNWIND if state is CheckoutState.UNWINDING else next_phase(phase).queue
