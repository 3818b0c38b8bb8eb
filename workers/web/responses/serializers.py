"""Carts and checkouts as JSON for HTTP."""

from collections.abc import Mapping
from typing import Any, Final

from models.states import ACTIVE, ENDINGS, CartState, CheckoutState
from pipeline.carts import StoredCart
from pipeline.intake import STATE_NAMES, Status
from pipeline.pricing import Quote
from pipeline.pricing.terms import QuoteLine, QuoteShipping
from workers.web.schemas.responses import (
    CartView,
    ChargeView,
    CheckoutView,
    ExchangeView,
    FailureView,
    OrderView,
    PricedView,
    QuoteLineView,
    QuoteView,
    StatusView,
    TotalsView,
)

MESSAGES: Final[Mapping[CheckoutState, str]] = {
    CheckoutState.RUNNING: "The checkout is in progress: ask again in a moment.",
    CheckoutState.AWAITING_PAYMENT: "Stock and prices are held until {expires_at}: pay, or cancel.",
    CheckoutState.ACTION_REQUIRED: ("The buyer must complete 3-D Secure: redirect them as `action` says, or cancel."),
    CheckoutState.UNWINDING: "The checkout is being undone: ask again in a moment.",
    CheckoutState.NEEDS_REVIEW: "The checkout needs review by an operator: wait for the result, or ask support.",
    CheckoutState.COMPLETED: "The order is placed: its number is {order_number}.",
    **dict.fromkeys(ENDINGS, "The checkout has ended: start a new one."),
}


def view_cart(stored: StoredCart, owner: str) -> CartView:
    """Return the view of a cart; another owner's checkout of it is not named."""
    cart_lock = stored.cart_lock
    is_own = cart_lock is not None and cart_lock.owner == owner
    return CartView(
        **stored.cart,
        state=stored.state,
        locked=cart_lock is not None,
        locked_by=None if cart_lock is None else cart_lock.owner if is_own else "another owner",
        checkout_id=cart_lock.id if cart_lock is not None and is_own else None,
        expires_at=None if cart_lock is None else cart_lock.expires_at,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )


def describe(status: Status) -> dict[str, Any]:
    """Return the fields of a checkout's status."""
    active = status.state in ACTIVE
    return {
        "cart_id": status.cart_id,
        "locked": active,
        "can_checkout": not active and status.state is not CheckoutState.COMPLETED,
        "can_resume": status.state in {CheckoutState.AWAITING_PAYMENT, CheckoutState.ACTION_REQUIRED},
        "message": _describe(status),
        "checkout_id": status.checkout_id,
        "state": status.state,
        "state_name": STATE_NAMES[status.state],
        "phases_completed": status.phases_completed,
        "phases_to_undo": status.phases_to_undo,
        "phase_name": status.phase_name,
        "reference": status.reference,
        "currency": status.currency,
        "totals": None if status.totals is None else TotalsView.model_validate(status.totals),
        "quote_hash": status.quote_hash,
        "expires_at": status.expires_at,
        "created_at": status.created_at,
        "ended_at": status.ended_at,
        "action": status.action,
        "payment_attempts": status.payment_attempts,
        "order_number": status.order_number,
        "failure": None if status.failure is None else FailureView.model_validate(status.failure),
    }


def view_status(status: Status) -> StatusView:
    """Return the view of a checkout's status."""
    return StatusView(**describe(status))


def view_idle_cart(stored: StoredCart) -> StatusView:
    """Return the status view of a cart without a checkout of this owner."""
    free = stored.cart_lock is None and stored.state is CartState.OPEN
    message = "No checkout has been started." if free else "The cart cannot be checked out now."
    return StatusView(
        cart_id=stored.cart["id"],
        locked=stored.cart_lock is not None,
        can_checkout=free,
        can_resume=False,
        message=message,
    )


def view_checkout(status: Status, quote: tuple[Quote, str] | None) -> CheckoutView:
    """Return the view of a checkout with its quote and order."""
    return CheckoutView(
        **describe(status),
        quote=None if quote is None else _view_quote(*quote),
        order=None if status.order is None else OrderView.model_validate(status.order),
    )


def _describe(status: Status) -> str:
    # Why it unwinds is in `failure`; its advice is for later, and until then the caller has to wait.
    if status.failure is not None and status.state not in {CheckoutState.UNWINDING, CheckoutState.NEEDS_REVIEW}:
        return status.failure.message
    until = status.expires_at.isoformat(timespec="seconds")
    return MESSAGES[status.state].format(expires_at=until, order_number=status.order_number)


def _view_quote(quote: Quote, hash_: str) -> QuoteView:
    exchange = None
    if quote.base_currency is not None and quote.exchange_rate is not None:
        exchange = ExchangeView(
            base_currency=quote.base_currency,
            rate=quote.exchange_rate,
            source=quote.exchange_source,
            observed_at=quote.exchange_at,
        )
    return QuoteView(
        hash=hash_,
        lines=[QuoteLineView(**_amounts(QuoteLineView, line)) for line in quote.lines],
        shipping=None if quote.shipping is None else PricedView(**_amounts(PricedView, quote.shipping)),
        exchange=exchange,
    )


def _amounts(view: type[PricedView], priced: QuoteLine | QuoteShipping) -> dict[str, Any]:
    return {name: getattr(priced, name) for name in view.model_fields} | {
        "discounts": [ChargeView(name=each.text, amount_minor=each.amount_minor) for each in priced.discounts],
        "taxes": [ChargeView(name=each.name, amount_minor=each.amount_minor, rate=each.rate) for each in priced.taxes],
    }
