"""Checkouts whose events and movements are detached: what compares with these cannot be checked any more."""

from typing import Final

#: The month of `checkout_id` is not detached. Detaching it has checked the same before (operations/detachment.py).
IS_ATTACHED: Final = """NOT EXISTS (
            SELECT FROM detached_months d WHERE checkout_id >= d.from_id AND checkout_id < d.until_id)"""
