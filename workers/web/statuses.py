"""The HTTP status of every code. A new code fails the test that counts them until it has its line here."""

from typing import Final

from pipeline.errors import Code

#: A database that restarts is back within seconds; a client that waits this long does not add to its trouble.
RETRY_AFTER_SECONDS: Final = 2

_CODES: Final[dict[int, tuple[Code, ...]]] = {
    400: (Code.KEY_REQUIRED, Code.WEBHOOK_INVALID),
    401: (Code.API_KEY_INVALID,),
    402: (Code.PAYMENT_DECLINED, Code.CAPTURE_DECLINED, Code.AUTHORIZATION_EXPIRED),
    403: (Code.SCOPE_MISSING, Code.ORIGIN_FOREIGN),
    404: (Code.CART_UNKNOWN, Code.CHECKOUT_UNKNOWN, Code.SKU_UNKNOWN, Code.GATEWAY_UNKNOWN, Code.ROUTE_UNKNOWN),
    405: (Code.METHOD_UNKNOWN,),
    409: (
        Code.KEY_RUNNING,
        Code.CART_COMPLETED,
        Code.CHECKOUT_ACTIVE,
        Code.CHECKOUT_ENDED,
        Code.CHECKOUT_BUSY,
        Code.PAST_PIVOT,
        Code.NEEDS_REVIEW,
        Code.OUT_OF_STOCK,
        Code.STOCK_RESERVED,
        Code.PRICE_CHANGED,
        Code.COUPON_USED_UP,
        Code.CANCELLED,
        Code.RELEASED,
        Code.EXPIRED,
        Code.REFUND_FAILED,
        Code.VOID_FAILED,
        Code.UNDO_FAILED,
    ),
    413: (Code.BODY_TOO_LARGE,),
    415: (Code.MEDIA_TYPE,),
    422: (
        Code.MESSAGE_INVALID,
        Code.REQUEST_INVALID,
        Code.KEY_CONFLICT,
        Code.TTL_TOO_LONG,
        Code.CART_EMPTY,
        Code.CART_TOO_LARGE,
        Code.QUANTITY_INVALID,
        Code.ADDRESS_MISSING,
        Code.VARIANT_UNKNOWN,
        Code.VARIANT_INACTIVE,
        Code.CURRENCY_UNKNOWN,
        Code.CURRENCY_MIXED,
        Code.PRICE_MISSING,
        Code.PRICE_INVALID,
        Code.PRICE_TOO_SMALL,
        Code.AMOUNT_NOT_CHARGEABLE,
        Code.TOTAL_TOO_LARGE,
        Code.EXTERNAL_AMOUNTS,
        Code.COUPON_UNKNOWN,
        Code.COUPON_NEEDS_CUSTOMER,
        Code.COUPON_NOT_APPLICABLE,
        Code.PAYMENT_REQUIRED,
        Code.CARD_NUMBER,
        Code.ENDPOINT_INVALID,
    ),
    423: (Code.CART_LOCKED,),
    429: (Code.RATE_LIMITED,),
    500: (Code.INTERNAL_ERROR, Code.ATTEMPTS_EXHAUSTED),
    503: (
        Code.UNAVAILABLE,
        Code.OVERLOADED,
        Code.EXCHANGE_RATE_STALE,
        Code.TAX_RATES_ENDED,
        Code.PAYMENT_UNRESOLVED,
        Code.GATEWAY_MISCONFIGURED,
        Code.GATEWAY_UNAVAILABLE,
    ),
}

STATUSES: Final[dict[Code, int]] = {code: status for status, codes in _CODES.items() for code in codes}

#: As RFC 9110 and its followers have them; Python's own names differ from version to version.
TITLES: Final[dict[int, str]] = {
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    423: "Locked",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
