"""What happens to a checkout whose work fails: retried with back-off, given up, moved to review; and late funds.

Members must be locked.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Connection

from models.states import ENDINGS, CheckoutState
from pipeline.checkouts.batch import LockedCheckout, Rejected, Review
from pipeline.database.backoff import back_off
from pipeline.errors import Code
from pipeline.messaging.ports import RESOLVE, UNWIND, OutgoingMessage
from pipeline.payments.payment import LIVE, PaymentState
from pipeline.saga import backward, forward
from pipeline.saga.chain import Phase, find_phase
from pipeline.settings import Settings


def fail_phase(
    connection: Connection, phase: Phase, member: LockedCheckout, error: str, settings: Settings
) -> list[OutgoingMessage]:
    """Retry a phase that failed, with exponential back-off; after the last attempt, give up."""
    if member.attempts + 1 >= settings.max_attempts:
        return give_up(connection, phase, member, error, settings)
    _retry_later(connection, member, error, settings)
    return []


def give_up(
    connection: Connection, phase: Phase, member: LockedCheckout, error: str, settings: Settings
) -> list[OutgoingMessage]:
    """End a checkout that raises or crashes its worker each time: unwind it, or, past the pivot, move it to review."""
    detail = {"phase": phase.name, "attempts": member.attempts + 1, "error": error[:500]}
    if member.pivot_at is not None:
        forward.move_to_review(connection, phase.name, {member.id: Review(Code.ATTEMPTS_EXHAUSTED, detail)})
        return []
    rejections = {member.id: Rejected(Code.ATTEMPTS_EXHAUSTED, detail)}
    return backward.begin(connection, [member], rejections, settings, ending=CheckoutState.FAILED, phase=phase.name)


def fail_undo(connection: Connection, member: LockedCheckout, error: str, settings: Settings) -> None:
    """Retry an undo that failed, with exponential back-off; after the last attempt, move to review."""
    if member.attempts + 1 >= settings.max_undo_attempts:
        phase = find_phase(max(member.phase, 1)).name
        detail = {"phase": phase, "attempts": member.attempts + 1, "error": error[:500]}
        forward.move_to_review(connection, phase, {member.id: Review(Code.UNDO_FAILED, detail)})
    else:
        _retry_later(connection, member, error, settings)


def pursue_late_funds(
    connection: Connection, members: Sequence[LockedCheckout], books: Mapping[UUID, PaymentState]
) -> list[OutgoingMessage]:
    """Resume checkouts whose answer came after they had begun to unwind.

    An unwind may be waiting for just this answer; what is live after the end is voided or refunded.
    """
    late = [each for each in members if each.state in ENDINGS and each.id in books and books[each.id].status in LIVE]
    forward.schedule_retry(connection, [(each, 0.0, "late funds", each.attempts) for each in late])
    unwinding = [each for each in members if each.state is CheckoutState.UNWINDING and each.id in books]
    return [OutgoingMessage(RESOLVE, each.id, each.now) for each in late] + [
        OutgoingMessage(UNWIND, each.id, each.now) for each in unwinding
    ]


def _retry_later(connection: Connection, member: LockedCheckout, error: str, settings: Settings) -> None:
    seconds = back_off(
        member.attempts, first_seconds=settings.retry_seconds, longest_seconds=settings.retry_cap_seconds
    )
    forward.schedule_retry(connection, [(member, seconds, error[:1000], member.attempts + 1)])
