"""Decides when a gateway call without an answer is repeated: not while a worker makes it, with back-off, not too late.

Pure: it decides by the stored payment and the settings.
"""

from datetime import timedelta
from typing import Final

from pipeline.checkouts import LockedCheckout, PhaseResult, Retry, Review
from pipeline.database.backoff import back_off
from pipeline.errors import Code
from pipeline.payments.operation import MISCONFIGURED, Operation
from pipeline.payments.payment import VERBS, Intent, PaymentState
from pipeline.settings import Settings

#: Added to the wait for a lease, so that it has surely ended.
_MARGIN: Final = timedelta(milliseconds=10)


def repeat_until_known(
    checkout: LockedCheckout, payment: PaymentState, operation: Operation, settings: Settings
) -> PhaseResult | Intent:
    """Repeat a call that cannot be given up until its outcome is known.

    The same key first. Providers may repeat the first answer of a key, a server error included, and forget keys after a
    day: after `max_attempts` a new key takes its place, which has no second effect (see `Gateway`). After a day, or
    when the access is refused, the checkout moves to review; an operator's retry repeats the call.
    """
    if waiting := wait_before_repeat(checkout, payment, operation, settings):
        return waiting
    kind, verb = operation.kind, VERBS[operation.kind]
    fresh = Intent(kind, operation.n + 1, verb)
    if is_requested_again(checkout, operation):
        return fresh
    if operation.code == MISCONFIGURED and operation.attempts >= settings.max_attempts:
        return Review(Code.GATEWAY_MISCONFIGURED, {"reason": operation.last_error, "amount": str(payment.amount)})
    if is_too_old(checkout, payment.first(kind), settings):
        return Review(Code.PAYMENT_UNRESOLVED, {"kind": kind, "amount": str(payment.amount)})
    return fresh if operation.attempts >= settings.max_attempts else Intent(kind, operation.n, verb)


def is_requested_again(checkout: LockedCheckout, operation: Operation) -> bool:
    """Return whether the checkout began to unwind, or was retried by an operator, since the call was last made."""
    return operation.fence < checkout.fence


def is_too_old(checkout: LockedCheckout, operation: Operation | None, settings: Settings) -> bool:
    """Return whether the provider may have forgotten the key: a repeat could then have a second effect."""
    if operation is None or operation.created_at is None:
        return False
    return (checkout.now - operation.created_at).total_seconds() > settings.idempotency_key_max_age_seconds


def wait_before_repeat(
    checkout: LockedCheckout, payment: PaymentState, operation: Operation, settings: Settings
) -> Retry | None:
    """Return the wait while another worker has the lease, and between repeats."""
    return wait_for_lease(checkout, operation) or pause_between_repeats(checkout, payment, operation, settings)


def wait_for_unsettled(checkout: LockedCheckout, payment: PaymentState) -> Retry | None:
    """Return the wait for an unknown outcome: while there is one, the checkout stays `unwinding`."""
    for operation in payment.unsettled:
        return wait_for_lease(checkout, operation) or Retry(0.0, f"{operation.kind} is unanswered")
    return None


def wait_for_lease(checkout: LockedCheckout, operation: Operation) -> Retry | None:
    """Return the wait while another worker makes the call, until its lease has surely ended."""
    if operation.leased_until is None or operation.leased_until <= checkout.now:
        return None
    wait = operation.leased_until - checkout.now + _MARGIN
    return Retry(wait.total_seconds(), f"{operation.kind} is being called")


def pause_between_repeats(
    checkout: LockedCheckout, payment: PaymentState, operation: Operation, settings: Settings
) -> Retry | None:
    """Return the back-off before a repeat, over all keys of the call; None when the call is requested again."""
    attempts = payment.count_unanswered(operation.kind)
    if attempts == 0 or operation.updated_at is None or is_requested_again(checkout, operation):
        return None
    wait = back_off(attempts - 1, first_seconds=settings.retry_seconds, longest_seconds=settings.retry_cap_seconds)
    left = wait - (checkout.now - operation.updated_at).total_seconds()
    return Retry(left, f"{operation.kind} is unknown: {operation.code}") if left > 0 else None
