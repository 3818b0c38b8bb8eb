"""Limits of what is stored and of what is read. Input beyond them is refused."""

from typing import Final

#: Longest owner, reference and idempotency key: what Stripe and the Idempotency-Key draft allow.
MAX_REFERENCE: Final = 255

#: Longest reason that a person gives for a change of an order.
MAX_REASON: Final = 1000

#: Lines of a cart that are read at all. `CHECKOUT_MAX_LINES` is the shop's own, lower bound; the largest
#: of half a million real baskets has 591. To read 5,000 lines with prices and taxes takes 80 ms.
MAX_LINES: Final = 5000
#: Discounts of one line, taxes of one line or of the delivery, coupons of one cart: orders have a handful.
MAX_CHARGES: Final = 50
MAX_COUPONS: Final = 50

#: Bytes of one message on a queue. As many as one HTTP request may bring along unless a setting says otherwise.
MAX_MESSAGE_BYTES: Final = 1024 * 1024
#: Values (members of objects, items of lists) in one JSON text: 5,000 lines with prices and taxes have 70,000.
MAX_VALUES: Final = 100_000

#: An address, whatever fields it has: how deep it goes, its values, the characters of all its names and texts together.
MAX_ADDRESS: Final = (4, 200, 20_000)
#: A payment beside its token, in the same terms: providers' own billing details have some thirty values.
MAX_PAYMENT: Final = (4, 100, 8192)

#: Units that one row of a file or of a batch may say of a stock level.
MAX_UNITS: Final = 1_000_000_000

#: Longest reservation that a request may name: a year. `CHECKOUT_TTL_CAP_MINUTES` is the shop's own, lower bound.
MAX_TTL_SECONDS: Final = 365 * 24 * 3600
