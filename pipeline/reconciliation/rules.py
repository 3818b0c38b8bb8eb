"""Judges one payment object at the provider by the stored state of its checkout. Pure.

Only ended checkouts and those in review are judged: an active one may be in the middle of a call.
"""

from typing import Final

from models.money import Money
from models.states import TERMINAL, CheckoutState, PaymentStatus
from pipeline.gateways.gateway import Held
from pipeline.reconciliation.findings import AUTHORIZING, Finding, FindingKind, LocalRecord, kept

#: States in which both sides must agree. `needs_review` is included, so that the operator knows of captured money.
JUDGED: Final = TERMINAL | {CheckoutState.NEEDS_REVIEW}


def judge(held: Held, local: LocalRecord | None) -> Finding | None:
    """Return the finding for an object at the provider and its checkout; None when they agree.

    An object without the engine's metadata and without a stored payment does not concern the engine.
    """
    if local is None:
        return None if held.checkout_id is None else Finding(FindingKind.UNKNOWN_CHECKOUT, held.checkout_id, None, held)
    kind = _find(held, local) if local.state in JUDGED else None
    return None if kind is None else Finding(kind, local.checkout_id, local, held)


def needs_charge(held: Held, local: LocalRecord | None) -> bool:
    """Return whether the refunds and disputes of an order are to be compared: one of both sides has some."""
    if local is None or local.order is None or local.reference != held.reference:
        return False
    return local.state is CheckoutState.COMPLETED and (
        local.has_changes or held.refunded_minor > 0 or held.disputed_minor > 0
    )


def judge_unpaid(local: LocalRecord) -> Finding | None:
    """Return the finding for a checkout without an object: an order that costs something needs one."""
    if local.order is None or local.order.minor == 0:
        return None
    return Finding(FindingKind.ORDER_WITHOUT_CHARGE, local.checkout_id, local, None)


def judge_missing(local: LocalRecord) -> Finding:
    """Return the finding for a payment whose object the provider says it does not have."""
    return Finding(FindingKind.MISSING_AT_PROVIDER, local.checkout_id, local, None)


def _find(held: Held, local: LocalRecord) -> FindingKind | None:
    has_kept = kept(held).minor > 0
    if local.reference != held.reference:
        # An object that was voided or refunded has ended.
        is_live = has_kept or held.status in AUTHORIZING or held.status is PaymentStatus.OPEN
        return FindingKind.ORPHANED_PAYMENT if is_live else None
    if local.order is not None:
        return _find_of_order(held, local, local.order)
    if has_kept:
        return FindingKind.CHARGED_WITHOUT_ORDER
    if held.status in AUTHORIZING:
        return FindingKind.LIVE_AUTHORIZATION
    if local.state is not CheckoutState.NEEDS_REVIEW and held.status is not local.status:
        return FindingKind.STATUS_DIFFERS
    return None


def _find_of_order(held: Held, local: LocalRecord, order: Money) -> FindingKind | None:
    kept_minor = kept(held).minor
    # What was refunded later is compared refund by refund too; this finds what no refund of the provider's explains.
    most = order.minor - local.refunded_minor
    is_kept = most - local.unsettled_minor <= kept_minor <= most
    if kept(held).currency != order.currency or not is_kept:
        return FindingKind.AMOUNT_DIFFERS if kept_minor > 0 else FindingKind.ORDER_WITHOUT_CHARGE
    if held.status is PaymentStatus.REFUNDED and local.has_changes:
        return None
    return None if held.status is local.status else FindingKind.STATUS_DIFFERS
