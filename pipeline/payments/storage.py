"""Gateway calls after they were made: the payments' books, and the answers written into them."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.money import Money
from models.states import ENDINGS, PaymentStatus
from pipeline.checkouts import LockedCheckout
from pipeline.checkouts.events import write_events
from pipeline.gateways.gateway import Succeeded
from pipeline.payments.late_funds import note_late_funds
from pipeline.payments.leases import OPERATION, CallResult, read_operation
from pipeline.payments.operation import Operation
from pipeline.payments.payment import PaymentState

#: How many columns of `BOOKS` are a payment's, before those of one of its operations.
_PAYMENT_COLUMNS: Final = 11

# A row for each operation, with its payment beside it; one for a payment without any.
BOOKS: Final = text(f"""
    SELECT l.checkout_id, coalesce(p.gateway, '') AS gateway, coalesce(p.token, '') AS token,
           coalesce(p.attempts, 0) AS attempts, p.reference, coalesce(p.status, 'new') AS status, p.action,
           p.authorized_until, l.total_minor, l.currency, o.total_minor AS order_minor, {OPERATION}
    FROM price_locks l LEFT JOIN payments p USING (checkout_id) LEFT JOIN orders o USING (checkout_id)
    LEFT JOIN payment_operations USING (checkout_id)
    WHERE l.checkout_id = ANY(CAST(:ids AS uuid[]))
""")

# In one round trip: how the operations stand, and the payments.
SETTLE: Final = text("""
    WITH settled AS (
        UPDATE payment_operations o
        SET status = s.status, code = s.code, last_error = s.last_error, attempts = s.attempts,
            leased_until = s.leased_until, updated_at = now()
        FROM unnest(CAST(:operation_ids AS bigint[]), CAST(:operation_statuses AS text[]), CAST(:codes AS text[]),
                    CAST(:errors AS text[]), CAST(:attempts AS smallint[]), CAST(:leases AS timestamptz[]))
             AS s (id, status, code, last_error, attempts, leased_until)
        WHERE o.id = s.id
    )
    UPDATE payments p
    SET status = s.status, reference = s.reference, action = CAST(s.action AS jsonb),
        authorized_until = s.authorized_until, updated_at = now()
    FROM unnest(CAST(:checkout_ids AS uuid[]), CAST(:statuses AS text[]), CAST(:references AS text[]),
                CAST(:actions AS text[]), CAST(:untils AS timestamptz[]))
         AS s (id, status, reference, action, authorized_until)
    WHERE p.checkout_id = s.id
""")

ABANDON: Final = text("""
    UPDATE payment_operations SET status = 'declined', code = 'abandoned', leased_until = NULL, updated_at = now()
    WHERE checkout_id = ANY(CAST(:ids AS uuid[])) AND status IN ('intended', 'unknown')
