"""Gateway calls as rows: written and claimed before the call, answered after it, each in its own transaction."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.money import Money
from models.states import ENDINGS, OperationKind, OperationStatus, PaymentStatus
from pipeline.batch import Member
from pipeline.books import Books, Intent, Verb
from pipeline.events import write_events
from pipeline.gateways.protocol import Answer, Call, Succeeded
from pipeline.late import note_taken_back
from pipeline.outcomes import Operation

PAYMENTS: Final = text("""
    SELECT l.checkout_id, coalesce(p.gateway, '') AS gateway, coalesce(p.token, '') AS token,
           coalesce(p.tries, 0) AS tries, p.reference, coalesce(p.status, 'new') AS status, p.action,
           p.authorized_until, l.total_minor, l.currency, o.total_minor AS order_minor
    FROM price_locks l LEFT JOIN payments p USING (checkout_id) LEFT JOIN orders o USING (checkout_id)
    WHERE l.checkout_id = ANY(CAST(:ids AS uuid[]))
""")

#: In the order of the fields of `Operation`.
_OPERATION: Final = "kind, n, status, fence, attempts, id, claimed_until, code, last_error, created_at, updated_at"

OPERATIONS: Final = text(f"""
    SELECT checkout_id, {_OPERATION} FROM payment_operations WHERE checkout_id = ANY(CAST(:ids AS uuid[]))
""")

# A look claims the operation that it may settle, and is no new attempt of it: the fence stays.
CLAIM: Final = text(f"""
    INSERT INTO payment_operations (checkout_id, kind, n, idempotency_key, amount_minor, fence, claimed_until)
    SELECT id, kind, n, id || ':' || kind || ':' || n, amount, CASE WHEN look THEN -1 ELSE fence END,
           now() + make_interval(secs => :claim_seconds)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:kinds AS text[]), CAST(:ns AS smallint[]), CAST(:amounts AS bigint[]),
                CAST(:fences AS integer[]), CAST(:looks AS boolean[])) AS intended (id, kind, n, amount, fence, look)
    ON CONFLICT (checkout_id, kind, n) DO UPDATE
    SET fence = greatest(EXCLUDED.fence, payment_operations.fence), claimed_until = EXCLUDED.claimed_until,
        updated_at = CASE WHEN EXCLUDED.fence < 0 THEN payment_operations.updated_at ELSE now() END,
        -- A claim that ran out without an answer: its caller died, and that counts.
        attempts = payment_operations.attempts
                   + CASE WHEN EXCLUDED.fence < 0 OR payment_operations.claimed_until IS NULL THEN 0 ELSE 1 END
    RETURNING checkout_id, idempotency_key, amount_minor, {_OPERATION}
""")

SETTLE: Final = text("""
    UPDATE payment_operations o
    SET status = s.status, code = s.code, last_error = s.last_error, attempts = s.attempts,
        claimed_until = s.claimed_until, updated_at = now()
    FROM unnest(CAST(:ids AS bigint[]), CAST(:statuses AS text[]), CAST(:codes AS text[]), CAST(:errors AS text[]),
                CAST(:attempts AS smallint[]), CAST(:claims AS timestamptz[]))
         AS s (id, status, code, last_error, attempts, claimed_until)
    WHERE o.id = s.id
""")

PAY: Final = text("""
    UPDATE payments p
    SET status = s.status, reference = s.reference, action = CAST(s.action AS jsonb),
        authorized_until = s.authorized_until, updated_at = now()
    FROM unnest(CAST(:ids AS uuid[]), CAST(:statuses AS text[]), CAST(:references AS text[]), CAST(:actions AS text[]),
                CAST(:untils AS timestamptz[])) AS s (id, status, reference, action, authorized_until)
    WHERE p.checkout_id = s.id
""")


ABANDON: Final = text("""
    UPDATE payment_operations SET status = 'declined', code = 'abandoned', claimed_until = NULL, updated_at = now()
    WHERE checkout_id = ANY(CAST(:ids AS uuid[])) AND status IN ('intended', 'unknown')
