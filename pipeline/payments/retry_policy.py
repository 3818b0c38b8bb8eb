"""When a gateway call without an answer is made again: while somebody makes it, between repeats, after too long.

Pure: decided on our own records of the payment and the settings.
"""

from datetime import timedelta
from typing import Final

from pipeline.checkouts import LockedCheckout, PhaseResult, Retry, Review
from pipeline.database.backoff import back_off
from pipeline.errors import Code
from pipeline.payments.operation import MISCONFIGURED, Operation
from pipeline.payments.payment import VERBS, Intent, PaymentState
from pipeline.settings import Settings

#: Waits between repeats of a call whose outcome is unknown are exact, plus this, so that a lease has surely run out.
_MARGIN: Final = timedelta(milliseconds=10)


def repeat_until_known(
    checkout: LockedCheckout, payment: PaymentState, operation: Operation, settings: Settings
) -> PhaseResult | Intent:
    """Repeat a call that cannot be given up until its outcome is known.

    The same key first. Providers may repeat the first answer of a key, a server error included, and forget keys after a
    day: a key that has had its tries makes place for a new one, which has no second effect (see `Gateway`). After a
    day of this, or when our access is refused, a person is asked; when they send it on, it goes on.
    """
    if waiting := wait_before_repeat(checkout, payment, operation, settings):
        return waiting
    kind, verb = operation.kind, VERBS[operation.kind]
    fresh = Intent(kind, operation.n + 1, verb)
    if is_asked_again(checkout, operation):
        return fresh
    if operation.code == MISCONFIGURED and operation.attempts >= settings.max_attempts:
        return Review(Code.GATEWAY_MISCONFIGURED, {"reason": operation.last_error, "amount": str(payment.amount)})
    if is_too_old(checkout, payment.first(kind), settings):
        return Review(Code.PAYMENT_UNRESOLVED, {"kind": kind, "amount": str(payment.amount)})
    return fresh if operation.attempts >= settings.max_attempts else Intent(kind, operation.n, verb)


def is_asked_again(checkout: LockedCheckout, operation: Operation) -> bool:
    """Return whether the checkout began to unwind, or was retried by an operator, since the call was last made."""
    return operation.fence < checkout.fence


def is_too_old(checkout: LockedCheckout, operation: Operation | None, settings: Settings) -> bool:
    """Return whether the provider may have forgotten the key: repeated then, the call could have its effect twice."""
    if operation is None or operation.created_at is None:
        return False
    return (checkout.now - operation.created_at).total_seconds() > settings.idempotency_key_max_age_seconds


def wait_before_repeat(
    checkout: LockedCheckout, payment: PaymentState, operation: Operation, settings: Settings
) -> Retry | None:
    """Wait while another worker has the lease, and between repeats."""
    return wait_for_lease(checkout, operation) or pause_between_repeats(checkout, payment, operation, settings)


def wait_for_stragglers(checkout: LockedCheckout, payment: PaymentState) -> Retry | None:
    """No checkout leaves `unwinding` while an outcome of its own is not known."""
    for operation in payment.unsettled:
        return wait_for_lease(checkout, operation) or Retry(0.0, f"{operation.kind} is unanswered")
    return None


def wait_for_lease(checkout: LockedCheckout, operation: Operation) -> Retry | None:
    """Wait while somebody makes the call, until their lease has surely run out."""
    if operation.leased_until is None or operation.leased_until <= checkout.now:
        return None
    wait = operation.leased_until - checkout.now + _MARGIN
    return Retry(wait.total_seconds(), f"{operation.kind} is being called")


def pause_between_repeats(
    checkout: LockedCheckout, payment: PaymentState, operation: Operation, settings: Settings
) -> Retry | None:
    """Wait for twice as long before each repeat, over all keys of the call; not when it was asked for again."""
    attempts = payment.count_unanswered(operation.kind)
    if attempts == 0 or operation.updated_at is None or is_asked_again(checkout, operation):
        return None
    wait = back_off(attempts - 1, first_seconds=settings.retry_seconds, longest_seconds=settings.retry_cap_seconds)
    left = wait - (checkout.now - operation.updated_at).total_seconds()
    return Retry(left, f"{operation.kind} is unknown: {operation.code}") if left > 0 else None
