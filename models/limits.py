"""Limits of what is stored, for those at the door to refuse by."""

from typing import Final

#: Longest owner, reference and idempotency key: what Stripe and the Idempotency-Key draft allow.
MAX_REFERENCE: Final = 255
