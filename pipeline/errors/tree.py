"""One tree of errors, and one helpful sentence for each code."""

from collections.abc import Mapping
from typing import Any, Final

from pipeline.errors.codes import Code
from pipeline.errors.variants import VARIANTS
from pipeline.errors.wording import fill

__all__ = [
    "SENTENCES",
    "CheckoutError",
    "Code",
    "Conflict",
    "Invalid",
    "NotFound",
    "Refused",
    "Unavailable",
    "list_sentences",
    "sentence",
]


SENTENCES: Final[dict[Code, str]] = {
    Code.MESSAGE_INVALID: "The message cannot be read: {reason}; send it in the documented form.",
    Code.REQUEST_INVALID: "The request is not valid: {reason}; correct it and send it again.",
    Code.KEY_REQUIRED: "A payment or a queued message needs an idempotency key: send one unique to this purchase.",
    Code.KEY_CONFLICT: "Idempotency key {key!q} was used for another request: use a new key for a new request.",
    Code.TTL_TOO_LONG: (
        "A checkout may hold stock for at most {cap_seconds:second|seconds}: ask for less, or leave ttl_seconds out."
    ),
    Code.KEY_RUNNING: "The request with idempotency key {key!q} is being processed: repeat it in a moment.",
    Code.API_KEY_INVALID: "The request carries no valid API key: send `Authorization: Bearer` and a live one.",
    Code.CELL_WRONG: "The API key is one of cell {cell!q}, and this is another cell: send the request to that one.",
    Code.OWNER_MOVING: (
        "The shop moves to cell {cell!q}, and nothing starts until it is there: repeat the same request in"
        " {seconds:second|seconds}."
    ),
    Code.SCOPE_MISSING: "The API key lacks the scope {scope} ({why}): use one with it.",
    Code.RATE_LIMITED: (
        "The rate limit {policy!q} is {limit:request|requests} a minute: wait {seconds:second|seconds}."
    ),
    Code.BODY_TOO_LARGE: "The body has more than {limit:byte|bytes}: send less.",
    Code.HEADERS_TOO_LARGE: "The headers have more than {limit:byte|bytes}, or are more than {headers}: send less.",
    Code.ADDRESS_TOO_LONG: (
        "A path has at most {path:byte|bytes}, a query {query:byte|bytes} and {limit:parameter|parameters}: send less."
    ),
    Code.REQUEST_TIMEOUT: "The request did not arrive whole within {seconds:second|seconds}: send it again.",
    Code.SIGN_INS_LIMITED: (
        "At most {limit:sign-in attempt is|sign-in attempts are} allowed a minute: wait {seconds:second|seconds}."
    ),
    Code.MEDIA_TYPE: "The body is not application/json: send JSON, and say so in Content-Type.",
    Code.ROUTE_UNKNOWN: "There is nothing at this address: /openapi.json lists what there is.",
    Code.METHOD_UNKNOWN: "{method} is not possible here: use {allowed}.",
    Code.ORIGIN_FOREIGN: "The form was sent from another site: open the page here, and send it from there.",
    Code.UNAVAILABLE: "The engine cannot work right now: repeat the same request in a few seconds.",
    Code.READING_UNAVAILABLE: (
        "The database of CHECKOUT_READ_URL cannot be read ({reason}): repair it, or unset CHECKOUT_READ_URL."
    ),
    Code.OVERLOADED: ("The engine is overloaded: repeat the same request in {seconds:second|seconds}."),
    Code.CART_UNKNOWN: "There is no cart {cart_id}: create it first, then start its checkout.",
    Code.CART_LOCKED: "Cart {cart_id} is locked by {locked_by} until {expires_at}: try again after that.",
    Code.CART_COMPLETED: "Cart {cart_id} has been bought already: start with a new cart.",
    Code.CHECKOUT_ACTIVE: "Checkout {checkout_id} of cart {cart_id} awaits payment: process it, or cancel it.",
    Code.CART_EMPTY: "The cart has no lines: add something to it first.",
    Code.CART_TOO_LARGE: "The cart has {lines:line|lines} and at most {limit} may be bought at once: split it.",
    Code.QUANTITY_INVALID: "Line {line} asks for {quantity} of {sku!q}: ask for at least 1 and at most {limit}.",
    Code.ADDRESS_MISSING: "The shipping address cannot be used ({reason}): correct it.",
    Code.REGION_REQUIRED: (
        "What is taxed in {country} depends on the region, and the shipping address {reason}:"
        " send it as region, by its code or name in ISO 3166-2."
    ),
    Code.TAX_ID_INVALID: "The tax id cannot be used ({reason}): correct it, or leave it out.",
    Code.VARIANT_UNKNOWN: "Line {line} names {sku!q}, which is not in the catalog: remove the line.",
    Code.VARIANT_INACTIVE: "Line {line} names {sku!q}, which is not sold any more: remove the line.",
    Code.CURRENCY_UNKNOWN: "{currency!q} is not an ISO 4217 currency with a minor unit: use one such as EUR.",
    Code.CURRENCY_MIXED: "Line {line} is priced in {currency} and the cart is in {cart_currency}: use one currency.",
    Code.PRICE_MISSING: "Line {line}: {sku!q} has no price in {currency}: add one, or remove the line.",
    Code.PRICE_INVALID: "Line {line}: {unit_price_minor} is not a price: send zero or more minor units.",
    Code.PRICE_TOO_SMALL: (
        "Line {line}: {sku!q} costs {price}, and nothing in {currency}: give it a price in {currency}."
    ),
    Code.TOTAL_TOO_LARGE: "The total is larger than any amount that can be charged: split the cart.",
    Code.AMOUNT_NOT_CHARGEABLE: "The total of {amount} cannot be charged: {reason}.",
    Code.EXCHANGE_RATE_STALE: "The rate from {base} to {quote} is of {observed_at}: import a newer one.",
    Code.TAX_RATES_ENDED: "No rate of {names} in {place} is valid now: import valid ones, or a rate of 0.",
    Code.EXTERNAL_AMOUNTS: "The amounts of {where} do not agree ({reason}): send amounts that add up.",
    Code.EXTERNAL_AMOUNTS_REFUSED: (
        "Messages may not name prices, discounts, taxes or delivery costs here: leave them out, or send the cart over"
        " HTTP with a key that has the scope prices."
    ),
    Code.COUPON_UNKNOWN: "Coupon {code!q} does not exist or is not valid now: remove it.",
    Code.COUPON_USED_UP: "Coupon {code!q} has been used as often as it may be: remove it.",
    Code.COUPON_NEEDS_CUSTOMER: "Coupon {code!q} is limited per customer and the cart names none: name the customer.",
    Code.COUPON_NOT_APPLICABLE: "Coupon {code!q} gives nothing on this cart ({reason}): remove it.",
    Code.OUT_OF_STOCK: "Of {sku!q}, {requested:was|were} asked for and {available:is|are} left: ask for fewer.",
    Code.PRICE_CHANGED: "The total is {total_minor}, not the expected {expected_total_minor}: show it and ask again.",
    Code.SKU_UNKNOWN: "There is no variant with the SKU {sku!q}: import it first, or check the spelling.",
    Code.STOCK_RESERVED: (
        "Checkouts hold {reserved} of {sku!q} at {location!q}, and {quantity} would be there: keep {reserved} or more."
    ),
    Code.STOCK_OVERSOLD: (
        "The policy of {sku!q} cannot be deny: elsewhere {reserved} are held of {quantity}: receive more there."
    ),
    Code.STOCK_EXPECTATION_REQUIRED: (
        "{sku!q} has {on_hand:unit|units} at {location!q}: add --expect {on_hand}, or say +5."
    ),
    Code.STOCK_CHANGED: (
        "{sku!q} has {on_hand:unit|units} at {location!q}, not {expected}: count, and expect {on_hand}."
    ),
    Code.STOCK_COUNT_OUTDATED: (
        "{sku!q} at {location!q} was set by hand since {counted_at}: count again, or give +5 or -3."
    ),
    Code.LOCATION_UNKNOWN: (
        "There is no location {location!q} ({hint}): correct it, or create it with --create (over HTTP,"
        " create_locations)."
    ),
    Code.PROMOTION_UNKNOWN: "There is no promotion {promotion_id}: `checkout promotions list --all` shows them.",
    Code.PRICE_OVERLAPS: ("{sku!q} has a price in {currency} from {begins} until {ends} already: name other times."),
    Code.CATALOG_READ_ONLY: (
        "This process may not write the catalog: have its operator set CHECKOUT_CATALOG_URL to a database user with the"
        " role checkout_clerk."
    ),
    Code.CHECKOUT_UNKNOWN: "There is no checkout {checkout_id} of this owner: check the id.",
    Code.CHECKOUT_ENDED: "Checkout {checkout_id} is {state}: start a new one.",
    Code.CHECKOUT_BUSY: "Checkout {checkout_id} is {state} and has its payment: wait for its outcome.",
    Code.PAST_PIVOT: ("The payment of checkout {checkout_id} is being captured: wait for its order, then cancel that."),
    Code.NEEDS_REVIEW: "Checkout {checkout_id} needs review by an operator: wait for the result, or ask support.",
    Code.PAYMENT_REQUIRED: "There is something to pay, and the request carries no payment: send its token.",
    Code.PAYMENT_DECLINED: "The payment was declined ({reason}): try another payment method.",
    Code.CAPTURE_DECLINED: "The authorised payment could not be captured ({reason}): start again with another one.",
    Code.PAYMENT_UNRESOLVED: "The outcome of {kind!q} at the payment provider is unknown: check it there, then retry.",
    Code.AUTHORIZATION_EXPIRED: "The authorisation of the payment expired before it was captured: start again.",
    Code.REFUND_FAILED: "{amount} could not be refunded ({error}): refund it at the provider, then retry.",
    Code.VOID_FAILED: "{amount} authorised could not be voided ({error}): void it at the provider, then retry.",
    Code.CARD_NUMBER: "The payment token looks like a card number: send the provider's token, never the number.",
    Code.GATEWAY_MISCONFIGURED: "The payment provider refuses access ({reason}): correct its API keys, then retry.",
    Code.GATEWAY_UNAVAILABLE: "The payment provider does not answer ({reason}): try again later.",
    Code.GATEWAY_UNKNOWN: "There is no gateway {gateway!q} here: use the one that CHECKOUT_GATEWAY names.",
    Code.WEBHOOK_INVALID: "The webhook cannot be accepted ({reason}): check its signing secret and the sender's clock.",
    Code.ENDPOINT_INVALID: "No webhook can be sent there ({reason}): name a public https address.",
    Code.ORDER_UNKNOWN: "There is no order {order_id} of this owner: check the id.",
    Code.ORDER_NOT_PLACED: "Order {order_id} is {state}: wait until it is placed.",
    Code.ORDER_CANCELLED: "Order {number} is cancelled: nothing of it can be changed any more.",
    Code.ORDER_DISPUTED: (
        "{disputed} of order {number} is disputed, so that {left} can be refunded: answer the dispute at the provider."
    ),
    Code.ALREADY_FULFILLED: (
        "Of order {number}, {units:unit was|units were} fulfilled already: refund what comes back, and restock it."
    ),
    Code.REFUND_EXCEEDS_CAPTURED: "{amount} of order {number} cannot be refunded: refund at most {left}.",
    Code.DELIVERY_NOT_REFUNDABLE: "{amount} of the delivery cannot be refunded: refund at most {left} of it.",
    Code.LINE_NOT_REFUNDABLE: "Line {line}: {quantity} cannot be refunded: name at most {units:unit|units}.",
    Code.LINE_NOT_RESTOCKABLE: (
        "Line {line}: {quantity} cannot be restocked at {location!q}: name at most {units:unit|units}, sold there."
    ),
    Code.LINE_NOT_FULFILLABLE: "Line {line}: {quantity} cannot be fulfilled: name at most {units:unit|units}.",
    Code.CHANGE_UNKNOWN: "There is no change {change_id} of this order: check the id.",
    Code.CHANGE_NOT_IN_REVIEW: "Change {change_id} is {state}, and needs no review: leave it as it is.",
    Code.REFUND_DECLINED: "The provider refuses to refund {amount} ({error}): pay it to the buyer in another way.",
    Code.REFUND_RETURNED: (
        "The refund of {amount} was accepted and failed later ({error}): pay it in another way, then settle the change."
    ),
    Code.REFUND_UNRESOLVED: (
        "Whether {amount} was refunded is unknown ({error}): look at the provider, then settle the change."
    ),
    Code.CANCELLED: "The checkout was cancelled by the buyer.",
    Code.RELEASED: "The checkout was released by {actor}: {reason}.",
    Code.EXPIRED: "The checkout expired before it was paid: start a new one.",
    Code.ATTEMPTS_EXHAUSTED: (
        "Phase {phase} failed {attempts:time|times} ({error}): report it, then start a new checkout."
    ),
    Code.UNDO_FAILED: "Undoing {phase} failed {attempts:time|times} ({error}): settle it by hand, then retry.",
    Code.INTERNAL_ERROR: "The request could not be handled ({error}): report it with its idempotency key.",
}


def list_sentences(code: Code) -> list[str]:
    """Return every sentence that this code may have, its facts not filled in."""
    return [SENTENCES[code], *(template for _holds, template in VARIANTS.get(code, ()))]


def sentence(code: Code, detail: Mapping[str, Any]) -> str:
    """Return the sentence for this code with its facts filled in."""
    variants = (template for holds, template in VARIANTS.get(code, ()) if holds(detail))
    return fill(next(variants, SENTENCES[code]), detail)


class CheckoutError(Exception):
    """Base of every error that the engine raises on purpose: a stable code, its facts, and a sentence."""

    def __init__(self, code: Code, **detail: Any) -> None:
        """Take the facts that the code's sentence names."""
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        """Return the sentence."""
        return sentence(self.code, self.detail)


class Refused(CheckoutError):
    """The request cannot be carried out. Nothing was changed, unless `committed`: then its effects have committed."""

    committed: bool = False


class Invalid(Refused):
    """The request itself is wrong: the same request fails again."""


class NotFound(Refused):
    """What the request names does not exist, or belongs to another owner."""


class Conflict(Refused):
    """The request is valid, and the present state does not allow it."""


class Unavailable(CheckoutError):
    """An external system does not answer. Nothing was changed; the same request may succeed later."""
