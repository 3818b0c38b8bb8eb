"""Capture exactly the order total; its intent is the pivot. Undo: refund what was taken."""

from datetime import timedelta
from typing import Final

from models.states import OperationKind, OperationStatus, PaymentStatus
from pipeline.checkouts.batch import Done, LockedCheckout, PhaseResult, Rejected
from pipeline.errors import Code
from pipeline.gateways.gateway import AUTHORIZATION_EXPIRED as EXPIRED
from pipeline.gateways.gateway import Verb
from pipeline.payments import undo
from pipeline.payments.payment import Intent, PaymentState
from pipeline.payments.retry_policy import repeat_until_known
from pipeline.settings import Settings

plan_undo: Final = undo.plan_undo


def plan(member: LockedCheckout, books: PaymentState, settings: Settings) -> PhaseResult | Intent:
    """Take the authorised amount: finish forward, unless the provider says a definite no."""
    if books.order_minor != books.amount.minor:
        raise ValueError(f"the order is over {books.order_minor}, and {books.amount} would be taken")
    operation = books.last(OperationKind.CAPTURE)
    if books.amount.minor == 0:
        return Done()
    if books.status is PaymentStatus.CAPTURED:
        # Somebody may have taken it at the provider's own desk: our call then takes nothing, and checks the amount.
        return Intent(OperationKind.CAPTURE, 1, Verb.CAPTURE) if operation is None else Done()
    ended = books.status in (PaymentStatus.CANCELLED, PaymentStatus.REFUNDED)
    if ended or (operation is None and books.status is not PaymentStatus.AUTHORIZED):
        if operation is not None and operation.code == EXPIRED:
            return Rejected(Code.AUTHORIZATION_EXPIRED)
        return Rejected(Code.CAPTURE_DECLINED, {"reason": f"the payment is {books.status}"})
    if operation is None:
        margin = timedelta(seconds=settings.authorization_margin_seconds)
        if books.authorized_until is not None and books.authorized_until - margin <= member.now:
            return Rejected(Code.AUTHORIZATION_EXPIRED)
        return Intent(OperationKind.CAPTURE, 1, Verb.CAPTURE)
    if operation.status is OperationStatus.DECLINED:
        if operation.code == EXPIRED:
            return Rejected(Code.AUTHORIZATION_EXPIRED)
        return Rejected(Code.CAPTURE_DECLINED, {"reason": operation.code})
    return repeat_until_known(member, books, operation, settings)
