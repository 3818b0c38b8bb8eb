"""The tokens that the browser makes: a ConfirmationToken or a PaymentMethod, distinguished by prefix."""

import re
from dataclasses import dataclass
from typing import Final

_SHAPE: Final = re.compile(r"(ctoken|pm)_[A-Za-z0-9_]{1,200}")


@dataclass(frozen=True, slots=True)
class ConfirmationToken:
    """From `stripe.createConfirmationToken`: used once, within 12 hours. The way that Stripe supports today."""

    id: str


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """From `stripe.createPaymentMethod`, or a saved card."""

    id: str


def read_token(token: str) -> ConfirmationToken | PaymentMethod | None:
    """Return which of the two it is; None for anything else, older kinds (`tok_`, `src_`, `card_`) included."""
    found = _SHAPE.fullmatch(token)
    if found is None:
        return None
    return ConfirmationToken(token) if found[1] == "ctoken" else PaymentMethod(token)
