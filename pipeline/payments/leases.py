"""Leases: gateway calls are written as rows and leased before they are made, so that only one worker makes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from models.states import OperationKind, OperationStatus, PaymentStatus
from pipeline.checkouts import LockedCheckout
from pipeline.gateways.gateway import Answer, Call, Verb
from pipeline.payments.details import DETAILS, read_details
from pipeline.payments.operation import Operation
from pipeline.payments.payment import Intent, PaymentState
from pipeline.settings import Settings

#: In the order of the fields of `Operation`.
_COLUMNS: Final = "kind n status fence attempts id leased_until code last_error created_at updated_at"
OPERATION: Final = ", ".join(f"payment_operations.{column}" for column in _COLUMNS.split(" "))

# In one round trip: the checkouts that are held for the call, and the call.
# While its call is out, a checkout is due only when the lease has run out, and its stock is held for the payment. A
# status poll holds nothing longer: a storefront may ask as often as it likes. What was held within the last tenth of a
# lease is left as it is: a sweep that comes so much too early finds the lease in the books, and waits for it.
# A status poll leases the operation that it may settle, and is no new attempt of it: :polling names its checkout, and
# the fence stays.
LEASE: Final = text(f"""
    WITH held AS (
        UPDATE checkouts
        SET due_at = now() + make_interval(secs => :lease_seconds), due_reason = 'scheduled', updated_at = now(),
            expires_at = CASE WHEN id = ANY(CAST(:polling AS uuid[])) THEN expires_at
                              ELSE greatest(expires_at, now() + make_interval(secs => :window_seconds)) END,
            pivot_at = CASE WHEN :pivot THEN coalesce(pivot_at, now()) ELSE pivot_at END
        WHERE id = ANY(CAST(:holding AS uuid[]))
          AND (due_reason IS DISTINCT FROM 'scheduled' OR due_at < now() + make_interval(secs => 0.9 * :lease_seconds)
               OR (:pivot AND pivot_at IS NULL)
               OR (id <> ALL(CAST(:polling AS uuid[]))
                   AND expires_at < now() + make_interval(secs => :window_seconds - 0.1 * :lease_seconds)))
    )
    INSERT INTO payment_operations (checkout_id, kind, n, idempotency_key, amount_minor, fence, leased_until)
    SELECT id, kind, n, id || ':' || kind || ':' || n, amount, fence, now() + make_interval(secs => :lease_seconds)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:kinds AS text[]), CAST(:ns AS smallint[]), CAST(:amounts AS bigint[]),
                CAST(:fences AS integer[])) AS intended (id, kind, n, amount, fence)
    ON CONFLICT (checkout_id, kind, n) DO UPDATE
    SET leased_until = EXCLUDED.leased_until,
        fence = CASE WHEN EXCLUDED.checkout_id = ANY(CAST(:polling AS uuid[])) THEN payment_operations.fence
                     ELSE greatest(EXCLUDED.fence, payment_operations.fence) END,
        updated_at = CASE WHEN EXCLUDED.checkout_id = ANY(CAST(:polling AS uuid[])) THEN payment_operations.updated_at
                          ELSE now() END,
        -- A lease that ran out without an answer: its caller died, and that counts.
        attempts = payment_operations.attempts
                   + CASE WHEN EXCLUDED.checkout_id = ANY(CAST(:polling AS uuid[]))
                               OR payment_operations.leased_until IS NULL THEN 0 ELSE 1 END
    RETURNING checkout_id, idempotency_key, amount_minor, {DETAILS}, {OPERATION}
""")


class AmountError(ValueError):
    """Raised when a call would move another amount than the frozen one. Nothing is called then."""


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A leased call, ready to be made once the transaction that leased it has committed.

    `seen` is what we thought of the payment when it was planned.
    """

    operation: Operation
    verb: Verb
    call: Call
    seen: PaymentStatus

    @property
    def is_poll(self) -> bool:
        """Whether it only asks for the payment's status."""
        return self.verb is Verb.RETRIEVE


@dataclass(frozen=True, slots=True)
class CallResult:
    """A call and what came back; None when it was not made."""

    planned: PlannedCall
    answer: Answer | None


def take_leases(
    connection: Connection,
    intents: Sequence[tuple[LockedCheckout, PaymentState, Intent]],
    settings: Settings,
    *,
    hold: bool = True,
    pivot: bool = False,
) -> list[PlannedCall]:
    """Write the intents of a batch (a repeat finds its row) and lease them: no other worker makes these calls
    meanwhile.

    Their checkouts are held for it: the sweep stays away, and their stock and prices last until the payment is through.
    Not with `hold=False`, for status polls beside the work. With `pivot`, from here on nothing is undone by wish
    or by time. Each checkout has one intent.
    Raises AmountError, with nothing to be committed.
    """
    if not intents:
        return []
    wanted = {(checkout.id, intent.kind, intent.n): (payment, intent) for checkout, payment, intent in intents}
    ids = [checkout.id for checkout, _, _ in intents]
    rows = connection.execute(
        LEASE,
        {
            "lease_seconds": settings.gateway_lease_seconds,
            "window_seconds": settings.payment_window_seconds,
            "pivot": pivot,
            "holding": ids if hold else [],
            "polling": [checkout.id for checkout, _, intent in intents if intent.verb is Verb.RETRIEVE],
            "ids": ids,
            "kinds": [intent.kind for _, _, intent in intents],
            "ns": [intent.n for _, _, intent in intents],
            "amounts": [payment.amount.minor for _, payment, _ in intents],
            "fences": [checkout.fence for checkout, _, _ in intents],
        },
    )
    planned = []
    for checkout_id, key, amount_minor, reference, shipping, billing, order_id, *fields in rows:
        operation = read_operation(*fields)
        payment, intent = wanted[checkout_id, operation.kind, operation.n]
        if amount_minor != payment.amount.minor:
            raise AmountError(f"{key} is for {amount_minor}, the lock for {payment.amount}")
        details = read_details(reference, shipping, billing, order_id)
        call = Call(checkout_id, key, payment.amount, payment.token, payment.reference, details)
        planned.append(PlannedCall(operation, intent.verb, call, payment.status))
    return planned


def read_operation(kind: str, n: int, status: str, *rest: Any) -> Operation:
    """Make an operation of the columns `OPERATION`."""
    return Operation(OperationKind(kind), n, OperationStatus(status), *rest)
