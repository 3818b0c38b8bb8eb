"""The total of a cart, and whether it can be charged: checked early at validation, and decided at the price lock."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from models.money import MAX_MINOR, Money
from pipeline.carts import Basket
from pipeline.checkouts import LockedCheckout, Rejected
from pipeline.errors import Code
from pipeline.gateways.gateway import Chargeable, NotChargeable
from pipeline.pricing.coupons import CouponBook
from pipeline.pricing.exchange import find_amount
from pipeline.pricing.external import check_external
from pipeline.pricing.loader import Terms, build_order, load_terms
from pipeline.pricing.promotions.discounts import explain_unused
from pipeline.pricing.quote import price_order
from pipeline.pricing.rounding import round_down
from pipeline.pricing.terms import Quote
from pipeline.settings import Settings

#: The smallest and the largest total there is. A gateway that charges both as they are charges all between them.
_ENDS: Final = (1, MAX_MINOR)


def charge_exactly(amount: Money) -> Money:
    """Charge every amount as it is."""
    return amount


def price_basket(
    basket: Basket, terms: Terms, coupon_book: CouponBook, settings: Settings, chargeable: Chargeable
) -> Quote | Rejected:
    """Price one basket over an amount that can be charged."""
    coupons = coupon_book.find(basket)
    if isinstance(coupons, Rejected):
        return coupons
    order = build_order(basket, terms, coupons, settings)
    if isinstance(order, Rejected):
        return order
    if (objection := check_external(order)) is not None:
        return Rejected(Code.EXTERNAL_AMOUNTS, {"where": objection.where, "reason": objection.reason})
    priced = price_order(order)
    # A sum before discounts that no column can store is too large, whatever a coupon takes off it.
    cap = find_amount(settings.total_caps, priced.currency, terms.exchange)
    above = cap is not None and priced.total_minor > cap
    if above or priced.total_minor + priced.discount_minor > MAX_MINOR:
        return Rejected(Code.TOTAL_TOO_LARGE)
    if unused := set(basket.coupon_codes) - _applied_codes(priced):
        code = min(unused)
        return Rejected(Code.COUPON_NOT_APPLICABLE, {"code": code, "reason": explain_unused(order, code)})
    return _fit(priced, chargeable)


def find_unchargeable(
    connection: Connection,
    batch: Sequence[LockedCheckout],
    baskets: Mapping[UUID, Basket],
    settings: Settings,
    chargeable: Chargeable,
) -> dict[UUID, Rejected]:
    """Return which of these checkouts have, at this moment, a total that cannot be charged; nothing is locked.

    Free where the gateway charges every amount of the cart's currency; otherwise the batch is priced a first time, in
    three or four round trips. Other objections are left to the price lock, which prices with the coupons locked.
    """
    candidates = [each for each in batch if not _charges_all(baskets[each.cart_id].currency, chargeable)]
    if not candidates:
        return {}
    found = [baskets[each.cart_id] for each in candidates]
    coupon_book = CouponBook(connection, found, settings.base_currency, lock=False)
    terms = load_terms(connection, found, coupon_book.promotions, candidates[0].now, settings)
    priced = {
        each.id: price_basket(baskets[each.cart_id], terms, coupon_book, settings, chargeable) for each in candidates
    }
    return {
        id_: outcome
        for id_, outcome in priced.items()
        if isinstance(outcome, Rejected) and outcome.code is Code.AMOUNT_NOT_CHARGEABLE
    }


def _charges_all(currency: str, chargeable: Chargeable) -> bool:
    return all(chargeable(amount) == amount for amount in (Money(minor, currency) for minor in _ENDS))


def _fit(priced: Quote, chargeable: Chargeable) -> Quote | Rejected:
    """Return a quote rounded down to an amount that can be charged. A total of zero needs no charge."""
    amount = Money(priced.total_minor, priced.currency)
    charge = chargeable(amount) if amount.minor else amount
    if isinstance(charge, NotChargeable):
        return Rejected(Code.AMOUNT_NOT_CHARGEABLE, {"amount": str(amount), "reason": charge.reason})
    if charge == amount:
        return priced
    fitted = round_down(priced, amount.minor - charge.minor)
    if fitted is None:
        reason = f"{charge} can, and no line is large enough to be rounded: change the cart"
        return Rejected(Code.AMOUNT_NOT_CHARGEABLE, {"amount": str(amount), "reason": reason})
    return fitted


def _applied_codes(priced: Quote) -> set[str]:
    discounts = [each for line in priced.lines for each in line.discounts]
    if priced.shipping is not None:
        discounts += priced.shipping.discounts
    return {each.code for each in discounts if each.code is not None}
