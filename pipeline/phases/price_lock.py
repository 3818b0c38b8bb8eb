"""Computes and freezes the quote, redeems coupon uses, and compares the total with what the caller expects.

Undo: voids the price lock and returns the coupon uses. Since the cart validation a price may have ended, or a variant
been deleted: such lines are rejected in the same way. The variant that was resolved is sold, under the sku, title and
category that the catalog has now, even if it was deactivated since.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from pipeline.carts import Basket
from pipeline.carts.snapshot import load_resolved
from pipeline.checkouts import Done, LockedCheckout, PhaseResult, Rejected
from pipeline.checkouts.events import write_events
from pipeline.errors import Code
from pipeline.gateways.gateway import Chargeable
from pipeline.pricing import Quote, find_drift, find_tolerance, freeze_quotes
from pipeline.pricing.charge import charge_exactly, price_basket
from pipeline.pricing.coupons import CouponBook, return_coupons
from pipeline.pricing.loader import Terms, describe_lapsed, find_lapsed_rates, load_terms
from pipeline.settings import Settings, TaxRatesEnded

#: Its name in the chain: a phase has the name of its file.
NAME: Final = __name__.rpartition(".")[2]

VOID: Final = text("""
    UPDATE price_locks SET voided_at = now() WHERE checkout_id = ANY(CAST(:ids AS uuid[])) AND voided_at IS NULL
""")


def do(
    connection: Connection,
    batch: Sequence[LockedCheckout],
    settings: Settings,
    chargeable: Chargeable = charge_exactly,
    /,
) -> Mapping[UUID, PhaseResult]:
    """Freeze the quotes of a batch, each over a chargeable amount; the first checkout gets a coupon's last use."""
    baskets = load_resolved(connection, [checkout.id for checkout in batch], settings.base_currency)
    coupons = CouponBook(connection, baskets.values(), settings.base_currency)
    terms = load_terms(connection, list(baskets.values()), coupons.promotions, batch[0].now, settings)
    outcomes: dict[UUID, PhaseResult] = {}
    quotes: dict[UUID, Quote] = {}
    untaxed: dict[UUID, dict[str, Any]] = {}
    for checkout in batch:
        basket = baskets[checkout.cart_id]
        if lapsed := find_lapsed_rates(basket, terms):
            untaxed[checkout.id] = describe_lapsed(basket, lapsed)
            if settings.tax_rates_ended is TaxRatesEnded.REFUSE:
                outcomes[checkout.id] = Rejected(Code.TAX_RATES_ENDED, untaxed[checkout.id])
                continue
        priced = quote(checkout, basket, terms, coupons, settings, chargeable)
        if isinstance(priced, Rejected):
            outcomes[checkout.id] = priced
        else:
            outcomes[checkout.id], quotes[checkout.id] = Done(), priced
            coupons.grant(checkout.id, basket)
    if quotes:
        coupons.redeem()
        freeze_quotes(connection, quotes)
        facts = {id_: each for id_, each in untaxed.items() if id_ in quotes}
        write_events(connection, "checkout.tax_rates_ended", list(facts), phase=NAME, data=facts)
    return outcomes


def quote(
    checkout: LockedCheckout,
    basket: Basket,
    terms: Terms,
    coupons: CouponBook,
    settings: Settings,
    chargeable: Chargeable,
) -> Quote | Rejected:
    """Price one basket and compare the total with what the caller expects."""
    charged = price_basket(basket, terms, coupons, settings, chargeable)
    if isinstance(charged, Rejected):
        return charged
    drift = find_drift(charged, checkout.expected, find_tolerance(charged, settings.drift_tolerances))
    return charged if drift is None else Rejected(Code.PRICE_CHANGED, drift)


def undo(connection: Connection, batch: Sequence[LockedCheckout]) -> None:
    """Void the price locks and return the coupon uses; there may be no price lock, or a voided one."""
    ids = [checkout.id for checkout in batch]
    return_coupons(connection, ids)
    connection.execute(VOID, {"ids": ids})
