"""Whether a request may join the active checkout of its cart: only if it says the same as that checkout's own request.

Otherwise its caller would get another request's result: another cart, another card, another total. What a request
without a payment leaves out is not compared; of one with a payment, everything is compared.
"""

import json
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.states import CheckoutState
from pipeline.carts import Cart, read_content
from pipeline.carts.cart_lock import CartLock
from pipeline.checkouts import Expected, LockedCheckout
from pipeline.errors import Code, Conflict
from pipeline.intake.requests import Expecting, ProcessRequest, StartRequest
from pipeline.pricing import find_drift, find_tolerance, read_quotes
from pipeline.settings import Settings

TOKEN: Final = text("SELECT token FROM payments WHERE checkout_id = :id")

#: Parts of a request, in the words of its refusal.
CART: Final = "the cart"
AMOUNTS: Final = "the expected amounts"
REFERENCE: Final = "the reference"
PAYMENT: Final = "the payment"


def join_cart(connection: Connection, request: StartRequest, cart_lock: CartLock, settings: Settings) -> None:
    """Return if this request of the owner may join the checkout that locks the cart; the cart's row must be locked.

    Raises Conflict otherwise: CHECKOUT_ACTIVE, CHECKOUT_BUSY when only the payment is another one, or PRICE_CHANGED
    when the quote is frozen and is not what was expected. Nothing is changed then.
    """
    if _only_names_cart(request):
        return
    if cart_lock.state is CheckoutState.UNWINDING:
        # An unwinding checkout was ended by its own card, its own buyer or its own time.
        raise _refuse(cart_lock.id, cart_lock.cart_id, state=cart_lock.state)
    pays = request.payment is not None
    is_paid = cart_lock.payment_given and cart_lock.state is not CheckoutState.AWAITING_PAYMENT
    differs = [] if request.cart is None or _is_stored(connection, request.cart) else [CART]
    off = _object_to_amounts(connection, cart_lock.id, cart_lock.expected, request, settings, compares_all=pays)
    if is_paid or not pays:
        if request.reference != cart_lock.reference and (pays or request.reference is not None):
            differs.append(REFERENCE)
        if off == {}:
            differs.append(AMOUNTS)
        if pays and _token(request) != cart_lock.token:
            differs.append(PAYMENT)
    if differs == [PAYMENT]:
        raise Conflict(Code.CHECKOUT_BUSY, checkout_id=str(cart_lock.id), state=cart_lock.state)
    if differs:
        raise _refuse(cart_lock.id, cart_lock.cart_id, differs=" and ".join(differs))
    if off:
        raise Conflict(Code.PRICE_CHANGED, checkout_id=str(cart_lock.id), **off)
    if pays and not is_paid:
        # The caller would take its payment for accepted; a payment here would lock rows out of order.
        raise _refuse(cart_lock.id, cart_lock.cart_id)


def join_payment(connection: Connection, request: ProcessRequest, checkout: LockedCheckout, settings: Settings) -> None:
    """Return if this request may join the payment in progress of this checkout; its row must be locked.

    Raises Conflict as `join_cart` does. Nothing is changed then: another request does not unwind a payment.
    """
    if connection.execute(TOKEN, {"id": checkout.id}).scalar_one_or_none() != _token(request):
        raise Conflict(Code.CHECKOUT_BUSY, checkout_id=str(checkout.id), state=checkout.state)
    off = _object_to_amounts(connection, checkout.id, checkout.expected, request, settings, compares_all=True)
    if off == {}:
        raise _refuse(checkout.id, checkout.cart_id, differs=AMOUNTS)
    if off:
        raise Conflict(Code.PRICE_CHANGED, checkout_id=str(checkout.id), **off)


def read_expected(request: Expecting) -> Expected:
    """Return what a request expects to be charged."""
    return Expected(request.expected_total_minor, request.expected_hash, request.expected_lines or {})


def _only_names_cart(request: StartRequest) -> bool:
    """Return whether a request only names its cart; the time for which it would reserve stock does not matter."""
    return request.model_dump(exclude={"owner", "cart_id", "ttl_seconds"}, exclude_none=True) == {}


def _object_to_amounts(
    connection: Connection,
    checkout_id: UUID,
    agreed: Expected,
    request: Expecting,
    settings: Settings,
    *,
    compares_all: bool,
) -> dict[str, Any] | None:
    """Return how the frozen quote differs from what a request expects; {} if none is frozen and others are expected.

    `agreed` is what the checkout's own request expects: when the locked prices differ from it, the checkout unwinds.
    """
    expected = read_expected(request)
    if expected == agreed or (expected == Expected() and not compares_all):
        return None
    frozen = read_quotes(connection, [checkout_id]).get(checkout_id)
    if frozen is None:
        return {}
    return find_drift(frozen[0], expected, find_tolerance(frozen[0], settings.drift_tolerances))


def _is_stored(connection: Connection, cart: Cart) -> bool:
    """Return whether the stored cart is, to the last field, the one in the request."""
    stored, given = read_content(connection, cart.id), cart.model_dump(mode="json", exclude={"id"})
    if cart.tax_id_validated is None:
        stored["tax_id_validated"] = None  # a validator may have confirmed the id since
    given["lines"] = [{"line": number, **line} for number, line in enumerate(given["lines"], start=1)]
    return bool(_canonical(stored) == _canonical(given))


def _canonical(content: dict[str, Any]) -> Any:
    # Stored JSON has 1e30 in full: numbers are compared by their value.
    return json.loads(json.dumps(content), parse_float=Decimal)


def _token(request: StartRequest | ProcessRequest) -> str | None:
    return None if request.payment is None else request.payment.token


def _refuse(checkout_id: UUID, cart_id: UUID, **why: str) -> Conflict:
    return Conflict(Code.CHECKOUT_ACTIVE, cart_id=str(cart_id), checkout_id=str(checkout_id), **why)
