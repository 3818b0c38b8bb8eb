"""What a person decides about a change that needs review."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, assert_never
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import ChangeKind, ChangeState, OrderState, RefundStatus
from pipeline.checkouts.locks import lock_orders
from pipeline.errors import Code, Conflict, NotFound
from pipeline.messaging import OutgoingMessage
from pipeline.messaging.ports import ORDER_CHANGES
from pipeline.orders.changes import RETRIED, LockedChange, Reason, find_orders, load_changes
from pipeline.orders.completion import fail_changes, finish_changes
from pipeline.orders.events import CHANGE_RETRIED, write_change_events
from pipeline.orders.refunds.row import SETTLED_BY_PERSON, Refund, store_refunds
from pipeline.orders.requests import Resolution
from pipeline.orders.result import ChangeResult
from pipeline.settings import Settings

STATE: Final = text("SELECT state FROM order_changes WHERE id = :id")

RETRY: Final = text(f"""
    UPDATE order_changes
    SET state = 'running', outcome = outcome || jsonb_build_object('{RETRIED}', true), attempts = 0, last_error = NULL,
        sent_at = now(), due_at = now() + make_interval(secs => :redeliver_after_seconds), updated_at = now()
    WHERE id = :id
""")


def settle_change(
    connection: Connection, change_id: UUID, resolution: Resolution, settings: Settings, *, actor: str, reason: str
) -> ChangeResult:
    """Settle a change that needs review as a person says.

    RETRY makes its refund once more: the provider is asked for the last one first, and only one that does not exist, or
    that it cannot be asked for, gets a new key. DONE does what follows from it; FAILED means that nothing of it
    happened, which cannot be said of a cancel that is done.

    Raises NotFound(CHANGE_UNKNOWN), or Conflict: CHANGE_NOT_IN_REVIEW, ORDER_CANCELLED.
    """
    change = _lock_in_review(connection, change_id)
    said = {"settled_by": actor, "settled_reason": reason}
    match resolution:
        case Resolution.RETRY:
            state = ChangeState.RUNNING
            _retry(connection, change, settings, said)
        case Resolution.DONE:
            state = ChangeState.DONE
            settled = _settle_refunds(connection, change, RefundStatus.SUCCEEDED)
            is_here = any(each.status is RefundStatus.SUCCEEDED for each in settled)
            # Paid in another way: the provider has no refund of it.
            elsewhere = {} if is_here or change.amount_minor == 0 else {"elsewhere": True}
            finish_changes(connection, [change], settings, {**said, **elsewhere})
        case Resolution.FAILED:
            state = ChangeState.FAILED
            if change.kind is ChangeKind.CANCEL and change.order_state is OrderState.CANCELLED:
                raise Conflict(Code.ORDER_CANCELLED, number=change.number, change_id=str(change.id))
            _settle_refunds(connection, change, RefundStatus.DECLINED)
            fail_changes(connection, [(change, _read_reason(change))], said)
        case _:
            assert_never(resolution)
    messages = [OutgoingMessage(ORDER_CHANGES, change.id, change.now)] if state is ChangeState.RUNNING else []
    return ChangeResult(change.id, change.order_id, change.kind, state, created=False, messages=messages)


def _lock_in_review(connection: Connection, change_id: UUID) -> LockedChange:
    order_ids = lock_orders(connection, find_orders(connection, [change_id]))
    changes = [each for found in load_changes(connection, order_ids, [change_id]).values() for each in found]
    change = next((each for each in changes if each.id == change_id), None)
    if change is not None and change.state is ChangeState.NEEDS_REVIEW:
        return change
    state = connection.execute(STATE, {"id": change_id}).scalar()
    if state is None:
        raise NotFound(Code.CHANGE_UNKNOWN, change_id=str(change_id))
    raise Conflict(Code.CHANGE_NOT_IN_REVIEW, change_id=str(change_id), state=state)


def _retry(connection: Connection, change: LockedChange, settings: Settings, said: Mapping[str, Any]) -> None:
    again = [replace(each, attempts=0, code=None) for each in change.refunds if each.is_unsettled]
    store_refunds(connection, again)
    connection.execute(RETRY, {"id": change.id, "redeliver_after_seconds": settings.redeliver_after_seconds})
    write_change_events(connection, {change.id: (CHANGE_RETRIED, said)}, [change])


def _settle_refunds(connection: Connection, change: LockedChange, status: RefundStatus) -> Sequence[Refund]:
    """Settle what is unsettled as the person says; return the refunds of the change as they are now."""
    settled = [each.settle(status, SETTLED_BY_PERSON, each.last_error) for each in change.refunds if each.is_unsettled]
    store_refunds(connection, settled)
    return [*settled, *(each for each in change.refunds if not each.is_unsettled)]


def _read_reason(change: LockedChange) -> Reason:
    """Return why the change was moved to review: it fails for the same reason."""
    return Reason(Code(change.outcome["code"]), change.outcome.get("detail", {}))