""")


def load_payments(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, PaymentState]:
    """Read the payments of these checkouts: none without a price lock, empty ones without a payment."""
    if not ids:
        return {}
    rows = connection.execute(BOOKS, {"ids": list(ids)}).all()
    payments = {row[0]: row[:_PAYMENT_COLUMNS] for row in rows}
    operations: dict[UUID, list[Operation]] = defaultdict(list)
    for row in rows:
        kind, *rest = row[_PAYMENT_COLUMNS:]
        if kind is not None:
            operations[row[0]].append(read_operation(kind, *rest))
    return {id_: _read_payments(*row, operations=tuple(operations[id_])) for id_, row in payments.items()}


def store_results(
    connection: Connection,
    checkouts: Sequence[LockedCheckout],
    answers: Sequence[CallResult],
    before: Mapping[UUID, PaymentState] | None = None,
) -> dict[UUID, PaymentState]:
    """Write the answers down and return the books as they now stand, of all these checkouts.

    The members must be locked; `before` are their books, if they have been read under this lock. An answer that comes
    after the checkout has turned (its fence is older) is written down all the same, as an event too; what follows from
    it is decided on the stored payment, by the worker of the checkout.
    """
    if before is None:
        before = load_payments(connection, [checkout.id for checkout in checkouts])
    after = dict(before)
    for each in answers:
        payment = after[each.planned.call.checkout_id]
        current = payment.find(each.planned.operation.kind, each.planned.operation.n)
        if current is not None:
            after[payment.checkout_id] = _record(payment, current, each, checkouts[0].now)
    _write(connection, before, after)
    _note_late(connection, checkouts, answers)
    ended = [each.id for each in checkouts if each.state in ENDINGS and each.id in after]
    note_late_funds(connection, ended, before, after)
    return after


def _record(payment: PaymentState, operation: Operation, answered: CallResult, now: datetime) -> PaymentState:
    # A caller that was suspended for longer than its lease: the next lease is kept.
    is_taken_over = operation.leased_until != answered.planned.operation.leased_until
    if answered.answer is None:
        return payment if is_taken_over else payment.free(operation)
    # A back-off counts from the answer: from the call, a time-out would have used it up already.
    current = replace(operation, updated_at=now)
    if answered.planned.is_poll:
        after = payment.apply_retrieved_status(current, answered.answer, answered.planned.seen)
    else:
        after = payment.apply_result(current, answered.answer)
    return after.hold(operation) if is_taken_over else after


def abandon(connection: Connection, ids: Sequence[UUID]) -> None:
    """Close what is still unanswered and can no longer have an effect."""
    if ids:
        connection.execute(ABANDON, {"ids": list(ids)})


def _write(connection: Connection, before: Mapping[UUID, PaymentState], after: Mapping[UUID, PaymentState]) -> None:
    operations = [
        new
        for id_, payment in after.items()
        for old, new in zip(before[id_].operations, payment.operations, strict=True)
        if new != old
    ]
    payments = [payment for id_, payment in after.items() if _facts(payment) != _facts(before[id_])]
    if operations or payments:
        connection.execute(
            SETTLE,
            {
                "operation_ids": [each.id for each in operations],
                "operation_statuses": [each.status for each in operations],
                "codes": [each.code for each in operations],
                "errors": [each.last_error for each in operations],
                "attempts": [each.attempts for each in operations],
                "leases": [each.leased_until for each in operations],
                "checkout_ids": [payment.checkout_id for payment in payments],
                "statuses": [payment.status for payment in payments],
                "references": [payment.reference for payment in payments],
                "actions": [None if payment.action is None else json.dumps(payment.action) for payment in payments],
                "untils": [payment.authorized_until for payment in payments],
            },
        )


def _facts(payment: PaymentState) -> tuple[object, ...]:
    return payment.status, payment.reference, payment.action, payment.authorized_until


def _note_late(connection: Connection, checkouts: Sequence[LockedCheckout], answers: Sequence[CallResult]) -> None:
    fences = {checkout.id: checkout.fence for checkout in checkouts}
    late = {
        each.planned.call.checkout_id: {
            "operation": each.planned.call.key,
            "answer": type(each.answer).__name__,
            "status": each.answer.status if isinstance(each.answer, Succeeded) else None,
        }
        for each in answers
        if not each.planned.is_poll
        and each.answer is not None
        and fences[each.planned.call.checkout_id] != each.planned.operation.fence
    }
    write_events(connection, "payment.late_answer", list(late), data=late)


def _read_payments(
    checkout_id: UUID,
    gateway: str,
    token: str,
    attempts: int,
    reference: str | None,
    status: str,
    action: dict[str, Any] | None,
    authorized_until: datetime | None,
    total_minor: int,
    currency: str,
    order_minor: int | None,
    *,
    operations: tuple[Operation, ...],
) -> PaymentState:
    """Make the books of a payment's columns in `BOOKS`, in their order."""
    return PaymentState(
        checkout_id=checkout_id,
        gateway=gateway,
        token=token,
        attempts=attempts,
        reference=reference,
        status=PaymentStatus(status),
        action=action,
        amount=Money(total_minor, currency),
        order_minor=order_minor,
        authorized_until=authorized_until,
        operations=operations,
    )
