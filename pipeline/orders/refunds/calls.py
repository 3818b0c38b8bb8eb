"""Calls about refunds: written and leased before they are made, and their answers stored once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, Row, text

from models.states import RefundStatus
from pipeline.gateways import Gateway
from pipeline.gateways.charges import ChargeCall, ChargeVerb, FindRefundAnswer, RefundAnswer, Refunded, RefundState
from pipeline.gateways.gateway import Declined, Details, Unknown
from pipeline.orders.changes import LockedChange, run_changes
from pipeline.orders.charges import schedule_charge_reads
from pipeline.orders.events import LATE_ANSWER, write_change_events
from pipeline.orders.refunds.policy import Make
from pipeline.orders.refunds.row import COLUMNS, Refund, read_refund, store_refunds
from pipeline.settings import Settings

log = structlog.get_logger()

# The number is the next one of the checkout, whose order is locked. A trigger adds up what was captured.
INTEND: Final = text(f"""
    INSERT INTO refunds (change_id, checkout_id, n, idempotency_key, amount_minor, leased_until)
    SELECT i.change_id, i.checkout_id, n.n, i.checkout_id || ':refund_amount:' || n.n, i.amount_minor,
           now() + make_interval(secs => :lease_seconds)
    FROM unnest(CAST(:change_ids AS uuid[]), CAST(:checkout_ids AS uuid[]), CAST(:amounts AS bigint[]))
         AS i (change_id, checkout_id, amount_minor)
    CROSS JOIN LATERAL (SELECT coalesce(max(r.n), 0) + 1 AS n FROM refunds r WHERE r.checkout_id = i.checkout_id) n
    RETURNING {COLUMNS}
""")

# A lease that ended without an answer: its worker crashed, which counts as an attempt, and the call may have been made.
LEASE: Final = text(f"""
    UPDATE refunds
    SET leased_until = now() + make_interval(secs => :lease_seconds), updated_at = now(),
        attempts = attempts + CASE WHEN leased_until IS NULL THEN 0 ELSE 1 END,
        status = CASE WHEN leased_until IS NULL THEN status ELSE 'unknown' END
    WHERE id = ANY(CAST(:ids AS bigint[]))
    RETURNING {COLUMNS}
""")


@dataclass(frozen=True, slots=True)
class PlannedRefund:
    """A leased call about a refund, ready to be made once the transaction that leased it has committed."""

    refund: Refund
    verb: ChargeVerb
    call: ChargeCall

    @property
    def names(self) -> Mapping[str, str]:
        """What a log line says of it."""
        return {"change_id": str(self.refund.change_id), "verb": self.verb, "key": self.call.key}

    def make(self, gateway: Gateway) -> "RefundResult":
        """Make the call."""
        if self.verb is ChargeVerb.FIND_REFUND:
            return RefundResult(self, gateway.find_refund(self.call))
        return RefundResult(self, gateway.refund_amount(self.call))

    def leave(self) -> "RefundResult":
        """Return the result of a call that was not made."""
        return RefundResult(self, None)

    def note(self, error: str) -> "RefundResult":
        """Return the result of a call that raised."""
        return RefundResult(self, Unknown(error))


@dataclass(frozen=True, slots=True)
class RefundResult:
    """A call about a refund and its answer; None when it was not made."""

    planned: PlannedRefund
    answer: RefundAnswer | FindRefundAnswer | None

    @property
    def subject_id(self) -> UUID:
        """The change."""
        return self.planned.refund.change_id


def lease_calls(
    connection: Connection, wanted: Sequence[tuple[LockedChange, Make]], settings: Settings
) -> list[PlannedRefund]:
    """Write the intents of these changes, or lease their rows again: nobody else makes these calls."""
    if not wanted:
        return []
    seconds = settings.gateway_lease_seconds
    by_id = {change.id: (change, make) for change, make in wanted}
    new = [change for change, make in wanted if make.refund is None]
    again = [make.refund.id for _, make in wanted if make.refund is not None]
    rows: list[Row[Any]] = []
    if new:
        intents = {
            "change_ids": [change.id for change in new],
            "checkout_ids": [change.checkout_id for change in new],
            "amounts": [change.amount_minor for change in new],
        }
        rows += connection.execute(INTEND, {**intents, "lease_seconds": seconds}).all()
    if again:
        rows += connection.execute(LEASE, {"ids": again, "lease_seconds": seconds}).all()
    run_changes(connection, [change for change, _ in wanted], seconds, [change.id for change in new])
    planned = []
    for row in rows:
        refund = read_refund(row)
        change, make = by_id[refund.change_id]
        planned.append(PlannedRefund(refund, make.verb, _call(change, refund)))
    return planned


def store_answers(
    connection: Connection, changes: Mapping[UUID, LockedChange], results: Sequence[RefundResult]
) -> dict[UUID, LockedChange]:
    """Store the answers of calls about refunds; return the changes with their refunds as they are now.

    The answer of a lease that was taken over settles the refund if it is definite, and leaves the other lease as it is.
    What comes after a refund is settled changes nothing, and is an event if it says something else.
    """
    after = dict(changes)
    stored: list[Refund] = []
    for each in results:
        change = after[each.subject_id]
        current = next(refund for refund in change.refunds if refund.id == each.planned.refund.id)
        if not current.is_unsettled:
            _note_late(connection, change, current, each)
            continue
        answered = _apply(change, current, each)
        if answered != current:
            stored.append(answered)
            others = tuple(answered if refund.id == answered.id else refund for refund in change.refunds)
            after[change.id] = replace(change, refunds=others)
    store_refunds(connection, stored)
    schedule_charge_reads(connection, [after[each.subject_id].checkout_id for each in results if _is_pending(each)])
    return after


def _is_pending(result: RefundResult) -> bool:
    """Return whether the refund was accepted, and may still fail: the provider's webhook about that may be lost."""
    return isinstance(result.answer, Refunded) and result.answer.refund.state is RefundState.PENDING


def _apply(change: LockedChange, current: Refund, result: RefundResult) -> Refund:
    is_taken_over = current.leased_until != result.planned.refund.leased_until
    if is_taken_over and not isinstance(result.answer, Refunded | Declined):
        return current
    if result.answer is None:
        return replace(current, leased_until=None)
    answered = current.apply(result.answer, change.currency, is_retried=change.is_retried)
    # A back-off counts from the answer: counted from the call, a time-out would use it up.
    return replace(answered, updated_at=change.now)


def _note_late(connection: Connection, change: LockedChange, current: Refund, result: RefundResult) -> None:
    """Record an answer that says something else than what its refund was settled as.

    A refund that was made after all is read from the provider, and adopted.
    """
    is_paid = current.status in (RefundStatus.SUCCEEDED, RefundStatus.RETURNED)
    match result.answer:
        case Refunded() if not is_paid and result.answer.refund.state is not RefundState.FAILED:
            facts = {"operation": result.planned.call.key, "answer": "refunded"}
            schedule_charge_reads(connection, [change.checkout_id], 0)
        case Declined() if is_paid:
            facts = {"operation": result.planned.call.key, "answer": "declined", "code": result.answer.code}
        case _:
            return
    log.warning("refund.late_answer", change_id=str(change.id), **facts)
    write_change_events(connection, {change.id: (LATE_ANSWER, facts)}, [change])


def _call(change: LockedChange, refund: Refund) -> ChargeCall:
    return ChargeCall(
        checkout_id=change.checkout_id,
        reference=change.payment_reference or "",
        key=refund.key or "",
        amount=change.amount,
        token=change.token,
        details=Details(reference=change.order_reference, order_id=change.order_id),
    )
