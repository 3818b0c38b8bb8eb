"""What happens to a checkout whose work fails: retried with back-off, given up, moved to review; and late funds.

Members must be locked.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Connection

from models.states import ENDINGS, CheckoutState
from pipeline.checkouts import LockedCheckout, Rejected, Review
from pipeline.database.backoff import back_off
from pipeline.errors import Code
from pipeline.messaging import RESOLVE, UNWIND, OutgoingMessage
from pipeline.payments import PaymentState
from pipeline.payments.payment import LIVE
from pipeline.saga import backward, forward
from pipeline.saga.chain import Phase, find_phase
from pipeline.settings import Settings


def fail_phase(
    connection: Connection, phase: Phase, checkout: LockedCheckout, error: str, settings: Settings
) -> list[OutgoingMessage]:
    """Retry a phase that failed, with exponential back-off; after the last attempt, give up."""
    if checkout.attempts + 1 >= settings.max_attempts:
        return give_up(connection, phase, checkout, error, settings)
    _retry_later(connection, checkout, error, settings)
    return []


def give_up(
    connection: Connection, phase: Phase, checkout: LockedCheckout, error: str, settings: Settings
) -> list[OutgoingMessage]:
    """End a checkout that raises or crashes its worker each time: unwind it, or, past the pivot, move it to review."""
    detail = {"phase": phase.name, "attempts": checkout.attempts + 1, "error": error[:500]}
    if checkout.pivot_at is not None:
        forward.move_to_review(connection, phase.name, {checkout.id: Review(Code.ATTEMPTS_EXHAUSTED, detail)})
        return []
    rejections = {checkout.id: Rejected(Code.ATTEMPTS_EXHAUSTED, detail)}
    return backward.begin(connection, [checkout], rejections, settings, ending=CheckoutState.FAILED, phase=phase.name)


def fail_undo(connection: Connection, checkout: LockedCheckout, error: str, settings: Settings) -> None:
    """Retry an undo that failed, with exponential back-off; after the last attempt, move to review."""
    if checkout.attempts + 1 >= settings.max_undo_attempts:
        phase = find_phase(max(checkout.phase, 1)).name
        detail = {"phase": phase, "attempts": checkout.attempts + 1, "error": error[:500]}
        forward.move_to_review(connection, phase, {checkout.id: Review(Code.UNDO_FAILED, detail)})
    else:
        _retry_later(connection, checkout, error, settings)


def pursue_late_funds(
    connection: Connection, checkouts: Sequence[LockedCheckout], payments: Mapping[UUID, PaymentState]
) -> list[OutgoingMessage]:
    """Resume checkouts whose answer came after they had begun to unwind.

    An unwind may be waiting for just this answer; what is live after the end is voided or refunded.
    """
    late = [
        each for each in checkouts if each.state in ENDINGS and each.id in payments and payments[each.id].status in LIVE
    ]
    forward.schedule_retry(connection, [(each, 0.0, "late funds", each.attempts) for each in late])
    unwinding = [each for each in checkouts if each.state is CheckoutState.UNWINDING and each.id in payments]
    return [OutgoingMessage(RESOLVE, each.id, each.now) for each in late] + [
        OutgoingMessage(UNWIND, each.id, each.now) for each in unwinding
    ]


def _retry_later(connection: Connection, checkout: LockedCheckout, error: str, settings: Settings) -> None:
    seconds = back_off(
        checkout.attempts, first_seconds=settings.retry_seconds, longest_seconds=settings.retry_cap_seconds
    )
    forward.schedule_retry(connection, [(checkout, seconds, error[:1000], checkout.attempts + 1)])
