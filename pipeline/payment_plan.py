"""What comes next for a payment: decided on our books alone, forward in phases 4 and 6, backward in their undos."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from models.states import CheckoutState, OperationKind, OperationStatus, PaymentStatus
from pipeline.batch import Done, Member, Outcome, Rejected, Retry, Review, Wait
from pipeline.books import VERBS, Books, Intent, Operation, Verb
from pipeline.errors import Code
from pipeline.gateways.protocol import ALREADY_CAPTURED
from pipeline.settings import Settings

#: Waits between repeats of a call whose outcome is unknown are exact, plus this, so that a claim has surely run out.
_MARGIN: Final = timedelta(milliseconds=10)


def plan_authorization(member: Member, books: Books, settings: Settings) -> Outcome | Intent:
    """Open the provider's object, then authorise the frozen total on it. Nothing to pay is nothing to authorise."""
    if books.amount.minor == 0:
        return Done()
    match books.status:
        case PaymentStatus.AUTHORIZED | PaymentStatus.CAPTURED:
            return Done()
        case PaymentStatus.CANCELLED | PaymentStatus.REFUNDED:
            return Rejected(Code.PAYMENT_DECLINED, {"reason": "cancelled at the provider"})
        case _:
            pass
    if books.reference is None:
        return _forward(member, books, OperationKind.OPEN, 1, settings)
    operation = books.find(OperationKind.AUTHORIZE, books.tries)
    if operation is not None and operation.status is OperationStatus.ACTION_REQUIRED:
        if books.answered and operation.code is None:
            return Wait(CheckoutState.ACTION_REQUIRED, "checkout.action_required", {"action": books.action})
        # Called on again, or the look itself failed: the object says whether the buyer has acted.
        return _wait(member, operation, settings) or Intent(OperationKind.AUTHORIZE, books.tries, Verb.RETRIEVE)
    return _forward(member, books, OperationKind.AUTHORIZE, books.tries, settings)


def plan_capture(member: Member, books: Books, settings: Settings) -> Outcome | Intent:
    """Take the authorised amount: finish forward, unless the provider says a definite no."""
    if books.order_minor != books.amount.minor:
        raise ValueError(f"the order is over {books.order_minor}, and {books.amount} would be taken")
    if books.amount.minor == 0:
        return Done()
    if books.status is PaymentStatus.CAPTURED:
        return Done()
    operation = books.find(OperationKind.CAPTURE, 1)
    if books.status is not PaymentStatus.AUTHORIZED and operation is None:
        return Rejected(Code.CAPTURE_DECLINED, {"reason": f"the payment is {books.status}"})
    if operation is not None and operation.status is OperationStatus.DECLINED:
        return Rejected(Code.CAPTURE_DECLINED, {"reason": operation.code})
    return _settle(member, books, OperationKind.CAPTURE, settings)


def plan_undo(member: Member, books: Books | None, settings: Settings) -> Outcome | Intent:
    """Take the payment back: cancel what was not taken, refund what was. Nothing to do is a success.

    The provider's own order of events decides: an object that was cancelled first can no longer be authorised or
    captured, one that was captured first refuses the cancellation and is refunded.
    """
    if books is None or not books.operations:
        return Done()
    if books.status in (PaymentStatus.CANCELLED, PaymentStatus.REFUNDED):
        return _wait_for_stragglers(member, books) or Done()
    if books.reference is None:
        operation = books.find(OperationKind.OPEN, 1)
        if operation is None or operation.status is OperationStatus.DECLINED:
            return Done()
        if _is_too_old(member, operation, settings) and _claimed(member, operation) is None:
            # Opening moves no money, and nobody can authorise an object whose reference was never stored.
            return Done()
        # Nothing to cancel by yet: the same request with the same key gives the object's reference, or made none.
        return _undo(member, books, OperationKind.OPEN, settings)
    void = books.last(OperationKind.VOID)
    if books.status is PaymentStatus.CAPTURED or (void is not None and void.code == ALREADY_CAPTURED):
        return _undo(member, books, OperationKind.REFUND, settings)
    return _undo(member, books, OperationKind.VOID, settings)


def plan_late(member: Member, books: Books | None, settings: Settings) -> Done | Retry | Intent:
    """Take back money that turned up after the end of its checkout.

    What has ended cannot wait for a person: where an undo would ask one, it is attempted anew after the longest wait.
    """
    plan = plan_undo(member, books, settings)
    if isinstance(plan, Review) and books is not None:
        newest = max(each.updated_at or member.now for each in books.operations)
        left = settings.retry_cap_seconds - (member.now - newest).total_seconds()
        if left > 0:
            return Retry(left, f"refused: {plan.detail}")
        plan = plan_undo(replace(member, fence=member.fence + 1), books, settings)
    if isinstance(plan, Done | Retry | Intent):
        return plan
    return Retry(settings.retry_cap_seconds, f"refused: {plan}")


