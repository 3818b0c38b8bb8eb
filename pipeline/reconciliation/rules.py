"""What one payment object at the provider means beside our side of its checkout. Pure.

Only what has come to rest is judged: an active checkout may be in the middle of a call.
"""

from typing import Final

from models.states import TERMINAL, CheckoutState, PaymentStatus
from pipeline.gateways.gateway import Held
from pipeline.reconciliation.findings import AUTHORIZING, Finding, FindingKind, LocalRecord, kept

#: Where the two sides must agree. `needs_review` is for an operator, who should know of money that is there.
JUDGED: Final = TERMINAL | {CheckoutState.NEEDS_REVIEW}


def judge(held: Held, local: LocalRecord | None) -> Finding | None:
    """Compare an object at the provider with the checkout it belongs to, None when all is well.

    Without the engine's metadata, and without a stored payment, it does not concern the engine.
    """
    if local is None:
        return None if held.checkout_id is None else Finding(FindingKind.UNKNOWN_CHECKOUT, held.checkout_id, None, held)
    kind = _find(held, local) if local.state in JUDGED else None
    return None if kind is None else Finding(kind, local.checkout_id, local, held)


def judge_unpaid(local: LocalRecord) -> Finding | None:
    """Judge a checkout for which no object was ever made: an order that costs something needs one."""
    if local.order is None or local.order.minor == 0:
        return None
    return Finding(FindingKind.ORDER_WITHOUT_CHARGE, local.checkout_id, local, None)


def miss(local: LocalRecord) -> Finding:
    """Return the finding for a payment whose object the provider says it does not have."""
    return Finding(FindingKind.MISSING_AT_PROVIDER, local.checkout_id, local, None)


def _find(held: Held, local: LocalRecord) -> FindingKind | None:
    has_kept = kept(held).minor > 0
    if local.reference != held.reference:
        # What was cancelled or refunded is over, whoever made it.
        is_live = has_kept or held.status in AUTHORIZING or held.status is PaymentStatus.OPEN
        return FindingKind.ORPHANED_PAYMENT if is_live else None
    if local.order is not None:
        return _find_of_order(held, local)
    if has_kept:
        return FindingKind.CHARGED_WITHOUT_ORDER
    if held.status in AUTHORIZING:
        return FindingKind.LIVE_AUTHORIZATION
    if local.state is not CheckoutState.NEEDS_REVIEW and held.status is not local.status:
        return FindingKind.STATUS_DIFFERS
    return None


def _find_of_order(held: Held, local: LocalRecord) -> FindingKind | None:
    if kept(held) != local.order:
        return FindingKind.AMOUNT_DIFFERS if kept(held).minor > 0 else FindingKind.ORDER_WITHOUT_CHARGE
    return None if held.status is local.status else FindingKind.STATUS_DIFFERS
