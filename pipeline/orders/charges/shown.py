"""Applies what the provider shows of a captured payment: refunds and disputes, whoever made them.

A refund with a key of the engine's settles that refund. Any other is adopted: a done change of the actor `provider`. So
is a dispute, which ends when it is won or lost. All of it is safe to repeat, under the order's row lock.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, text
from uuid_utils.compat import uuid7

from models.limits import MAX_REASON
from models.money import Money
from models.states import ChangeKind, ChangeState, RefundStatus
from pipeline.checkouts.events import write_events
from pipeline.checkouts.order_conditions import IS_TO_DO
from pipeline.database.wake_ups import wake_after_commit
from pipeline.gateways.charges import Charge, ChargeDispute, ChargeRefund, DisputeState, RefundState
from pipeline.messaging import OutgoingMessage
from pipeline.messaging.ports import ORDER_CHANGES
from pipeline.orders.events import DONE_EVENTS
from pipeline.orders.refunds import Refund, ShownEffect, apply_shown_refund
from pipeline.orders.refunds.row import load_refunds_of
from pipeline.settings import Settings

log = structlog.get_logger()

#: Who made what was not asked for here.
PROVIDER: Final = "provider"
MADE_THERE: Final = "made at the provider"

#: A dispute was opened, decided, or is about another amount. Its data has the `state`.
DISPUTED: Final = "order.disputed"

DISPUTES: Final = text("""
    SELECT id, reference, state, amount_minor, outcome ->> 'state' AS dispute_state FROM order_changes
    WHERE order_id = :order_id AND kind = 'dispute'
""")

# What was captured, what is refunded or on its way to be, and the changes that may still move money. A change to do
# counts by its refund once it has one.
ROOM: Final = text(f"""
    SELECT coalesce((SELECT sum(amount_minor) FROM payment_operations
                     WHERE checkout_id = :checkout_id AND kind = 'capture' AND status = 'succeeded'), 0)
           - coalesce((SELECT sum(amount_minor) FROM refunds
                       WHERE checkout_id = :checkout_id AND status IN ('intended', 'unknown', 'succeeded')), 0)
           - coalesce(sum(c.amount_minor) FILTER (WHERE NOT EXISTS (
                 SELECT FROM refunds r
                 WHERE r.change_id = c.id AND r.status IN ('intended', 'unknown', 'succeeded'))), 0)
               AS free_minor,
           coalesce(array_agg(c.id ORDER BY c.id), '{{}}') AS to_do, now() AS now
    FROM order_changes c WHERE c.order_id = :order_id AND c.kind IN ('cancel', 'refund') AND {IS_TO_DO}
""")

ADOPT: Final = text("""
    INSERT INTO order_changes (id, order_id, checkout_id, owner, kind, state, amount_minor, actor, reason, reference,
                               outcome, ended_at)
    VALUES (:id, :order_id, :checkout_id, :owner, :kind, :state, :amount_minor, :actor, :reason, :reference,
            CAST(:outcome AS jsonb), CASE WHEN :state = 'done' THEN now() END)
""")

ADOPT_REFUND: Final = text("""
    INSERT INTO refunds (change_id, checkout_id, n, amount_minor, status, reference)
    SELECT :change_id, :checkout_id, coalesce(max(n), 0) + 1, :amount_minor, 'succeeded', :reference
    FROM refunds WHERE checkout_id = :checkout_id
""")

UPDATE_DISPUTE: Final = text("""
    UPDATE order_changes
    SET state = :state, amount_minor = :amount_minor, outcome = outcome || CAST(:outcome AS jsonb), updated_at = now(),
        ended_at = CASE WHEN :state = 'done' THEN coalesce(ended_at, now()) END
    WHERE id = :id