def _forward(member: Member, books: Books, kind: OperationKind, n: int, settings: Settings) -> Outcome | Intent:
    """Call, or say what the last call meant. Before the pivot, an outcome that stays unknown turns back."""
    operation = books.find(kind, n)
    if operation is None:
        return Intent(kind, n, VERBS[kind])
    if operation.status is OperationStatus.DECLINED:
        can_try_again = (
            kind is OperationKind.AUTHORIZE
            and not member.straight_through
            and books.tries < settings.payment_tries
            and member.expires_at > member.now
        )
        detail = {"reason": operation.code, "try": books.tries}
        if can_try_again:
            return Wait(CheckoutState.AWAITING_PAYMENT, "payment.declined", detail)
        return Rejected(Code.PAYMENT_DECLINED, detail)
    if operation.attempts >= settings.max_attempts or _is_too_old(member, operation, settings):
        return Rejected(Code.PAYMENT_UNRESOLVED, {"kind": kind})
    return _wait(member, operation, settings) or Intent(kind, n, VERBS[kind])


def _settle(member: Member, books: Books, kind: OperationKind, settings: Settings) -> Outcome | Intent:
    """Repeat a call past the point where it could be given up, with the same key, until its outcome is known.

    Too old to be repeated, it is for a person; when they ask again, a look at the object may show the effect.
    """
    operation = books.last(kind)
    if operation is None:
        return Intent(kind, 1, VERBS[kind])
    if waiting := _wait(member, operation, settings):
        return waiting
    if not _is_too_old(member, operation, settings):
        return Intent(kind, operation.n, VERBS[kind])
    if _is_asked_again(member, operation) and books.reference is not None:
        return Intent(kind, operation.n, Verb.RETRIEVE)
    return Review(Code.PAYMENT_UNRESOLVED, {"kind": kind})


def _undo(member: Member, books: Books, kind: OperationKind, settings: Settings) -> Outcome | Intent:
    """Make the call of an undo. A definite no, or too many unknowns, is for a person; their retry is a new attempt."""
    operation = books.last(kind)
    if operation is None:
        return Intent(kind, 1, VERBS[kind])
    if _is_asked_again(member, operation):
        # Cancelling is safe to repeat under a new key; a refund is not, before it is known to have failed.
        safe = kind is OperationKind.VOID and _is_too_old(member, operation, settings)
        if safe or operation.status is OperationStatus.DECLINED:
            return Intent(kind, operation.n + 1, VERBS[kind])
        return _settle(member, books, kind, settings)
    if operation.status is OperationStatus.DECLINED or operation.attempts >= settings.max_undo_attempts:
        facts = {"phase": kind, "attempts": max(operation.n, operation.attempts), "error": operation.code}
        return Review(Code.UNDO_FAILED, facts)
    return _settle(member, books, kind, settings)


def _is_asked_again(member: Member, operation: Operation) -> bool:
    """Tell whether the checkout has turned, or was set going by a person, since the call was last made."""
    return operation.fence < member.fence


def _is_too_old(member: Member, operation: Operation, settings: Settings) -> bool:
    """Tell whether the provider may have forgotten the key: repeated then, the call could have its effect twice."""
    if operation.created_at is None:
        return False
    return (member.now - operation.created_at).total_seconds() > settings.intent_max_age_seconds


def _wait(member: Member, operation: Operation, settings: Settings) -> Retry | None:
    """Wait while somebody makes the call, and between repeats."""
    return _claimed(member, operation) or _backing_off(member, operation, settings)


def _wait_for_stragglers(member: Member, books: Books) -> Retry | None:
    """No checkout leaves `unwinding` while an outcome of its own is not known."""
    for operation in books.unsettled:
        return _claimed(member, operation) or Retry(0.0, f"{operation.kind} is unanswered")
    return None


def _claimed(member: Member, operation: Operation) -> Retry | None:
    if operation.claimed_until is None or operation.claimed_until <= member.now:
        return None
    wait = operation.claimed_until - member.now + _MARGIN
    return Retry(wait.total_seconds(), f"{operation.kind} is being called")


def _backing_off(member: Member, operation: Operation, settings: Settings) -> Retry | None:
    if operation.attempts == 0 or operation.updated_at is None:
        return None
    wait = min(settings.retry_seconds * 2 ** (operation.attempts - 1), settings.retry_cap_seconds)
    left = wait - (member.now - operation.updated_at).total_seconds()
    return Retry(left, f"{operation.kind} is unknown: {operation.code}") if left > 0 else None
