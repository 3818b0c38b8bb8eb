"""Sentences for some of a code's facts, where its usual sentence would be wrong."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pipeline.errors.codes import Code

#: Return whether a variant of a sentence is for these facts.
When = Callable[[Mapping[str, Any]], bool]

#: The sentence instead where the facts make the usual sentence wrong: the first whose condition holds.
VARIANTS: Final[dict[Code, tuple[tuple[When, str], ...]]] = {
    Code.ADDRESS_MISSING: (
        (lambda facts: facts.get("reason") == "there is none", "The cart has no shipping address: add one."),
        (
            lambda facts: facts.get("which") == "billing",
            "The billing address cannot be used ({reason}): correct it, or leave it out.",
        ),
    ),
    Code.VARIANT_UNKNOWN: (
        (
            lambda facts: "look_alike" in facts,
            "Line {line} names {sku!q}, which is not in the catalog, but {look_alike!q} is: correct the line,"
            " or remove it.",
        ),
    ),
    Code.SKU_UNKNOWN: (
        (
            lambda facts: "look_alike" in facts,
            "There is no variant with the SKU {sku!q}; {look_alike!q} looks like it: check the spelling.",
        ),
    ),
    Code.CHECKOUT_ACTIVE: (
        (
            lambda facts: "differs" in facts,
            "Checkout {checkout_id} of cart {cart_id} was asked for something else ({differs}): wait for its outcome,"
            " or cancel it.",
        ),
        (
            lambda facts: "state" in facts,
            "Checkout {checkout_id} of cart {cart_id} is in progress ({state}): repeat the request in a moment.",
        ),
    ),
    Code.PRICE_CHANGED: (
        (
            lambda facts: "differs" in facts,
            "What is charged is not what was expected ({differs}): show it and ask again.",
        ),
    ),
    Code.OUT_OF_STOCK: ((lambda facts: facts.get("available") == 0, "{sku!q} is sold out: remove it."),),
    Code.PAST_PIVOT: (
        (
            lambda facts: facts.get("repeat") == "after_order",
            "The payment of checkout {checkout_id} is being captured: cancel it again with after_order and"
            " Prefer: wait, or cancel its order once it is placed.",
        ),
    ),
    Code.CHECKOUT_ENDED: (
        (
            lambda facts: facts.get("state") == "completed",
            "Checkout {checkout_id} is completed and its order is placed: nothing is left to pay, and to cancel,"
            " cancel the order.",
        ),
        (
            lambda facts: facts.get("state") == "unwinding",
            "Checkout {checkout_id} is being undone: wait until its cart is open again, then start a new one.",
        ),
    ),
    Code.ORDER_CANCELLED: (
        (
            lambda facts: "change_id" in facts,
            "Order {number} is cancelled, so that its cancellation {change_id} cannot fail any more: settle it as done,"
            " or retry its refund.",
        ),
        (
            lambda facts: facts.get("state") == "placed",
            "Order {number} is being cancelled: wait for the outcome of that.",
        ),
    ),
    Code.ATTEMPTS_EXHAUSTED: (
        (
            lambda facts: "change_id" in facts,
            "Change {change_id} of an order failed {attempts:time|times} ({error}): report it, then settle the change.",
        ),
    ),
    Code.ORDER_NOT_PLACED: (
        (
            lambda facts: facts.get("state") == "cancelled",
            "Order {order_id} was never placed, because its checkout was undone: there is nothing to change.",
        ),
    ),
    Code.REFUND_EXCEEDS_CAPTURED: (
        (
            lambda facts: facts.get("left_minor") == 0,
            "Of order {number}, nothing is left to refund: all that was paid is refunded, or about to be.",
        ),
    ),
    Code.LINE_NOT_REFUNDABLE: (
        (lambda facts: facts.get("units") == 0, "Line {line} has no unit left to refund: leave it out."),
    ),
    Code.LINE_NOT_RESTOCKABLE: (
        (
            lambda facts: facts.get("units") == 0 and "location" in facts,
            "Line {line} has no unit left to restock at {location!q}: name where it was sold, or leave it out.",
        ),
        (lambda facts: facts.get("units") == 0, "Line {line} has no unit left to restock: leave it out."),
    ),
    Code.LINE_NOT_FULFILLABLE: (
        (lambda facts: facts.get("units") == 0, "Line {line} has no unit left to fulfil: leave it out."),
    ),
    Code.CHECKOUT_BUSY: (
        (
            lambda facts: facts.get("state") == "action_required",
            "Checkout {checkout_id} awaits 3-D Secure: the buyer must complete it, or cancel the checkout.",
        ),
    ),
}
