"""One refund of a part of what was captured: its row, and how an answer of the provider changes it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, assert_never
from uuid import UUID

from sqlalchemy import Connection, Row, text

from models.money import Money
from models.states import RefundStatus
from pipeline.gateways.charges import (
    CannotTell,
    ChargeRefund,
    FindRefundAnswer,
    RefundAbsent,
    RefundAnswer,
    Refunded,
    RefundState,
)
from pipeline.gateways.gateway import Declined, Misconfigured, Transient, Unknown

#: The provider was asked and has no refund with this key: a new key is safe.
ABSENT: Final = "absent"
#: The provider cannot be asked for a refund by its key: only a person can say what happened.
CANNOT_TELL: Final = "cannot_tell"
#: The provider refuses the access, not the refund.
MISCONFIGURED: Final = "misconfigured"
#: The provider shows the refund as failed.
REFUND_FAILED: Final = "refund_failed"
#: A person has said what happened.
SETTLED_BY_PERSON: Final = "settled_by_person"

#: In the order in which `read_refund` takes them.
COLUMNS: Final = """id, change_id, checkout_id, n, idempotency_key, amount_minor, status, reference, leased_until,
    attempts, code, last_error, created_at, updated_at"""
LOAD: Final = text(f"""
    SELECT {COLUMNS} FROM refunds WHERE change_id = ANY(CAST(:ids AS uuid[])) ORDER BY change_id, n
""")
OF_CHECKOUT: Final = text(f"SELECT {COLUMNS} FROM refunds WHERE checkout_id = :checkout_id ORDER BY n")
FIND: Final = text(f"SELECT {COLUMNS} FROM refunds WHERE idempotency_key = ANY(CAST(:keys AS text[]))")

STORE: Final = text("""
    UPDATE refunds r
    SET status = s.status, reference = s.reference, leased_until = s.leased_until, attempts = s.attempts,
        code = s.code, last_error = s.last_error, updated_at = now()
    FROM unnest(CAST(:ids AS bigint[]), CAST(:statuses AS text[]), CAST(:references AS text[]),
                CAST(:leases AS timestamptz[]), CAST(:attempts AS smallint[]), CAST(:codes AS text[]),
                CAST(:errors AS text[])) AS s (id, status, reference, leased_until, attempts, code, last_error)
    WHERE r.id = s.id
""")

UNSETTLED: Final = frozenset({RefundStatus.INTENDED, RefundStatus.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Refund:
    """One row of `refunds`. `key` is None for one that was made at the provider."""

    id: int
    change_id: UUID
    checkout_id: UUID
    n: int
    key: str | None
    amount_minor: int
    status: RefundStatus
    reference: str | None
    leased_until: datetime | None
    attempts: int
    code: str | None
    last_error: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def is_unsettled(self) -> bool:
        """Whether its outcome is not known."""
        return self.status in UNSETTLED

    def settle(self, status: RefundStatus, code: str | None = None, error: str | None = None) -> "Refund":
        """Return it with its outcome and without a lease."""
        return replace(self, status=status, code=code, last_error=error or None, leased_until=None)

    def show(self, shown: ChargeRefund, currency: str) -> "Refund":
        """Return it, unsettled until now, as the provider shows it. What is pending was accepted."""
        if shown.amount != Money(self.amount_minor, currency):
            error = f"the provider shows {shown.amount} for it"
            return self.settle(RefundStatus.UNKNOWN, CANNOT_TELL, error)
        known = replace(self, reference=self.reference or shown.reference)
        if shown.state is RefundState.FAILED:
            return known.settle(RefundStatus.DECLINED, REFUND_FAILED, shown.failure)
        return known.settle(RefundStatus.SUCCEEDED)

    def apply(self, answer: RefundAnswer | FindRefundAnswer, currency: str, *, is_retried: bool) -> "Refund":
        """Return it with the answer of a call applied. One that is settled keeps its outcome.

        `is_retried`: a person has said that it was not made, which counts where the provider cannot tell.
        """
        if not self.is_unsettled:
            return self
        match answer:
            case Refunded():
                return self.show(answer.refund, currency)
            case Declined():
                return self.settle(RefundStatus.DECLINED, answer.code, answer.message)
            case RefundAbsent():
                return self.settle(RefundStatus.DECLINED, ABSENT, self.last_error)
            case CannotTell() if is_retried:
                return self.settle(RefundStatus.DECLINED, ABSENT, answer.error)
            case CannotTell():
                return self.settle(self.status, CANNOT_TELL, self.last_error or answer.error)
            case Misconfigured():
                return self._count(self.status, MISCONFIGURED, answer.error)
            case Transient():
                return self._count(self.status, None, answer.error)
            case Unknown():
                return self._count(RefundStatus.UNKNOWN, None, answer.error)
            case _:
                assert_never(answer)

    def _count(self, status: RefundStatus, code: str | None, error: str) -> "Refund":
        return replace(self.settle(status, code, error[:1000]), attempts=self.attempts + 1)


def load_refunds(connection: Connection, change_ids: Sequence[UUID]) -> dict[UUID, list[Refund]]:
    """Return the refunds of these changes, oldest first."""
    found: dict[UUID, list[Refund]] = defaultdict(list)
    if change_ids:
        for row in connection.execute(LOAD, {"ids": list(change_ids)}):
            found[row.change_id].append(read_refund(row))
    return found


def load_refunds_of(connection: Connection, checkout_id: UUID) -> list[Refund]:
    """Return all refunds of a checkout's payment, oldest first."""
    return [read_refund(row) for row in connection.execute(OF_CHECKOUT, {"checkout_id": checkout_id})]


def find_refunds(connection: Connection, keys: Sequence[str]) -> dict[str, Refund]:
    """Return the refunds with these idempotency keys, which a provider shows as their `operation_id`."""
    rows = connection.execute(FIND, {"keys": list(keys)}).all() if keys else []
    return {row.idempotency_key: read_refund(row) for row in rows}


def store_refunds(connection: Connection, refunds: Sequence[Refund]) -> None:
    """Write these rows. Their orders are locked."""
    if refunds:
        connection.execute(
            STORE,
            {
                "ids": [each.id for each in refunds],
                "statuses": [each.status for each in refunds],
                "references": [each.reference for each in refunds],
                "leases": [each.leased_until for each in refunds],
                "attempts": [each.attempts for each in refunds],
                "codes": [each.code for each in refunds],
                "errors": [each.last_error for each in refunds],
            },
        )


def read_refund(row: Row[Any]) -> Refund:
    """Return the refund of its columns, in their order."""
    id_, change_id, checkout_id, n, key, amount_minor, status, *rest = tuple(row)
    return Refund(id_, change_id, checkout_id, n, key, amount_minor, RefundStatus(status), *rest)
