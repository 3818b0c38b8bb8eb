"""The way back for a payment: void what was not captured, refund what was. Pure, and the same whichever phase asks."""

from models.states import OperationKind, OperationStatus, PaymentStatus
from pipeline.checkouts import Done, LockedCheckout, PhaseResult, Review
from pipeline.errors import Code
from pipeline.gateways.gateway import ALREADY_CAPTURED, Verb
from pipeline.payments.payment import VERBS, Intent, PaymentState
from pipeline.payments.retry_policy import (
    is_asked_again,
    is_too_old,
    pause_between_repeats,
    repeat_until_known,
    wait_for_lease,
    wait_for_stragglers,
)
from pipeline.settings import Settings


def plan_undo(checkout: LockedCheckout, payment: PaymentState | None, settings: Settings) -> PhaseResult | Intent:
    """Take the payment back: cancel what was not taken, refund what was. Nothing to do is a success.

    A cancellation by reference is the barrier: after it, the provider refuses whatever is still in flight. So it is
    made even where we believe that nothing was authorised. Void comes before refund: an object that was never
    captured, one that was captured first refuses the cancellation and is refunded.
    """
    if payment is None or not payment.operations:
        return Done()
    if payment.status in (PaymentStatus.CANCELLED, PaymentStatus.REFUNDED):
        return wait_for_stragglers(checkout, payment) or Done()
    if payment.reference is None:
        return _plan_unopened(checkout, payment, settings)
    void = payment.last(OperationKind.VOID)
    if payment.status is PaymentStatus.CAPTURED or (void is not None and void.code == ALREADY_CAPTURED):
        return _undo(checkout, payment, OperationKind.REFUND, settings)
    return _undo(checkout, payment, OperationKind.VOID, settings)


def _plan_unopened(checkout: LockedCheckout, payment: PaymentState, settings: Settings) -> PhaseResult | Intent:
    """Find out what there is to cancel: the same request with the same key gives the object's reference, or made none.

    Opening moves no money, and an object without a stored reference cannot be authorised: when the answer does
    not come, it is left unused. Reconciliation finds it.
    """
    operation = payment.find(OperationKind.OPEN, 1)
    if operation is None or operation.status is OperationStatus.DECLINED:
        return Done()
    if leased := wait_for_lease(checkout, operation):
        return leased
    if operation.attempts >= settings.max_undo_attempts or is_too_old(checkout, operation, settings):
        return Done()
    return pause_between_repeats(checkout, payment, operation, settings) or Intent(OperationKind.OPEN, 1, Verb.OPEN)


def _undo(
    checkout: LockedCheckout, payment: PaymentState, kind: OperationKind, settings: Settings
) -> PhaseResult | Intent:
    """Make the call of an undo. A definite refusal moves to review; a retry is a new attempt."""
    operation = payment.last(kind)
    if operation is None:
        return Intent(kind, 1, VERBS[kind])
    if operation.status is OperationStatus.SUCCEEDED:
        # It had been voided, and a retrieval found it live again: once more, under a new key.
        return Intent(kind, operation.n + 1, VERBS[kind])
    if operation.status is not OperationStatus.DECLINED:
        return repeat_until_known(checkout, payment, operation, settings)
    if is_asked_again(checkout, operation):
        return Intent(kind, operation.n + 1, VERBS[kind])
    code = Code.REFUND_FAILED if kind is OperationKind.REFUND else Code.VOID_FAILED
    return Review(code, {"amount": str(payment.amount), "error": operation.code})
