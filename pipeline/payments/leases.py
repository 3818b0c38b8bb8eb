"""Leases: gateway calls are written as rows and leased before they are made, so that only one worker makes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import OperationKind, OperationStatus, PaymentStatus
from pipeline.checkouts import LockedCheckout
from pipeline.gateways import Gateway
from pipeline.gateways.gateway import Answer, Call, Unknown, Verb
from pipeline.payments.details import DETAILS, read_details
from pipeline.payments.operation import Operation
from pipeline.payments.payment import Intent, PaymentState
from pipeline.settings import Settings

#: In the order of the fields of `Operation`.
_COLUMNS: Final = "kind n status fence attempts id leased_until code last_error created_at updated_at"
OPERATION: Final = ", ".join(f"payment_operations.{column}" for column in _COLUMNS.split(" "))

# In one round trip: the checkouts that are held for the call, and the call.
# While its call is in flight, a checkout is due only when the lease has ended, and its stock is reserved for the
# payment. A status poll extends no reservation: a storefront may poll as often as it likes. A checkout held within the
# last tenth of a lease does not change: a sweep that comes so much too early finds the lease and waits for it.
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
        -- A lease that ended without an answer: its worker crashed, which counts as an attempt.
        attempts = payment_operations.attempts
                   + CASE WHEN EXCLUDED.checkout_id = ANY(CAST(:polling AS uuid[]))
                               OR payment_operations.leased_until IS NULL THEN 0 ELSE 1 END
    RETURNING checkout_id, idempotency_key, amount_minor, {DETAILS}, {OPERATION}
""")


class AmountError(ValueError):
    """Raised when a call would move another amount than the frozen one. No call is made then."""


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A leased call, ready to be made once the transaction that leased it has committed.

    `seen` is the stored status of the payment when the call was planned.
    """

    operation: Operation
    verb: Verb
    call: Call
    seen: PaymentStatus

    @property
    def is_poll(self) -> bool:
        """Whether the call only retrieves the payment's status."""
        return self.verb is Verb.RETRIEVE

    @property
    def names(self) -> Mapping[str, str]:
        """What a log line says of it."""
        return {"checkout_id": str(self.call.checkout_id), "verb": self.verb}

    def make(self, gateway: Gateway) -> "CallResult":
        """Make the call."""
        return CallResult(self, self._call(gateway))

    def leave(self) -> "CallResult":
        """Return the result of a call that was not made."""
        return CallResult(self, None)

    def note(self, error: str) -> "CallResult":
        """Return the result of a call that raised."""
        return CallResult(self, Unknown(error))

    def _call(self, gateway: Gateway) -> Answer:
        match self.verb:
            case Verb.OPEN:
                return gateway.open(self.call)
            case Verb.AUTHORIZE:
                return gateway.authorize(self.call)
            case Verb.CAPTURE:
                return gateway.capture(self.call)
            case Verb.CANCEL:
                return gateway.cancel(self.call)
            case Verb.REFUND:
                return gateway.refund(self.call)
            case Verb.RETRIEVE:
                return gateway.retrieve(self.call)
            case _:
                assert_never(self.verb)


@dataclass(frozen=True, slots=True)
class CallResult:
    """A call and its answer; None when it was not made."""

    planned: PlannedCall
    answer: Answer | None

    @property
    def subject_id(self) -> UUID:
        """The checkout."""
        return self.planned.call.checkout_id


def take_leases(
    connection: Connection,
    intents: Sequence[tuple[LockedCheckout, PaymentState, Intent]],
    settings: Settings,
    *,
    hold: bool = True,
    pivot: bool = False,
) -> list[PlannedCall]:
    """Write the intents of a batch (a repeat finds its row) and lease them: no other worker makes these calls.

    With `hold` the sweep leaves their checkouts alone until the leases end, and their stock and prices last as long as
    the payment; `hold=False` is for status polls. With `pivot`, from here on neither a request nor an expiry undoes
    them. Each checkout has one intent. Raises AmountError, and nothing may be committed.
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
            raise AmountError(f"{key} is for {amount_minor}, the price lock for {payment.amount}")
        details = read_details(reference, shipping, billing, order_id)
        call = Call(checkout_id, key, payment.amount, payment.token, payment.reference, details)
        planned.append(PlannedCall(operation, intent.verb, call, payment.status))
    return planned


def read_operation(kind: str, n: int, status: str, *rest: Any) -> Operation:
    """Return the operation of the columns `OPERATION`."""
    return Operation(OperationKind(kind), n, OperationStatus(status), *rest)
