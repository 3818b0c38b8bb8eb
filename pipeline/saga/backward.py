"""The changes of a checkout's row that move it back: begin to unwind, step down, end. Members must be locked."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import CheckoutState
from pipeline.checkouts import LockedCheckout, Rejected
from pipeline.checkouts.events import Happened, execute_with_events, with_events
from pipeline.errors import sentence
from pipeline.messaging import RESOLVE, UNWIND, OutgoingMessage
from pipeline.saga.chain import find_phase, first_undo, skip_settled
from pipeline.settings import Settings

BEGIN: Final = with_events("""
    UPDATE checkouts c
    SET state = 'unwinding', fence = c.fence + 1, phase = b.phase, ending = :ending, attempts = 0, last_error = NULL,
        failure_code = b.code, failure_phase = :failure_phase, failure_message = b.message,
        failure_detail = CAST(b.detail AS jsonb),
        sent_at = now(), due_at = now() + make_interval(secs => :redeliver_after_seconds), due_reason = 'stalled',
        updated_at = now()
    FROM unnest(CAST(:ids AS uuid[]), CAST(:phases AS smallint[]), CAST(:codes AS text[]), CAST(:messages AS text[]),
                CAST(:details AS text[])) AS b (id, phase, code, message, detail)
    WHERE c.id = b.id
""")

STEP_DOWN: Final = with_events("""
    UPDATE checkouts
    SET phase = :phase, attempts = 0, last_error = NULL, sent_at = now(),
        due_at = now() + make_interval(secs => :redeliver_after_seconds), due_reason = 'stalled', updated_at = now()
    WHERE id = ANY(CAST(:ids AS uuid[]))
""")

# What ends with an object at the provider is polled for a day, with growing intervals.
FINISH: Final = with_events("""
    UPDATE checkouts c
    SET state = c.ending, phase = 0, ended_at = now(), updated_at = now(),
        due_at = CASE WHEN p.reference IS NULL THEN NULL ELSE now() + make_interval(secs => :post_end_poll_seconds) END,
        due_reason = CASE WHEN p.reference IS NULL THEN NULL ELSE 'scheduled' END
    FROM checkouts same LEFT JOIN payments p ON p.checkout_id = same.id
    WHERE c.id = same.id AND c.id = ANY(CAST(:ids AS uuid[]))
""")

# Only what is due, or was just called on: a message that comes twice changes nothing. Answered looks are made after 1,
# 3, 9, 27 ... min, the last after a day; one that was not answered is made again after a quarter of the time gone by.
REST: Final = text("""
    UPDATE checkouts
    SET due_at = next.at, due_reason = CASE WHEN next.at IS NULL THEN NULL ELSE 'scheduled' END, last_error = NULL
    FROM (SELECT c.id,
                 CASE WHEN p.reference IS NOT NULL AND now() - ended_at < make_interval(hours => :post_end_poll_hours)
                      THEN now() + greatest(make_interval(secs => :post_end_poll_seconds), :share * (now() - ended_at))
                 END AS at
          FROM checkouts c LEFT JOIN payments p ON p.checkout_id = c.id WHERE c.id = ANY(CAST(:ids AS uuid[]))) next
    WHERE checkouts.id = next.id AND due_at <= now() + make_interval(secs => :lease_seconds)
""")

#: A new fence makes the next call of an undo a new attempt.
CALL_BACK: Final = text("""
    UPDATE checkouts SET fence = fence + 1, due_at = now(), due_reason = 'scheduled', updated_at = now() WHERE id = :id
""")


def begin(
    connection: Connection,
    checkouts: Sequence[LockedCheckout],
    rejections: Mapping[UUID, Rejected],
    settings: Settings,
    *,
    ending: CheckoutState,
    phase: str | None = None,
) -> list[OutgoingMessage]:
    """Turn these checkouts back, for the given reasons, to end as `ending`: at once where nothing is to undo."""
    if not checkouts:
        return []
    reasons = [rejections[checkout.id] for checkout in checkouts]
    facts = {checkout.id: {"code": rejections[checkout.id].code, "ending": ending} for checkout in checkouts}
    execute_with_events(
        connection,
        BEGIN,
        {
            "ids": [checkout.id for checkout in checkouts],
            "phases": [first_undo(checkout.phase) for checkout in checkouts],
            "codes": [each.code for each in reasons],
            "messages": [sentence(each.code, each.detail) for each in reasons],
            "details": [json.dumps(each.detail, default=str) for each in reasons],
            "ending": ending,
            "failure_phase": phase,
            "redeliver_after_seconds": settings.redeliver_after_seconds,
        },
        Happened("checkout.unwinding", list(facts), phase, facts),
    )
    finish(connection, {checkout.id: ending for checkout in checkouts if first_undo(checkout.phase) == 0}, settings)
    return [
        OutgoingMessage(UNWIND, checkout.id, checkout.now) for checkout in checkouts if first_undo(checkout.phase) > 0
    ]


def step_down(connection: Connection, number: int, checkouts: Sequence[LockedCheckout], settings: Settings) -> bool:
    """Record that phase `number` of these checkouts is undone. True when there is more to undo, else they ended."""
    if not checkouts:
        return False
    ids = [checkout.id for checkout in checkouts]
    undone = Happened("checkout.phase_undone", ids, find_phase(number).name)
    left = skip_settled(number - 1)
    if left == 0:
        finish(
            connection,
            {checkout.id: checkout.ending or CheckoutState.FAILED for checkout in checkouts},
            settings,
            undone,
        )
        return False
    execute_with_events(
        connection,
        STEP_DOWN,
        {"ids": ids, "phase": left, "redeliver_after_seconds": settings.redeliver_after_seconds},
        undone,
    )
    return True


def finish(
    connection: Connection, endings: Mapping[UUID, CheckoutState], settings: Settings, *before: Happened
) -> None:
    """End these unwound checkouts: the cart is open again. `before` is what happened right before that."""
    if not endings:
        return
    by_ending: dict[CheckoutState, list[UUID]] = defaultdict(list)
    for id_, ending in endings.items():
        by_ending[ending].append(id_)
    ended = [Happened(f"checkout.{ending}", ids) for ending, ids in by_ending.items()]
    execute_with_events(
        connection,
        FINISH,
        {"ids": list(endings), "post_end_poll_seconds": settings.post_end_poll_seconds},
        *before,
        *ended,
    )


def schedule_next_poll(
    connection: Connection, ids: Sequence[UUID], settings: Settings, *, answered: bool = True
) -> None:
    """Schedule the next poll of ended checkouts: sooner when the provider did not answer this one.

    The last answered poll is made at most three times `post_end_poll_hours` after the end: until then it is repeated.
    """
    if ids:
        connection.execute(
            REST,
            {
                "ids": list(ids),
                "post_end_poll_seconds": settings.post_end_poll_seconds,
                "post_end_poll_hours": settings.post_end_poll_hours if answered else 3 * settings.post_end_poll_hours,
                "share": 2.0 if answered else 0.25,
                "lease_seconds": settings.gateway_lease_seconds,
            },
        )


def retry_undo(connection: Connection, checkout: LockedCheckout) -> list[OutgoingMessage]:
    """Retry the undo of an ended checkout's payment, for an operator."""
    connection.execute(CALL_BACK, {"id": checkout.id})
    return [OutgoingMessage(RESOLVE, checkout.id, checkout.now)]
