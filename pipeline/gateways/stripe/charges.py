"""Stripe's charges: partial refunds, finding one by its metadata, disputes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import stripe
from stripe.params import DisputeListParams, PaymentIntentRetrieveParams, RefundCreateParams, RefundListParams

from pipeline.gateways.charges import (
    Charge,
    ChargeCall,
    ChargeDispute,
    ChargeRefund,
    ChargeRetrieval,
    DisputeState,
    FindRefundAnswer,
    RefundAbsent,
    RefundAnswer,
    Refunded,
    RefundState,
)
from pipeline.gateways.gateway import Declined, Unknown
from pipeline.gateways.stripe.amounts import from_stripe, to_stripe

#: The largest page that Stripe returns.
PAGE: Final = 100

_REFUNDS: Final = {
    "pending": RefundState.PENDING,
    "requires_action": RefundState.PENDING,
    "succeeded": RefundState.SUCCEEDED,
    "failed": RefundState.FAILED,
    "canceled": RefundState.FAILED,
}

#: `warning_closed` is an inquiry that became no dispute.
_DISPUTES: Final = {"won": DisputeState.WON, "warning_closed": DisputeState.WON, "lost": DisputeState.LOST}


class Refunds(Protocol):
    """The calls of the SDK about refunds."""

    def create(self, params: RefundCreateParams, options: stripe.RequestOptions) -> stripe.Refund:
        """Create a refund."""

    def list(self, params: RefundListParams) -> stripe.ListObject[stripe.Refund]:
        """Return the first page, which can load the next one."""


class Disputes(Protocol):
    """The call of the SDK about disputes."""

    def list(self, params: DisputeListParams) -> stripe.ListObject[stripe.Dispute]:
        """Return the first page, which can load the next one."""


class Intents(Protocol):
    """The call of the SDK about PaymentIntents."""

    def retrieve(self, intent: str, params: PaymentIntentRetrieveParams) -> stripe.PaymentIntent:
        """Return one intent."""


def refund_amount(refunds: Refunds, call: ChargeCall, metadata: dict[str, str]) -> RefundAnswer:
    """Refund exactly the amount. Errors of the SDK pass through."""
    amount = to_stripe(call.amount)
    if amount is None:
        return Declined("amount_invalid", f"{call.amount} cannot be refunded by card.")
    params: RefundCreateParams = {"payment_intent": call.reference, "amount": amount, "metadata": metadata}
    made = refunds.create(params, {"idempotency_key": call.key})
    read = read_refund(made)
    if read is None:
        return Unknown(f"the refund is {made.status}")
    return Declined("refund_failed", read.failure) if read.state is RefundState.FAILED else Refunded(read)


def find_refund(refunds: Refunds, call: ChargeCall) -> FindRefundAnswer:
    """Look for the refund whose metadata has the key, through all pages."""
    for each in _list_refunds(refunds, call.reference):
        if _metadata(each).get("operation_id") == call.key:
            read = read_refund(each)
            return Unknown(f"the refund is {each.status}") if read is None else Refunded(read)
    return RefundAbsent()


def retrieve_charge(intents: Intents, refunds: Refunds, disputes: Disputes, call: ChargeCall) -> ChargeRetrieval:
    """Retrieve the captured amount, all refunds and all disputes of an intent."""
    intent = intents.retrieve(call.reference, {})
    found = [read_refund(each) for each in _list_refunds(refunds, call.reference)]
    if None in found:
        return Unknown("a refund has a status that this release does not know")
    listed = disputes.list({"payment_intent": call.reference, "limit": PAGE})
    return Charge(
        intent.id,
        from_stripe(intent.amount_received, intent.currency),
        # Stripe lists the newest first.
        tuple(reversed([each for each in found if each is not None])),
        tuple(reversed([read_dispute(each) for each in listed.auto_paging_iter()])),
    )


def read_refund(refund: stripe.Refund) -> ChargeRefund | None:
    """Return a refund; None in a status that is not known."""
    state = _REFUNDS.get(refund.status or "")
    if state is None:
        return None
    return ChargeRefund(
        refund.id,
        from_stripe(refund.amount, refund.currency),
        state,
        _metadata(refund).get("operation_id"),
        _read_time(refund.created),
        getattr(refund, "failure_reason", None) or "",
    )


def read_dispute(dispute: stripe.Dispute) -> ChargeDispute:
    """Return a dispute; whatever is not decided is open."""
    return ChargeDispute(
        dispute.id,
        from_stripe(dispute.amount, dispute.currency),
        _DISPUTES.get(dispute.status, DisputeState.OPEN),
        dispute.reason,
        _read_time(dispute.created),
    )


def _list_refunds(refunds: Refunds, reference: str) -> Iterator[stripe.Refund]:
    return refunds.list({"payment_intent": reference, "limit": PAGE}).auto_paging_iter()


def _metadata(refund: stripe.Refund) -> dict[str, Any]:
    return refund.metadata.to_dict() if refund.metadata is not None else {}


def _read_time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
