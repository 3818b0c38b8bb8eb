"""Authorise exactly the frozen total. Undo: void, or refund if it turned out captured."""

from typing import Final

from models.states import CheckoutState, OperationKind, OperationStatus, PaymentStatus
from pipeline.checkouts import Done, LockedCheckout, PhaseResult, Rejected, Wait
from pipeline.errors import Code
from pipeline.gateways.gateway import AMOUNT_REFUSALS, Verb
from pipeline.payments import Intent, PaymentState, undo
from pipeline.payments.operation import MISCONFIGURED
from pipeline.payments.payment import VERBS
from pipeline.payments.retry_policy import is_too_old, wait_before_repeat
from pipeline.security.redaction import open_part
from pipeline.settings import Settings

plan_undo: Final = undo.plan_undo


def plan(checkout: LockedCheckout, payment: PaymentState, settings: Settings) -> PhaseResult | Intent:
    """Open the provider's object, then authorise the frozen total on it. Nothing to pay is nothing to authorise."""
    if payment.amount.minor == 0:
        return Done()
    match payment.status:
        case PaymentStatus.AUTHORIZED | PaymentStatus.CAPTURED:
            return Done()
        case PaymentStatus.CANCELLED | PaymentStatus.REFUNDED:
            return Rejected(Code.PAYMENT_DECLINED, {"reason": "cancelled at the provider"})
        case _:
            pass
    if payment.reference is None:
        return _forward(checkout, payment, OperationKind.OPEN, 1, settings)
    operation = payment.find(OperationKind.AUTHORIZE, payment.attempts)
    if operation is not None and operation.status is OperationStatus.ACTION_REQUIRED:
        if payment.answered and operation.code is None:
            return _wait_for_buyer(payment, settings)
        # Called on again, or the look itself failed: the object says whether the buyer has acted.
        return wait_before_repeat(checkout, payment, operation, settings) or Intent(
            OperationKind.AUTHORIZE, payment.attempts, Verb.RETRIEVE
        )
    return _forward(checkout, payment, OperationKind.AUTHORIZE, payment.attempts, settings)


def _wait_for_buyer(payment: PaymentState, settings: Settings) -> Wait:
    """Park until the buyer has been at the bank. The hold follows the provider's window, counted from its asking."""
    extend_seconds = 0.0
    if payment.asked is not None:
        extend_seconds = payment.asked.window_seconds or settings.buyer_action_timeout_seconds
    state = CheckoutState.ACTION_REQUIRED
    # Events are kept for ever, delivered to endpoints and shown to operators: the secret is only for the buyer.
    told = None if payment.action is None else open_part(payment.action)
    return Wait(state, "checkout.action_required", {"action": told}, extend_seconds)


def _forward(
    checkout: LockedCheckout, payment: PaymentState, kind: OperationKind, n: int, settings: Settings
) -> PhaseResult | Intent:
    """Call, or say what the last call meant. Before the pivot, an outcome that stays unknown turns back."""
    operation = payment.find(kind, n)
    if operation is None:
        return Intent(kind, n, VERBS[kind])
    if operation.code == MISCONFIGURED:
        return Rejected(Code.GATEWAY_MISCONFIGURED, {"reason": operation.last_error})
    if operation.status is OperationStatus.DECLINED:
        if kind is OperationKind.OPEN and (reason := AMOUNT_REFUSALS.get(operation.code or "")) is not None:
            return Rejected(Code.AMOUNT_NOT_CHARGEABLE, {"amount": str(payment.amount), "reason": reason})
        can_try_again = (
            kind is OperationKind.AUTHORIZE
            and not checkout.straight_through
            and payment.attempts < settings.payment_attempts
            and checkout.expires_at > checkout.now
        )
        detail = {"reason": operation.code, "attempt": payment.attempts}
        if can_try_again:
            return Wait(CheckoutState.AWAITING_PAYMENT, "payment.declined", detail)
        return Rejected(Code.PAYMENT_DECLINED, detail)
    if operation.attempts >= settings.max_attempts or is_too_old(checkout, operation, settings):
        return Rejected(Code.PAYMENT_UNRESOLVED, {"kind": kind})
    return wait_before_repeat(checkout, payment, operation, settings) or Intent(kind, n, VERBS[kind])
