"""The changes of a checkout's row that move it back: begin to unwind, step down, end. Members must be locked."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import CheckoutState
from pipeline.batch import Member, Rejected
from pipeline.chain import CHAIN, first_undo, undoable
from pipeline.errors import sentence
from pipeline.events import write_events
from pipeline.sender import UNWIND, Send
from pipeline.settings import Settings

BEGIN: Final = text("""
    UPDATE checkouts c
    SET state = 'unwinding', fence = c.fence + 1, phase = b.phase, ending = :ending, attempts = 0, last_error = NULL,
        failure_code = b.code, failure_phase = :failure_phase, failure_message = b.message,
        failure_detail = CAST(b.detail AS jsonb),
        sent_at = now(), due_at = now() + make_interval(secs => :stall_seconds), due_reason = 'stalled',
        updated_at = now()
    FROM unnest(CAST(:ids AS uuid[]), CAST(:phases AS smallint[]), CAST(:codes AS text[]), CAST(:messages AS text[]),
                CAST(:details AS text[])) AS b (id, phase, code, message, detail)
    WHERE c.id = b.id
""")

STEP_DOWN: Final = text("""
    UPDATE checkouts
    SET phase = :phase, attempts = 0, last_error = NULL, sent_at = now(),
        due_at = now() + make_interval(secs => :stall_seconds), due_reason = 'stalled', updated_at = now()
    WHERE id = ANY(CAST(:ids AS uuid[]))
""")

FINISH: Final = text("""
    UPDATE checkouts
    SET state = ending, phase = 0, ended_at = now(), due_at = NULL, due_reason = NULL, updated_at = now()
    WHERE id = ANY(CAST(:ids AS uuid[]))
""")

REST: Final = text("UPDATE checkouts SET due_at = NULL, due_reason = NULL WHERE id = ANY(CAST(:ids AS uuid[]))")


def begin(
    connection: Connection,
    members: Sequence[Member],
    rejections: Mapping[UUID, Rejected],
    settings: Settings,
    *,
    ending: CheckoutState,
    phase: str | None = None,
) -> list[Send]:
    """Turn these checkouts back, for the given reasons, to end as `ending`: at once where nothing is to undo."""
    if not members:
        return []
    reasons = [rejections[member.id] for member in members]
    connection.execute(
        BEGIN,
        {
            "ids": [member.id for member in members],
            "phases": [first_undo(member.phase) for member in members],
            "codes": [each.code for each in reasons],
            "messages": [sentence(each.code, each.detail) for each in reasons],
            "details": [json.dumps(each.detail, default=str) for each in reasons],
            "ending": ending,
            "failure_phase": phase,
            "stall_seconds": settings.stall_seconds,
        },
    )
    facts = {member.id: {"code": rejections[member.id].code, "ending": ending} for member in members}
    write_events(connection, "checkout.unwinding", list(facts), phase=phase, data=facts)
    finish(connection, {member.id: ending for member in members if first_undo(member.phase) == 0})
    return [Send(UNWIND, member.id, member.now) for member in members if first_undo(member.phase) > 0]


def step_down(connection: Connection, number: int, members: Sequence[Member], settings: Settings) -> bool:
    """Record that phase `number` of these checkouts is undone. True when there is more to undo, else they ended."""
    if not members:
        return False
    ids = [member.id for member in members]
    write_events(connection, "checkout.phase_undone", ids, phase=CHAIN[number - 1].name)
    left = number - 1
    while left and not undoable(CHAIN[left - 1]):
        left -= 1
    if left == 0:
        finish(connection, {member.id: member.ending or CheckoutState.FAILED for member in members})
        return False
    connection.execute(STEP_DOWN, {"ids": ids, "phase": left, "stall_seconds": settings.stall_seconds})
    return True


def finish(connection: Connection, endings: Mapping[UUID, CheckoutState]) -> None:
    """End these unwound checkouts: the cart is open again."""
    if not endings:
        return
    connection.execute(FINISH, {"ids": list(endings)})
    by_ending: dict[CheckoutState, list[UUID]] = defaultdict(list)
    for id_, ending in endings.items():
        by_ending[ending].append(id_)
    for ending, ids in by_ending.items():
        write_events(connection, f"checkout.{ending}", ids)


def rest(connection: Connection, ids: Sequence[UUID]) -> None:
    """Let ended checkouts be: nothing of theirs is due any more."""
    if ids:
        connection.execute(REST, {"ids": list(ids)})
