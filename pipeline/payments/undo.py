"""Undoes a payment: voids what was not captured, refunds what was. Pure, and the same for every phase."""

from models.states import OperationKind, OperationStatus, PaymentStatus
from pipeline.checkouts import Done, LockedCheckout, PhaseResult, Review
from pipeline.errors import Code
from pipeline.gateways.gateway import ALREADY_CAPTURED, Verb
from pipeline.payments.payment import VERBS, Intent, PaymentState
from pipeline.payments.retry_policy import (
    is_requested_again,
    is_too_old,
    pause_between_repeats,
    repeat_until_known,
    wait_for_lease,
    wait_for_unsettled,
)
from pipeline.settings import Settings


def plan_undo(checkout: LockedCheckout, payment: PaymentState | None, settings: Settings) -> PhaseResult | Intent:
    """Return the next call that undoes the payment: void what was not captured, else refund. Nothing to do is Done.

    After a void by reference, the provider refuses whatever is still in flight. So it is made even where no
    authorisation is known. Void comes before refund: a captured object refuses the void, and is then refunded.
    """
    if payment is None or not payment.operations:
        return Done()
    if payment.status in (PaymentStatus.CANCELLED, PaymentStatus.REFUNDED):
        return wait_for_unsettled(checkout, payment) or Done()
    if payment.reference is None:
        return _plan_unopened(checkout, payment, settings)
    void = payment.last(OperationKind.VOID)
    if payment.status is PaymentStatus.CAPTURED or (void is not None and void.code == ALREADY_CAPTURED):
        return _undo(checkout, payment, OperationKind.REFUND, settings)
    return _undo(checkout, payment, OperationKind.VOID, settings)


def _plan_unopened(checkout: LockedCheckout, payment: PaymentState, settings: Settings) -> PhaseResult | Intent:
    """Return the call that finds out what there is to void: a repeat of the open with its key gives the reference.

    Opening moves no money, and an object without a stored reference cannot be authorised: without an answer it is left
    unused. Reconciliation finds it.
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
    """Return the call of an undo. A definite refusal moves to review; a retry by an operator gets a new key."""
    operation = payment.last(kind)
    if operation is None:
        return Intent(kind, 1, VERBS[kind])
    if operation.status is OperationStatus.SUCCEEDED:
        # It was voided or refunded, and a retrieval showed it live again: once more, with a new key.
        return Intent(kind, operation.n + 1, VERBS[kind])
    if operation.status is not OperationStatus.DECLINED:
        return repeat_until_known(checkout, payment, operation, settings)
    if is_requested_again(checkout, operation):
        return Intent(kind, operation.n + 1, VERBS[kind])
    code = Code.REFUND_FAILED if kind is OperationKind.REFUND else Code.VOID_FAILED
    return Review(code, {"amount": str(payment.amount), "error": operation.code})
