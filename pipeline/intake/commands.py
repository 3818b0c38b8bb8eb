"""The commands: start, process, resume, cancel, release, retry.

Functions over a connection, one transaction each; they return the messages to send once it has committed.
`CheckoutService` in pipeline/intake/service.py commits and sends.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import ENDINGS, TERMINAL, CartState, CheckoutState
from pipeline.carts.cart_input import TaxIdValidation
from pipeline.carts.cart_lock import find_cart_lock
from pipeline.carts.storage import GivenCart, create_carts
from pipeline.checkouts import LockedCheckout, Rejected
from pipeline.checkouts.events import write_events
from pipeline.checkouts.locks import lock_cart, lock_checkouts
from pipeline.checkouts.moving import refuse_moving
from pipeline.errors import Code, Conflict, Invalid, NotFound
from pipeline.intake.joining import join_cart, join_payment, read_expected
from pipeline.intake.requests import PaymentInput, ProcessRequest, StartRequest, expected_columns, fingerprint
from pipeline.intake.result import CommandResult
from pipeline.intake.starting import NotPlainError, Startable, find_ttl, write_starts
from pipeline.payments.late_funds import close_reviews
from pipeline.pricing import find_drift, find_tolerance, read_quotes
from pipeline.saga import backward, forward
from pipeline.settings import Settings

KEY: Final = text("SELECT checkout_id, fingerprint FROM idempotency_keys WHERE owner = :owner AND key = :key")

BIND_KEY: Final = text("""
    INSERT INTO idempotency_keys (owner, key, action, fingerprint, checkout_id)
    VALUES (:owner, :key, :action, :fingerprint, :checkout_id)
    ON CONFLICT DO NOTHING
""")

PAY: Final = text("""
    INSERT INTO payments (checkout_id, gateway, token) VALUES (:id, :gateway, :token)
    ON CONFLICT (checkout_id) DO UPDATE SET token = EXCLUDED.token, attempts = payments.attempts + 1, updated_at = now()
""")


def start(
    connection: Connection, request: StartRequest, settings: Settings, validated: TaxIdValidation | None = None
) -> CommandResult:
    """Start the checkout of a cart, once per key and once per cart; an active one is joined.

    `validated` is what is known of the cart's tax id.

    Raises Invalid, NotFound or Conflict; nothing is changed then (the caller rolls back).
    """
    ttl_seconds = find_ttl(request, settings)
    cart_id = request.wanted_cart_id
    content = None if request.cart is None else GivenCart(request.owner, request.cart, validated)
    is_new = content is not None and bool(create_carts(connection, [content]))
    cart = lock_cart(connection, cart_id)
    # Read after the row lock: a repeat that waited for it may find its checkout started, or even ended.
    if (replayed := _replay(connection, request)) is not None:
        return replayed
    if cart is None or cart.owner not in (None, request.owner):
        raise NotFound(Code.CART_UNKNOWN, cart_id=str(cart_id))
    # Read after the row lock: an earlier start of this cart has been committed by now.
    active = find_cart_lock(connection, cart_id)
    if active is not None:
        if active.owner != request.owner:
            raise active.refuse(request.owner)
        join_cart(connection, request, active, settings)
        _bind_key(connection, request, active.id)
        return CommandResult(active.id, changed=False)
    if cart.state == CartState.COMPLETED:
        raise Conflict(Code.CART_COMPLETED, cart_id=str(cart_id))
    refuse_moving(connection, request.owner)
    currency = cart.currency if request.cart is None else request.cart.currency
    try:
        return write_starts(connection, [Startable(request, ttl_seconds, currency, is_new, content)], settings)[0]
    except NotPlainError:
        # Another transaction has committed with this key meanwhile, and not for this cart, whose row is locked.
        raise Conflict(Code.KEY_CONFLICT, key=request.idempotency_key) from None


def process(connection: Connection, request: ProcessRequest, settings: Settings) -> CommandResult:
    """Pay a started checkout. It keeps its stock and prices until the payment's outcome is known.

    The same payment with another key joins the one in progress.
    """
    checkout = _lock_owned(connection, request.checkout_id, request.owner)
    if (replayed := _replay(connection, request)) is not None:
        return replayed
    early = checkout.state is CheckoutState.RUNNING and not checkout.payment_given
    if checkout.state in TERMINAL or checkout.state is CheckoutState.UNWINDING:
        raise Conflict(Code.CHECKOUT_ENDED, checkout_id=str(checkout.id), state=checkout.state)
    if checkout.expires_at <= checkout.now and checkout.pivot_at is None:
        raise Conflict(Code.CHECKOUT_ENDED, checkout_id=str(checkout.id), state=CheckoutState.EXPIRED)
    if not early and checkout.state is not CheckoutState.AWAITING_PAYMENT:
        join_payment(connection, request, checkout, settings)
        _bind_key(connection, request, checkout.id)
        return CommandResult(checkout.id, changed=False)
    frozen = read_quotes(connection, [checkout.id]).get(checkout.id)
    if request.payment is None and (frozen is None or frozen[0].total_minor > 0):
        raise Invalid(Code.PAYMENT_REQUIRED)
    if frozen is not None:
        tolerance_minor = find_tolerance(frozen[0], settings.drift_tolerances)
        drift = find_drift(frozen[0], read_expected(request), tolerance_minor)
        if drift is not None:
            # The buyer saw something else than the frozen quote: nothing is charged, and the checkout unwinds.
            why = {checkout.id: Rejected(Code.PRICE_CHANGED, drift)}
            messages = backward.begin(connection, [checkout], why, settings, ending=CheckoutState.FAILED)
            rejection = Conflict(Code.PRICE_CHANGED, **drift)
            rejection.committed = True
            return CommandResult(checkout.id, changed=True, messages=messages, rejection=rejection)
    _bind_key(connection, request, checkout.id)
    if request.payment is not None:
        _pay(connection, checkout.id, request.payment, settings)
    messages = forward.resume_checkout(
        connection,
        checkout,
        settings,
        event="payment.submitted",
        extend_seconds=settings.payment_window_seconds,
        expected=expected_columns(request),
    )
    # One that has not reached its quote yet is running already: its message is not sent twice.
    return CommandResult(checkout.id, changed=True, messages=[] if early else messages)


def resume(connection: Connection, checkout_id: UUID, owner: str, settings: Settings) -> CommandResult:
    """Poll a payment that waited for 3-D Secure, after the buyer has acted. Extends no reservation."""
    checkout = _lock_owned(connection, checkout_id, owner)
    if checkout.state is not CheckoutState.ACTION_REQUIRED:
        return CommandResult(checkout_id, changed=False)
    messages = forward.resume_checkout(connection, checkout, settings, event="checkout.resumed")
    return CommandResult(checkout_id, changed=True, messages=messages)


def cancel(connection: Connection, checkout_id: UUID, owner: str, settings: Settings) -> CommandResult:
    """Cancel a checkout for its buyer. One that has ended or is unwinding already is not changed."""
    return _unwind(connection, _lock_owned(connection, checkout_id, owner), Rejected(Code.CANCELLED), settings)


def release(connection: Connection, checkout_id: UUID, actor: str, reason: str, settings: Settings) -> CommandResult:
    """Release a cart for an operator: a cancellation with the operator's name and reason in its events."""
    checkout = _lock_owned(connection, checkout_id, None)
    detail = {"actor": actor, "reason": reason}
    # The sentence has its own full stop.
    facts = detail | {"reason": reason.rstrip(". ")}
    released = _unwind(connection, checkout, Rejected(Code.RELEASED, facts), settings)
    if released.changed:
        write_events(connection, "checkout.released", [checkout_id], data={checkout_id: detail})
    return released


