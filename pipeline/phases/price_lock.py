"""Phase 3: compute and freeze the quote, redeem coupon uses, hold the total against what the caller expects.

Undo: void the lock, give the coupon uses back. Between phase 1 and here a price may have ended, or a variant been
deleted, so a line may have lost either: rejected as in phase 1. What is sold is the variant that phase 1 resolved,
under the sku, title and category that the catalog gives it now; one that has been deactivated since is still sold.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.money import MAX_MINOR
from pipeline.baskets import Basket, load_resolved
from pipeline.batch import Done, Member, Outcome, Rejected
from pipeline.coupons import CouponDesk, give_back
from pipeline.errors import Code
from pipeline.pricing.drift import find_drift
from pipeline.pricing.external import check_external
from pipeline.pricing.frozen import freeze_quotes
from pipeline.pricing.quote import price_order
from pipeline.pricing.source import Terms, build_order, load_terms
from pipeline.pricing.terms import Quote
from pipeline.settings import Settings

VOID: Final = text("""
    UPDATE price_locks SET voided_at = now() WHERE checkout_id = ANY(CAST(:ids AS uuid[])) AND voided_at IS NULL
""")


def do(connection: Connection, batch: Sequence[Member], settings: Settings) -> Mapping[UUID, Outcome]:
    """Freeze the quotes of a batch; a coupon's last use goes to the first come."""
    baskets = load_resolved(connection, [member.id for member in batch], settings.base_currency)
    terms = load_terms(connection, list(baskets.values()), batch[0].now, settings)
    desk = CouponDesk(connection, baskets.values())
    outcomes: dict[UUID, Outcome] = {}
    quotes: dict[UUID, Quote] = {}
    for member in batch:
        basket = baskets[member.cart_id]
        priced = quote(member, basket, terms, desk, settings)
        if isinstance(priced, Rejected):
            outcomes[member.id] = priced
        else:
            outcomes[member.id], quotes[member.id] = Done(), priced
            desk.grant(member.id, basket)
    if quotes:
        desk.redeem()
        freeze_quotes(connection, quotes)
    return outcomes


def quote(member: Member, basket: Basket, terms: Terms, desk: CouponDesk, settings: Settings) -> Quote | Rejected:
    """Price one basket and hold it against what the caller expects."""
    coupons = desk.find(basket)
    if isinstance(coupons, Rejected):
        return coupons
    order = build_order(basket, terms, coupons, settings)
    if isinstance(order, Rejected):
        return order
    if (objection := check_external(order)) is not None:
        return Rejected(Code.EXTERNAL_AMOUNTS, {"where": objection.where, "reason": objection.reason})
    priced = price_order(order)
    # What a coupon takes off a sum that no column can hold is no sum either.
    if priced.total_minor > settings.max_total_minor or priced.total_minor + priced.discount_minor > MAX_MINOR:
        return Rejected(Code.TOTAL_TOO_LARGE)
    if unused := set(basket.coupon_codes) - _applied_codes(priced):
        return Rejected(Code.COUPON_NOT_APPLICABLE, {"code": min(unused)})
    drift = find_drift(priced, member.expected, settings.price_drift_tolerance_minor)
    return priced if drift is None else Rejected(Code.PRICE_CHANGED, drift)


def undo(connection: Connection, batch: Sequence[Member]) -> None:
    """Void the locks and return the coupons; no lock, or a voided one, is fine."""
    ids = [member.id for member in batch]
    give_back(connection, ids)
    connection.execute(VOID, {"ids": ids})


def _applied_codes(priced: Quote) -> set[str]:
    discounts = [each for line in priced.lines for each in line.discounts]
    if priced.shipping is not None:
        discounts += priced.shipping.discounts
    return {each.code for each in discounts if each.code is not None}
