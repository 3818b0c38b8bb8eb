"""What goes to a payment provider beside the amount: read from frozen rows, so that a repeat sends the same."""

import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from pipeline.gateways.gateway import MAX_DETAIL, Details, Recipient

#: E-mail addresses of ordinary form. A provider refuses a payment with an address that it cannot read, so any other is
#: left out: a receipt is worth less than the sale.
EMAIL: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
MAX_EMAIL: Final = 254
COUNTRY: Final = re.compile(r"[A-Z]{2}")

# For one row of `payment_operations`. Details that no call of its kind sends are not looked up: a condition on the row
# alone is decided before any table is read.
DETAILS: Final = """
    (SELECT reference FROM checkouts
     WHERE id = payment_operations.checkout_id AND payment_operations.kind IN ('open', 'authorize')),
    (SELECT shipping_address FROM price_locks
     WHERE checkout_id = payment_operations.checkout_id AND payment_operations.kind IN ('open', 'authorize')),
    (SELECT billing_address FROM price_locks
     WHERE checkout_id = payment_operations.checkout_id AND payment_operations.kind IN ('open', 'authorize')),
    (SELECT id FROM orders WHERE checkout_id = payment_operations.checkout_id AND payment_operations.kind = 'capture')
"""


def read_details(
    reference: str | None,
    shipping: Mapping[str, Any] | None,
    billing: Mapping[str, Any] | None,
    order_id: UUID | None,
) -> Details:
    """Return the details of the columns `DETAILS`, in their order.

    The receipt goes to the billing address's `email`, without one to the shipping address's. A country that is not a
    code of two letters leaves the recipient out.
    """
    email = _read_email(billing or {}) or _read_email(shipping or {})
    return Details(reference, order_id, None if shipping is None else _read_recipient(shipping), email)


def _read_recipient(address: Mapping[str, Any]) -> Recipient | None:
    name, line1, country = (_read_text(address, field) for field in ("name", "line1", "country"))
    if name is None or line1 is None or country is None or not COUNTRY.fullmatch(country):
        return None
    line2, city, region, postal_code, phone = (
        _read_text(address, field) for field in ("line2", "city", "region", "postal_code", "phone")
    )
    return Recipient(name, line1, country, line2, city, region, postal_code, phone)


def _read_email(address: Mapping[str, Any]) -> str | None:
    text = _read_text(address, "email")
    return text if text is not None and len(text) <= MAX_EMAIL and EMAIL.fullmatch(text) else None


def _read_text(address: Mapping[str, Any], field: str) -> str | None:
    """Return a field's text, cut to `MAX_DETAIL`; None if it is blank or no text: an address may hold any fields."""
    text = address.get(field)
    return text.strip()[:MAX_DETAIL] or None if isinstance(text, str) else None
