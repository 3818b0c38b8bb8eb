"""Questions to the provider outside of any checkout's own work: asked until it gives a definite answer."""

import time
from collections.abc import Callable
from typing import Final, assert_never

from models.money import Money
from models.states import PaymentStatus
from pipeline.database import assert_no_transaction
from pipeline.database.backoff import back_off
from pipeline.errors import Code, Unavailable
from pipeline.gateways import Gateway
from pipeline.gateways.gateway import (
    ActionRequired,
    Answer,
    Call,
    Declined,
    Held,
    Misconfigured,
    Succeeded,
    Transient,
    Unknown,
)
from pipeline.reconciliation.findings import LocalRecord
from pipeline.settings import Settings

#: Where a fifth of all calls fail, one in 80,000 questions stays without an answer.
MAX_ATTEMPTS: Final = 7


def insist(ask: Callable[[Call], Answer], call: Call, settings: Settings) -> Answer:
    """Ask until there is a definite answer, or MAX_ATTEMPTS times. The same key each time: it has one effect."""
    answer: Answer = Unknown("not asked")
    for attempt in range(MAX_ATTEMPTS):
        if attempt:
            first, longest = settings.retry_seconds, settings.retry_cap_seconds
            time.sleep(back_off(attempt - 1, first_seconds=first, longest_seconds=longest))
        assert_no_transaction()
        answer = ask(call)
        if not isinstance(answer, Transient | Unknown):
            return answer
    return answer


def retrieve_object(
    gateway: Gateway, reference: str, local: LocalRecord, known: Held | None, settings: Settings
) -> Held | None:
    """Return the object as it stands now, None when the provider says that it does not have it.

    `known` is what the list said of it: its amounts hold as long as its status does, else they follow from the status,
    since money moves whole. Raises Unavailable when the provider gives no definite answer.
    """
    amount = known.amount if known is not None else local.amount
    if amount is None:
        raise LookupError(f"{reference} has no amount: checkout {local.checkout_id} has a payment and no price lock")
    call = Call(local.checkout_id, f"reconcile:{reference}:retrieve", amount, local.token or "", reference)
    answer = insist(gateway.retrieve, call, settings)
    match answer:
        case Succeeded():
            return _stand(reference, local, known, amount, answer.status)
        case ActionRequired():
            return _stand(reference, local, known, amount, PaymentStatus.ACTION_REQUIRED)
        case Declined():
            # The buyer has refused; the object is open for another card.
            return _stand(reference, local, known, amount, PaymentStatus.OPEN)
        case Misconfigured():
            if known is None:
                return None
            raise Unavailable(Code.GATEWAY_MISCONFIGURED, reason=answer.error)
        case Transient() | Unknown():
            raise Unavailable(Code.GATEWAY_UNAVAILABLE, reason=answer.error)
        case _:
            assert_never(answer)


def _stand(reference: str, local: LocalRecord, known: Held | None, amount: Money, status: PaymentStatus) -> Held:
    if known is not None and known.status is status:
        return known
    return Held(
        reference=reference,
        checkout_id=local.checkout_id,
        status=status,
        amount=amount,
        captured_minor=amount.minor if status in (PaymentStatus.CAPTURED, PaymentStatus.REFUNDED) else 0,
        refunded_minor=amount.minor if status is PaymentStatus.REFUNDED else 0,
        created_at=local.changed_at if known is None else known.created_at,
    )