""")


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """The order of a charge."""

    id: UUID
    checkout_id: UUID
    owner: str
    number: int | None
    currency: str


@dataclass(slots=True)
class Applied:
    """What a charge led to. `postponed` refunds are adopted later, once those of `messages` are settled."""

    messages: list[OutgoingMessage] = field(default_factory=list)
    adopted: int = 0
    settled: int = 0
    disputes: int = 0
    postponed: int = 0


def apply_charge(connection: Connection, order: PlacedOrder, charge: Charge, settings: Settings) -> Applied:
    """Apply a charge under the row lock of its order. The caller makes sure that no newer one was applied."""
    applied = Applied()
    refunds = load_refunds_of(connection, order.checkout_id)
    foreign: list[ChargeRefund] = []
    # Those of the engine first: what is adopted must fit in what they leave.
    for shown in charge.refunds:
        refund = _find(shown, refunds)
        if refund is None:
            foreign.append(shown)
        elif Money(refund.amount_minor, order.currency) != shown.amount:
            # The reconciler reports it: no rule says which of them is right.
            log.error("charge.amount_differs", checkout_id=str(order.checkout_id), refund=shown.reference)
        else:
            result = apply_shown_refund(connection, refund, shown, settings)
            applied.settled += result.effect in (ShownEffect.SETTLED, ShownEffect.RETURNED)
            applied.messages += result.messages
    for shown in foreign:
        if shown.state is not RefundState.FAILED:
            _adopt(connection, order, shown, applied)
    _apply_disputes(connection, order, charge.disputes, applied)
    return applied


def _find(shown: ChargeRefund, refunds: Sequence[Refund]) -> Refund | None:
    """Return the stored refund that this is. One that was declined, and exists all the same, is adopted instead."""
    for refund in refunds:
        if refund.reference == shown.reference:
            # One that failed before its outcome was known was declined: nothing is left to do for it.
            return refund
    by_key = (each for each in refunds if each.key is not None and each.key == shown.operation_id)
    return next((each for each in by_key if each.reference is None and each.status is not RefundStatus.DECLINED), None)


def _adopt(connection: Connection, order: PlacedOrder, shown: ChargeRefund, applied: Applied) -> None:
    of_order = {"order_id": order.id, "checkout_id": order.checkout_id}
    room = connection.execute(ROOM, of_order).one()
    if shown.amount.minor > room.free_minor or shown.amount.currency != order.currency:
        # One of the engine's refunds is on its way, and the provider will refuse it; or a person must settle one.
        applied.postponed += 1
        applied.messages += [OutgoingMessage(ORDER_CHANGES, change_id, room.now) for change_id in room.to_do]
        log.warning("charge.adoption_postponed", checkout_id=str(order.checkout_id), refund=shown.reference)
        return
    change_id = uuid7()
    amount = shown.amount.minor
    _insert(connection, order, change_id, ChangeKind.REFUND, ChangeState.DONE, amount, shown.reference, {})
    connection.execute(
        ADOPT_REFUND,
        {
            "change_id": change_id,
            "checkout_id": order.checkout_id,
            "amount_minor": amount,
            "reference": shown.reference,
        },
    )
    _tell(connection, DONE_EVENTS[ChangeKind.REFUND], order, change_id, amount, {"reference": shown.reference})
    applied.adopted += 1


def _apply_disputes(
    connection: Connection, order: PlacedOrder, disputes: Sequence[ChargeDispute], applied: Applied
) -> None:
    if not disputes:
        return
    known = {row.reference: row for row in connection.execute(DISPUTES, {"order_id": order.id})}
    for shown in disputes:
        row, amount = known.get(shown.reference), shown.amount.minor
        if shown.amount.currency != order.currency:
            log.error("charge.dispute_currency", checkout_id=str(order.checkout_id), dispute=shown.reference)
            continue
        if amount <= 0 or (row is not None and (row.dispute_state, row.amount_minor) == (shown.state, amount)):
            continue
        state = ChangeState.RUNNING if shown.state is DisputeState.OPEN else ChangeState.DONE
        outcome = {"state": shown.state.value, "reason": shown.reason[:MAX_REASON]}
        if row is None:
            change_id = uuid7()
            _insert(connection, order, change_id, ChangeKind.DISPUTE, state, amount, shown.reference, outcome)
        else:
            change_id = row.id
            connection.execute(
                UPDATE_DISPUTE, {"id": change_id, "state": state, "amount_minor": amount, "outcome": _json(outcome)}
            )
        _tell(connection, DISPUTED, order, change_id, amount, {"reference": shown.reference, **outcome})
        applied.disputes += 1


def _insert(
    connection: Connection,
    order: PlacedOrder,
    change_id: UUID,
    kind: ChangeKind,
    state: ChangeState,
    amount_minor: int,
    reference: str,
    outcome: Mapping[str, str],
) -> None:
    connection.execute(
        ADOPT,
        {
            "id": change_id,
            "order_id": order.id,
            "checkout_id": order.checkout_id,
            "owner": order.owner,
            "kind": kind,
            "state": state,
            "amount_minor": amount_minor,
            "actor": PROVIDER,
            "reason": MADE_THERE if kind is ChangeKind.REFUND else outcome.get("reason", ""),
            "reference": reference,
            "outcome": _json(outcome),
        },
    )


def _tell(
    connection: Connection,
    event: str,
    order: PlacedOrder,
    change_id: UUID,
    amount_minor: int,
    facts: Mapping[str, str],
) -> None:
    data: dict[str, object] = {
        "change_id": str(change_id),
        "order_id": str(order.id),
        "number": order.number,
        "kind": ChangeKind.DISPUTE if event == DISPUTED else ChangeKind.REFUND,
        "amount_minor": amount_minor,
        "currency": order.currency,
        "lines": [],
        "actor": PROVIDER,
        "reason": facts.get("reason", MADE_THERE),
        **facts,
    }
    write_events(connection, event, [order.checkout_id], data={order.checkout_id: data})
    wake_after_commit(connection, [change_id])


def _json(outcome: Mapping[str, str]) -> str:
    return json.dumps(dict(outcome))
