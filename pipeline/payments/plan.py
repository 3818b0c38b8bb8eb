"""What comes next for a payment: decided on our books alone, forward in phases 4 and 6, backward in their undos."""

from datetime import timedelta
from typing import Final

from models.states import CheckoutState, OperationKind, OperationStatus, PaymentStatus
from pipeline.checkouts.batch import Done, LockedCheckout, PhaseResult, Rejected, Retry, Review, Wait
from pipeline.database.backoff import back_off
from pipeline.errors import Code
from pipeline.gateways.gateway import ALREADY_CAPTURED, AMOUNT_REFUSALS
from pipeline.gateways.gateway import AUTHORIZATION_EXPIRED as EXPIRED
from pipeline.payments.operation import MISCONFIGURED, Operation
from pipeline.payments.payment import VERBS, Intent, PaymentState, Verb
from pipeline.security.redaction import open_part
from pipeline.settings import Settings

#: Waits between repeats of a call whose outcome is unknown are exact, plus this, so that a claim has surely run out.
_MARGIN: Final = timedelta(milliseconds=10)


def plan_authorization(member: LockedCheckout, books: PaymentState, settings: Settings) -> PhaseResult | Intent:
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
            return _wait_for_buyer(books, settings)
        # Called on again, or the look itself failed: the object says whether the buyer has acted.
        return _wait(member, books, operation, settings) or Intent(OperationKind.AUTHORIZE, books.tries, Verb.RETRIEVE)
    return _forward(member, books, OperationKind.AUTHORIZE, books.tries, settings)


def plan_capture(member: LockedCheckout, books: PaymentState, settings: Settings) -> PhaseResult | Intent:
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
    return _finish(member, books, operation, settings)


def plan_undo(member: LockedCheckout, books: PaymentState | None, settings: Settings) -> PhaseResult | Intent:
    """Take the payment back: cancel what was not taken, refund what was. Nothing to do is a success.

    A cancellation by reference is the barrier: after it, the provider refuses whatever is still on its way. So it is
    made even where we believe that nothing was authorised. Void comes before refund: an object that was never
    captured, one that was captured first refuses the cancellation and is refunded.
    """
    if books is None or not books.operations:
        return Done()
    if books.status in (PaymentStatus.CANCELLED, PaymentStatus.REFUNDED):
        return _wait_for_stragglers(member, books) or Done()
    if books.reference is None:
        return _plan_unopened(member, books, settings)
    void = books.last(OperationKind.VOID)
    if books.status is PaymentStatus.CAPTURED or (void is not None and void.code == ALREADY_CAPTURED):
        return _undo(member, books, OperationKind.REFUND, settings)
    return _undo(member, books, OperationKind.VOID, settings)


def _plan_unopened(member: LockedCheckout, books: PaymentState, settings: Settings) -> PhaseResult | Intent:
    """Find out what there is to cancel: the same request with the same key gives the object's reference, or made none.

    Opening moves no money, and nobody can authorise an object whose reference was never stored: when the answer does
    not come, it is let be. The reconciler finds it.
    """
    operation = books.find(OperationKind.OPEN, 1)
    if operation is None or operation.status is OperationStatus.DECLINED:
        return Done()
    if claimed := _claimed(member, operation):
        return claimed
    if operation.attempts >= settings.max_undo_attempts or _is_too_old(member, operation, settings):
        return Done()
    return _backing_off(member, books, operation, settings) or Intent(OperationKind.OPEN, 1, Verb.OPEN)


def _wait_for_buyer(books: PaymentState, settings: Settings) -> Wait:
    """Park until the buyer has been at the bank. The hold follows the provider's window, counted from its asking."""
    hold_seconds = 0.0
    if books.asked is not None:
        hold_seconds = books.asked.window_seconds or settings.action_window_seconds
    state = CheckoutState.ACTION_REQUIRED
    # Events are for ever, and are told to endpoints and shown to operators: the secret is the buyer's alone.
    told = None if books.action is None else open_part(books.action)
    return Wait(state, "checkout.action_required", {"action": told}, hold_seconds)