def retry(connection: Connection, checkout_id: UUID, actor: str, reason: str, settings: Settings) -> CommandResult:
    """Retry a checkout that needs review, in the direction it had.

    Of one that has ended, the void or refund that failed is retried.
    """
    checkout = _lock_owned(connection, checkout_id, None)
    if checkout.state in ENDINGS and close_reviews(connection, [checkout.id], actor=actor, reason=reason):
        return CommandResult(checkout.id, changed=True, messages=backward.retry_undo(connection, checkout))
    if checkout.state is not CheckoutState.NEEDS_REVIEW:
        return CommandResult(checkout_id, changed=False)
    detail = {"actor": actor, "reason": reason}
    messages = forward.resume_checkout(connection, checkout, settings, event="checkout.retried", detail=detail)
    return CommandResult(checkout_id, changed=True, messages=messages)


def _unwind(connection: Connection, checkout: LockedCheckout, why: Rejected, settings: Settings) -> CommandResult:
    if checkout.state in TERMINAL or checkout.state is CheckoutState.UNWINDING:
        return CommandResult(checkout.id, changed=False)
    if checkout.state is CheckoutState.NEEDS_REVIEW:
        raise Conflict(Code.NEEDS_REVIEW, checkout_id=str(checkout.id))
    if checkout.pivot_at is not None:
        raise Conflict(Code.PAST_PIVOT, checkout_id=str(checkout.id))
    messages = backward.begin(connection, [checkout], {checkout.id: why}, settings, ending=CheckoutState.CANCELLED)
    return CommandResult(checkout.id, changed=True, messages=messages)


def _lock_owned(connection: Connection, checkout_id: UUID, owner: str | None) -> LockedCheckout:
    """Lock a checkout of this owner, or of any without one; NotFound for one of another owner."""
    found = lock_checkouts(connection, [checkout_id])
    if not found or (owner is not None and found[0].owner != owner):
        raise NotFound(Code.CHECKOUT_UNKNOWN, checkout_id=str(checkout_id))
    return found[0]


def _replay(connection: Connection, request: StartRequest | ProcessRequest) -> CommandResult | None:
    """Return the result of a known key, None for a new one; Conflict if the key came with another request."""
    if request.idempotency_key is None:
        return None
    known = connection.execute(KEY, {"owner": request.owner, "key": request.idempotency_key}).one_or_none()
    if known is None:
        return None
    if known.fingerprint != fingerprint(request):
        raise Conflict(Code.KEY_CONFLICT, key=request.idempotency_key)
    return CommandResult(known.checkout_id, changed=False)


def _bind_key(connection: Connection, request: StartRequest | ProcessRequest, checkout_id: UUID) -> None:
    if request.idempotency_key is None:
        return
    bound = connection.execute(
        BIND_KEY,
        {
            "owner": request.owner,
            "key": request.idempotency_key,
            "action": "start" if isinstance(request, StartRequest) else "process",
            "fingerprint": fingerprint(request),
            "checkout_id": checkout_id,
        },
    )
    if bound.rowcount == 0:
        # Another transaction with this key committed during the wait: the same request is fine, any other is not.
        replayed = _replay(connection, request)
        if replayed is None or replayed.checkout_id != checkout_id:
            raise Conflict(Code.KEY_CONFLICT, key=request.idempotency_key)


def _pay(connection: Connection, checkout_id: UUID, payment: PaymentInput, settings: Settings) -> None:
    connection.execute(PAY, {"id": checkout_id, "gateway": settings.gateway, "token": payment.token})
