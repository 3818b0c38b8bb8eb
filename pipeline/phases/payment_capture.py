"""Capture exactly the order total; its intent is the pivot. Undo: refund what was taken."""

from datetime import timedelta
from typing import Final

from models.states import OperationKind, OperationStatus, PaymentStatus
from pipeline.checkouts import Done, LockedCheckout, PhaseResult, Rejected
from pipeline.errors import Code
from pipeline.gateways.gateway import AUTHORIZATION_EXPIRED as EXPIRED
from pipeline.gateways.gateway import Verb
from pipeline.payments import Intent, PaymentState, undo
from pipeline.payments.retry_policy import repeat_until_known
from pipeline.settings import Settings

plan_undo: Final = undo.plan_undo


def plan(checkout: LockedCheckout, payment: PaymentState, settings: Settings) -> PhaseResult | Intent:
    """Take the authorised amount: finish forward, unless the provider says a definite no."""
    if payment.order_minor != payment.amount.minor:
        raise ValueError(f"the order is over {payment.order_minor}, and {payment.amount} would be taken")
    operation = payment.last(OperationKind.CAPTURE)
    if payment.amount.minor == 0:
        return Done()
    if payment.status is PaymentStatus.CAPTURED:
        # Somebody may have taken it at the provider's own desk: our call then takes nothing, and checks the amount.
        return Intent(OperationKind.CAPTURE, 1, Verb.CAPTURE) if operation is None else Done()
    ended = payment.status in (PaymentStatus.CANCELLED, PaymentStatus.REFUNDED)
    if ended or (operation is None and payment.status is not PaymentStatus.AUTHORIZED):
        if operation is not None and operation.code == EXPIRED:
            return Rejected(Code.AUTHORIZATION_EXPIRED)
        return Rejected(Code.CAPTURE_DECLINED, {"reason": f"the payment is {payment.status}"})
    if operation is None:
        margin = timedelta(seconds=settings.authorization_margin_seconds)
        if payment.authorized_until is not None and payment.authorized_until - margin <= checkout.now:
            return Rejected(Code.AUTHORIZATION_EXPIRED)
        return Intent(OperationKind.CAPTURE, 1, Verb.CAPTURE)
    if operation.status is OperationStatus.DECLINED:
        if operation.code == EXPIRED:
            return Rejected(Code.AUTHORIZATION_EXPIRED)
        return Rejected(Code.CAPTURE_DECLINED, {"reason": operation.code})
    return repeat_until_known(checkout, payment, operation, settings)