def _forward(
    member: LockedCheckout, books: PaymentState, kind: OperationKind, n: int, settings: Settings
) -> PhaseResult | Intent:
    """Call, or say what the last call meant. Before the pivot, an outcome that stays unknown turns back."""
    operation = books.find(kind, n)
    if operation is None:
        return Intent(kind, n, VERBS[kind])
    if operation.code == MISCONFIGURED:
        return Rejected(Code.GATEWAY_MISCONFIGURED, {"reason": operation.last_error})
    if operation.status is OperationStatus.DECLINED:
        if kind is OperationKind.OPEN and (reason := AMOUNT_REFUSALS.get(operation.code or "")) is not None:
            return Rejected(Code.AMOUNT_NOT_CHARGEABLE, {"amount": str(books.amount), "reason": reason})
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
    return _wait(member, books, operation, settings) or Intent(kind, n, VERBS[kind])


def _finish(
    member: LockedCheckout, books: PaymentState, operation: Operation, settings: Settings
) -> PhaseResult | Intent:
    """Repeat a call that cannot be given up until its outcome is known.

    The same key first. Providers may repeat the first answer of a key, a server error included, and forget keys after a
    day: a key that has had its tries makes place for a new one, which has no second effect (see `Gateway`). After a
    day of this, or when our access is refused, a person is asked; when they send it on, it goes on.
    """
    if waiting := _wait(member, books, operation, settings):
        return waiting
    kind, verb = operation.kind, VERBS[operation.kind]
    fresh = Intent(kind, operation.n + 1, verb)
    if _is_asked_again(member, operation):
        return fresh
    if operation.code == MISCONFIGURED and operation.attempts >= settings.max_attempts:
        return Review(Code.GATEWAY_MISCONFIGURED, {"reason": operation.last_error, "amount": str(books.amount)})
    if _is_too_old(member, books.first(kind), settings):
        return Review(Code.PAYMENT_UNRESOLVED, {"kind": kind, "amount": str(books.amount)})
    return fresh if operation.attempts >= settings.max_attempts else Intent(kind, operation.n, verb)


def _undo(member: LockedCheckout, books: PaymentState, kind: OperationKind, settings: Settings) -> PhaseResult | Intent:
    """Make the call of an undo. A definite no is for a person; their retry is a new attempt."""
    operation = books.last(kind)
    if operation is None:
        return Intent(kind, 1, VERBS[kind])
    if operation.status is OperationStatus.SUCCEEDED:
        # It had been let go, and a look found it live again: once more, under a new key.
        return Intent(kind, operation.n + 1, VERBS[kind])
    if operation.status is not OperationStatus.DECLINED:
        return _finish(member, books, operation, settings)
    if _is_asked_again(member, operation):
        return Intent(kind, operation.n + 1, VERBS[kind])
    code = Code.REFUND_FAILED if kind is OperationKind.REFUND else Code.VOID_FAILED
    return Review(code, {"amount": str(books.amount), "error": operation.code})


def _is_asked_again(member: LockedCheckout, operation: Operation) -> bool:
    """Tell whether the checkout has turned, or was set going by a person, since the call was last made."""
    return operation.fence < member.fence


def _is_too_old(member: LockedCheckout, operation: Operation | None, settings: Settings) -> bool:
    """Tell whether the provider may have forgotten the key: repeated then, the call could have its effect twice."""
    if operation is None or operation.created_at is None:
        return False
    return (member.now - operation.created_at).total_seconds() > settings.intent_max_age_seconds


def _wait(member: LockedCheckout, books: PaymentState, operation: Operation, settings: Settings) -> Retry | None:
    """Wait while somebody makes the call, and between repeats."""
    return _claimed(member, operation) or _backing_off(member, books, operation, settings)


def _wait_for_stragglers(member: LockedCheckout, books: PaymentState) -> Retry | None:
    """No checkout leaves `unwinding` while an outcome of its own is not known."""
    for operation in books.unsettled:
        return _claimed(member, operation) or Retry(0.0, f"{operation.kind} is unanswered")
    return None


def _claimed(member: LockedCheckout, operation: Operation) -> Retry | None:
    if operation.claimed_until is None or operation.claimed_until <= member.now:
        return None
    wait = operation.claimed_until - member.now + _MARGIN
    return Retry(wait.total_seconds(), f"{operation.kind} is being called")


def _backing_off(member: LockedCheckout, books: PaymentState, operation: Operation, settings: Settings) -> Retry | None:
    attempts = books.attempts(operation.kind)
    if attempts == 0 or operation.updated_at is None or _is_asked_again(member, operation):
        return None
    wait = back_off(attempts - 1, first_seconds=settings.retry_seconds, longest_seconds=settings.retry_cap_seconds)
    left = wait - (member.now - operation.updated_at).total_seconds()
    return Retry(left, f"{operation.kind} is unknown: {operation.code}") if left > 0 else None
