"""What one payment object at the provider means beside our side of its checkout. Pure.

Only what has come to rest is judged: an active checkout may be in the middle of a call.
"""

from typing import Final

from models.states import TERMINAL, CheckoutState, PaymentStatus
from pipeline.gateways.gateway import Held
from pipeline.reconciliation.findings import AUTHORIZING, Finding, FindingKind, Ours, kept

#: Where the two sides must agree. `needs_review` waits for a person, who should know of money that is there.
JUDGED: Final = TERMINAL | {CheckoutState.NEEDS_REVIEW}


def judge(held: Held, ours: Ours | None) -> Finding | None:
    """Compare an object at the provider with the checkout it belongs to, None when all is well.

    Without our metadata, and unknown to our books, it is no business of ours.
    """
    if ours is None:
        return None if held.checkout_id is None else Finding(FindingKind.STRANGER, held.checkout_id, None, held)
    kind = _find(held, ours) if ours.state in JUDGED else None
    return None if kind is None else Finding(kind, ours.checkout_id, ours, held)


def judge_unpaid(ours: Ours) -> Finding | None:
    """Judge a checkout for which no object was ever made: an order that costs something needs one."""
    if ours.order is None or ours.order.minor == 0:
        return None
    return Finding(FindingKind.ORDER_WITHOUT_CHARGE, ours.checkout_id, ours, None)


def miss(ours: Ours) -> Finding:
    """Return the finding for a payment whose object the provider says it does not have."""
    return Finding(FindingKind.MISSING_AT_PROVIDER, ours.checkout_id, ours, None)


def _find(held: Held, ours: Ours) -> FindingKind | None:
    has_kept = kept(held).minor > 0
    if ours.reference != held.reference:
        # What was cancelled or refunded is over, whoever made it.
        is_live = has_kept or held.status in AUTHORIZING or held.status is PaymentStatus.OPEN
        return FindingKind.STRAY_OBJECT if is_live else None
    if ours.order is not None:
        return _find_of_order(held, ours)
    if has_kept:
        return FindingKind.CHARGED_WITHOUT_ORDER
    if held.status in AUTHORIZING:
        return FindingKind.LIVE_AUTHORIZATION
    if ours.state is not CheckoutState.NEEDS_REVIEW and held.status is not ours.status:
        return FindingKind.BOOKS_BEHIND
    return None


def _find_of_order(held: Held, ours: Ours) -> FindingKind | None:
    if kept(held) != ours.order:
        return FindingKind.AMOUNT_DIFFERS if kept(held).minor > 0 else FindingKind.ORDER_WITHOUT_CHARGE
    return None if held.status is ours.status else FindingKind.BOOKS_BEHIND