""")


class AmountError(ValueError):
    """Raised when a call would move another amount than the frozen one. Nothing is called then."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A claimed call, ready to be made once the transaction that claimed it has committed.

    `seen` is what we thought of the payment when it was planned.
    """

    operation: Operation
    verb: Verb
    call: Call
    seen: PaymentStatus

    @property
    def look(self) -> bool:
        """Whether it only looks."""
        return self.verb is Verb.RETRIEVE


@dataclass(frozen=True, slots=True)
class Answered:
    """A call and what came back; None when it was not made."""

    planned: Planned
    answer: Answer | None


def load_books(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Books]:
    """Read the payments of these checkouts: none without a price lock, empty ones without a payment."""
    if not ids:
        return {}
    operations = defaultdict(list)
    for checkout_id, *fields in connection.execute(OPERATIONS, {"ids": list(ids)}):
        operations[checkout_id].append(_operation(*fields))
    rows = connection.execute(PAYMENTS, {"ids": list(ids)})
    return {row[0]: _read_books(*row, operations=tuple(operations[row[0]])) for row in rows}


def claim(
    connection: Connection, intents: Sequence[tuple[Member, Books, Intent]], *, claim_seconds: float
) -> list[Planned]:
    """Write the intents of a batch (a repeat finds its row) and claim them: nobody else makes these calls meanwhile."""
    if not intents:
        return []
    wanted = {(member.id, intent.kind, intent.n): (books, intent) for member, books, intent in intents}
    rows = connection.execute(
        CLAIM,
        {
            "claim_seconds": claim_seconds,
            "ids": [member.id for member, _, _ in intents],
            "kinds": [intent.kind for _, _, intent in intents],
            "ns": [intent.n for _, _, intent in intents],
            "amounts": [books.amount.minor for _, books, _ in intents],
            "fences": [member.fence for member, _, _ in intents],
            "looks": [intent.verb is Verb.RETRIEVE for _, _, intent in intents],
        },
    )
    planned = []
    for checkout_id, key, amount_minor, *fields in rows:
        operation = _operation(*fields)
        books, intent = wanted[checkout_id, operation.kind, operation.n]
        if amount_minor != books.amount.minor:
            raise AmountError(f"{key} is for {amount_minor}, the lock for {books.amount}")
        call = Call(checkout_id=checkout_id, key=key, amount=books.amount, token=books.token, reference=books.reference)
        planned.append(Planned(operation, intent.verb, call, books.status))
    return planned


def record(
    connection: Connection,
    members: Sequence[Member],
    answers: Sequence[Answered],
    before: Mapping[UUID, Books] | None = None,
) -> dict[UUID, Books]:
    """Write the answers down and return the books as they now stand, of all these checkouts.

    The members must be locked; `before` are their books, if they have been read under this lock. An answer that comes
    after the checkout has turned (its fence is older) is written down all the same, as an event too; what follows from
    it is decided on the books, by whoever works on the checkout.
    """
    if before is None:
        before = load_books(connection, [member.id for member in members])
    after = dict(before)
    for each in answers:
        books = after[each.planned.call.checkout_id]
        current = books.find(each.planned.operation.kind, each.planned.operation.n)
        if current is not None:
            after[books.checkout_id] = _record(books, current, each, members[0].now)
    _write(connection, before, after)
    _note_late(connection, members, answers)
    ended = [each.id for each in members if each.state in ENDINGS and each.id in after]
    note_taken_back(connection, ended, before, after)
    return after


def _record(books: Books, operation: Operation, answered: Answered, now: datetime) -> Books:
    # A caller that was frozen for longer than its claim: whoever has taken over keeps theirs.
    is_taken_over = operation.claimed_until != answered.planned.operation.claimed_until
    if answered.answer is None:
        return books if is_taken_over else books.free(operation)
    # A back-off counts from the answer: from the call, a time-out would have used it up already.
    current = replace(operation, updated_at=now)
    if answered.planned.look:
        after = books.observe(current, answered.answer, answered.planned.seen)
    else:
        after = books.record(current, answered.answer)
    return after.hold(operation) if is_taken_over else after


def abandon(connection: Connection, ids: Sequence[UUID]) -> None:
    """Close what is still unanswered and can no longer have an effect."""
    if ids:
        connection.execute(ABANDON, {"ids": list(ids)})


def _write(connection: Connection, before: Mapping[UUID, Books], after: Mapping[UUID, Books]) -> None:
    operations = [
        new
        for id_, books in after.items()
        for old, new in zip(before[id_].operations, books.operations, strict=True)
        if new != old
    ]
    if operations:
        connection.execute(
            SETTLE,
            {
                "ids": [each.id for each in operations],
                "statuses": [each.status for each in operations],
                "codes": [each.code for each in operations],
                "errors": [each.last_error for each in operations],
                "attempts": [each.attempts for each in operations],
                "claims": [each.claimed_until for each in operations],
            },
        )
    payments = [books for id_, books in after.items() if _facts(books) != _facts(before[id_])]
    if payments:
        connection.execute(
            PAY,
            {
                "ids": [books.checkout_id for books in payments],
                "statuses": [books.status for books in payments],
                "references": [books.reference for books in payments],
                "actions": [None if books.action is None else json.dumps(books.action) for books in payments],
                "untils": [books.authorized_until for books in payments],
            },
        )


def _facts(books: Books) -> tuple[object, ...]:
    return books.status, books.reference, books.action, books.authorized_until


def _note_late(connection: Connection, members: Sequence[Member], answers: Sequence[Answered]) -> None:
    fences = {member.id: member.fence for member in members}
    late = {
        each.planned.call.checkout_id: {
            "operation": each.planned.call.key,
            "answer": type(each.answer).__name__,
            "status": each.answer.status if isinstance(each.answer, Succeeded) else None,
        }
        for each in answers
        if not each.planned.look
        and each.answer is not None
        and fences[each.planned.call.checkout_id] != each.planned.operation.fence
    }
    write_events(connection, "payment.late_answer", list(late), data=late)


def _read_books(
    checkout_id: UUID,
    gateway: str,
    token: str,
    tries: int,
    reference: str | None,
    status: str,
    action: dict[str, Any] | None,
    authorized_until: datetime | None,
    total_minor: int,
    currency: str,
    order_minor: int | None,
    *,
    operations: tuple[Operation, ...],
) -> Books:
    """Make the books of the columns of `PAYMENTS`, in their order."""
    return Books(
        checkout_id=checkout_id,
        gateway=gateway,
        token=token,
        tries=tries,
        reference=reference,
        status=PaymentStatus(status),
        action=action,
        amount=Money(total_minor, currency),
        order_minor=order_minor,
        authorized_until=authorized_until,
        operations=operations,
    )


def _operation(kind: str, n: int, status: str, *rest: Any) -> Operation:
    """Make an operation of the columns `_OPERATION`."""
    return Operation(OperationKind(kind), n, OperationStatus(status), *rest)
