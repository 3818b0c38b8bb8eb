"""Everything that `GET /checkout/status` says, in each state that a checkout can have."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import httpx2
import pytest

from models.states import TERMINAL, CheckoutState
from tests.integration.workers.web.stage import PREFER, Stage, held_stock, pay, put_cart, read_status, spin_until, start

Reach = Callable[[Stage, httpx2.Client, UUID, ExitStack], object]


def run(stage: Stage, cup: httpx2.Client, cart_id: UUID, held: ExitStack) -> None:
    """Start it while nothing can be reserved."""
    held.enter_context(held_stock(stage))
    cup.get("/checkout", params={"cart_id": str(cart_id)})


def unwind(stage: Stage, cup: httpx2.Client, cart_id: UUID, held: ExitStack) -> None:
    """Cancel it while nothing can be refunded."""
    start(cup, cart_id)
    held.enter_context(held_stock(stage))
    cup.post("/checkout/cancel", json={"cart_id": str(cart_id)})


def ask_person(stage: Stage, cup: httpx2.Client, cart_id: UUID, _held: ExitStack) -> None:
    """Have the bank refuse our access once the money is authorised."""
    pay(cup, {"cart_id": cart_id}, token="tok_capture_misconfigured", prefer={})
    spin_until(lambda: stage.hurry() and read_status(cup, cart_id=cart_id)["state"] == "needs_review", "a person")


def expire(stage: Stage, cup: httpx2.Client, cart_id: UUID, _held: ExitStack) -> None:
    """Have it expire without a payment."""
    start(cup, cart_id)
    stage.shelf.run("UPDATE checkouts SET expires_at = now()")
    stage.sweep()


REACH: Final[dict[CheckoutState, Reach]] = {
    CheckoutState.RUNNING: run,
    CheckoutState.AWAITING_PAYMENT: lambda _stage, cup, cart_id, _held: start(cup, cart_id),
    CheckoutState.ACTION_REQUIRED: lambda _stage, cup, cart_id, _held: pay(
        cup, {"cart_id": cart_id}, token="tok_action_required"
    ),
    CheckoutState.UNWINDING: unwind,
    CheckoutState.NEEDS_REVIEW: ask_person,
    CheckoutState.COMPLETED: lambda _stage, cup, cart_id, _held: pay(cup, {"cart_id": cart_id, "reference": "4711"}),
    CheckoutState.FAILED: lambda _stage, cup, cart_id, _held: pay(cup, {"cart_id": cart_id}, token="tok_declined"),
    CheckoutState.CANCELLED: lambda _stage, cup, cart_id, _held: (
        start(cup, cart_id),
        cup.post("/checkout/cancel", json={"cart_id": str(cart_id)}, headers=PREFER),
    ),
    CheckoutState.EXPIRED: expire,
}


def fail_with(code: str, phase: str | None, message: str, **detail: object) -> dict[str, Any]:
    """Return the failure that a status shows."""
    return {"code": code, "phase": phase, "message": message, "detail": detail}


DECLINED: Final = "The payment was declined (card_declined): try another payment method."
CANCELLED: Final = fail_with("cancelled", None, "The checkout was cancelled by the buyer.")
OVER: Final = "The checkout expired before it was paid: start a new one."
EARLY: Final = {"totals": None, "payment_attempts": None}
OPEN: Final = {"locked": False, "can_checkout": True, "phases_completed": 0, "phase_name": None}

#: What differs from a paid checkout in the midst of its way.
EXPECTED: Final[dict[CheckoutState, dict[str, Any]]] = {
    CheckoutState.RUNNING: {
        **EARLY,
        "state_name": "In progress",
        "message": "The checkout is in progress: ask again in a moment.",
        "phases_completed": 1,
        "phase_name": "cart_validation",
    },
    CheckoutState.AWAITING_PAYMENT: {
        "state_name": "Waiting for payment",
        "message": "Stock and prices are held until {expires_at}: pay, or cancel.",
        "can_resume": True,
        "payment_attempts": None,
    },
    CheckoutState.ACTION_REQUIRED: {
        "state_name": "Waiting for the buyer's bank",
        "message": "The buyer must complete 3-D Secure: redirect them as `action` says, or cancel.",
        "can_resume": True,
        "action": "https://bank.example/authenticate/{reference}",
    },
    CheckoutState.UNWINDING: {
        "state_name": "Being undone",
        "message": "The checkout is being undone: ask again in a moment.",
        "phases_completed": None,
        "phases_to_undo": 2,
        "phase_name": "inventory_reservation",
        "payment_attempts": None,
        "failure": CANCELLED,
    },
    CheckoutState.NEEDS_REVIEW: {
        "state_name": "Being reviewed",
        "message": "The checkout needs review by an operator: wait for the result, or ask support.",
        "phases_completed": 5,
        "phase_name": "order_creation",
    },
    CheckoutState.COMPLETED: {
        "state_name": "Completed",
        "message": "The order is placed: its number is {order_number}.",
        "locked": False,
        "phases_completed": 7,
        "phase_name": "stock_commit",
        "reference": "4711",
    },
    CheckoutState.FAILED: {
        **OPEN,
        "state_name": "Failed",
        "message": DECLINED,
        "failure": fail_with("payment_declined", "payment_authorization", DECLINED, reason="card_declined", attempt=1),
    },
    CheckoutState.CANCELLED: {
        **OPEN,
        "state_name": "Cancelled",
        "message": CANCELLED["message"],
        "payment_attempts": None,
        "failure": CANCELLED,
    },
    CheckoutState.EXPIRED: {
        **OPEN,
        "state_name": "Expired",
        "message": OVER,
        "payment_attempts": None,
        "failure": fail_with("expired", None, OVER),
    },
}

MIDWAY: Final[dict[str, Any]] = {
    "locked": True,
    "can_checkout": False,
    "can_resume": False,
    "phases_completed": 3,
    "phases_to_undo": None,
    "phase_name": "price_lock",
    "reference": None,
    "currency": "EUR",
    "totals": {
        "subtotal_minor": 500,
        "discount_minor": 0,
        "shipping_minor": 0,
        "tax_minor": 0,
        "total_minor": 500,
    },
    "action": None,
    "payment_attempts": 1,
    "failure": None,
}


@pytest.mark.parametrize("state", CheckoutState)
def test_a_state_is_told_whole(stage: Stage, cup: httpx2.Client, state: CheckoutState) -> None:
    # Given
    cart_id = put_cart(cup, ("cup", 2))
    expected = {**MIDWAY, **EXPECTED[state]}
    with ExitStack() as held:
        # When
        REACH[state](stage, cup, cart_id, held)

        def is_there() -> bool:
            seen = read_status(cup, cart_id=cart_id)
            return (seen["state"], seen["phase_name"]) == (state, expected["phase_name"])

        spin_until(is_there, state)
        # Then it is the same by the cart as by the checkout
        seen = read_status(cup, cart_id=cart_id)
        assert read_status(cup, checkout_id=seen["checkout_id"]) == seen
    # Then, whatever time and chance have made
    expires_at = datetime.fromisoformat(seen.pop("expires_at"))
    assert datetime.fromisoformat(seen.pop("created_at")) < expires_at
    assert (seen.pop("ended_at") is not None) == (state in TERMINAL)
    assert (seen.pop("quote_hash") is None) == (seen["totals"] is None)
    number = seen.pop("order_number")
    assert stage.shelf.rows("SELECT number FROM orders WHERE number IS NOT NULL") == (
        [] if number is None else [(number,)]
    )
    # Then, and all the rest
    until = expires_at.isoformat(timespec="seconds")
    expected["message"] = expected["message"].format(expires_at=until, order_number=number)
    if expected["action"] is not None:
        url = expected["action"].format(reference=stage.find_reference())
        expected["action"] = {"type": "redirect", "url": url}
    [(checkout_id,)] = stage.shelf.rows("SELECT id FROM checkouts")
    assert seen == {"cart_id": str(cart_id), "checkout_id": str(checkout_id), "state": state, **expected}
