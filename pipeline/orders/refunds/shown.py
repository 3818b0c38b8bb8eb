"""Settles a refund by what the provider shows of it: after a webhook, a poll or a reconciliation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection

from models.states import RefundStatus
from pipeline.checkouts.locks import lock_orders
from pipeline.errors import Code
from pipeline.gateways.charges import ChargeRefund, RefundState
from pipeline.messaging import OutgoingMessage
from pipeline.messaging.ports import ORDER_CHANGES
from pipeline.orders.changes import LockedChange, find_orders, load_changes
from pipeline.orders.completion import fail_changes, finish_changes, review_changes
from pipeline.orders.events import REFUND_FAILED
from pipeline.orders.refunds.policy import explain
from pipeline.orders.refunds.row import Refund, store_refunds
from pipeline.settings import Settings


class ShownEffect(StrEnum):
    """What became of a stored refund that the provider shows."""

    UNCHANGED = "unchanged"  # that was known already
    SETTLED = "settled"  # its outcome was not known until now: its change is done, or failed
    RETURNED = "returned"  # it had been accepted, and failed later: a person settles its change
    CONTRADICTS = "contradicts"  # it exists, and was declined, or is of another amount: nothing was changed


@dataclass(frozen=True, slots=True)
class ShownResult:
    """What became of it, and the messages to send once the transaction has committed."""

    effect: ShownEffect
    messages: Sequence[OutgoingMessage] = ()


def apply_shown_refund(connection: Connection, refund: Refund, shown: ChargeRefund, settings: Settings) -> ShownResult:
    """Settle a stored refund as the provider shows it, with what follows for its change and the events of that.

    `refund` is found by the `operation_id` of `shown` (`find_refunds`), or by its reference. Its order is locked here,
    and the row is read again. Safe to repeat.
    """
    orders = load_changes(
        connection, lock_orders(connection, find_orders(connection, [refund.change_id])), [refund.change_id]
    )
    siblings = next(iter(orders.values()))
    change = next(each for each in siblings if each.id == refund.change_id)
    current = next(each for each in change.refunds if each.id == refund.id)
    if current.is_unsettled:
        return _settle(connection, change, siblings, current.show(shown, change.currency), settings)
    if shown.state is RefundState.FAILED:
        if current.status is not RefundStatus.SUCCEEDED:
            return ShownResult(ShownEffect.UNCHANGED)
        returned = current.settle(RefundStatus.RETURNED, current.code, shown.failure)
        store_refunds(connection, [returned])
        after = _with(change, returned)
        review_changes(connection, [(after, explain(after, Code.REFUND_RETURNED))], event=REFUND_FAILED)
        return ShownResult(ShownEffect.RETURNED)
    if current.status is not RefundStatus.SUCCEEDED:
        return ShownResult(ShownEffect.CONTRADICTS)
    if current.reference is None:
        store_refunds(connection, [replace(current, reference=shown.reference)])
    return ShownResult(ShownEffect.UNCHANGED)


def _settle(
    connection: Connection, change: LockedChange, siblings: Sequence[LockedChange], settled: Refund, settings: Settings
) -> ShownResult:
    if settled.is_unsettled:  # of another amount
        return ShownResult(ShownEffect.CONTRADICTS)
    store_refunds(connection, [settled])
    after = _with(change, settled)
    if settled.status is RefundStatus.SUCCEEDED:
        finish_changes(connection, [after], settings)
    else:
        fail_changes(connection, [(after, explain(after, Code.REFUND_DECLINED))])
    return ShownResult(ShownEffect.SETTLED, _send_next(siblings, change.id))


def _with(change: LockedChange, refund: Refund) -> LockedChange:
    return replace(change, refunds=tuple(refund if each.id == refund.id else each for each in change.refunds))


def _send_next(siblings: Sequence[LockedChange], ended: UUID) -> list[OutgoingMessage]:
    """Return the message for the change that waited for this one."""
    following = next((each for each in siblings if each.is_to_do and each.id != ended), None)
    return [] if following is None else [OutgoingMessage(ORDER_CHANGES, following.id, following.now)]
