"""Compute and freeze the quote, redeem coupon uses, hold the total against what the caller expects.

Undo: void the lock, give the coupon uses back. Between the validation and here a price may have ended, or a variant
been deleted, so a line may have lost either: rejected as in the validation. What is sold is the variant that it
resolved, under the sku, title and category that the catalog gives it now; one that has been deactivated since is
still sold.
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

#: As the chain calls it: a phase has the name of its file.
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
    """Freeze the quotes of a batch, each over what can be charged; a coupon's last use goes to the first come."""
    baskets = load_resolved(connection, [checkout.id for checkout in batch], settings.base_currency)
    desk = CouponBook(connection, baskets.values(), settings.base_currency)
    terms = load_terms(connection, list(baskets.values()), desk.promotions, batch[0].now, settings)
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
        priced = quote(checkout, basket, terms, desk, settings, chargeable)
        if isinstance(priced, Rejected):
            outcomes[checkout.id] = priced
        else:
            outcomes[checkout.id], quotes[checkout.id] = Done(), priced
            desk.grant(checkout.id, basket)
    if quotes:
        desk.redeem()
        freeze_quotes(connection, quotes)
        told = {id_: facts for id_, facts in untaxed.items() if id_ in quotes}
        write_events(connection, "checkout.tax_rates_ended", list(told), phase=NAME, data=told)
    return outcomes


def quote(
    checkout: LockedCheckout, basket: Basket, terms: Terms, desk: CouponBook, settings: Settings, chargeable: Chargeable
) -> Quote | Rejected:
    """Price one basket and hold it against what the caller expects."""
    charged = price_basket(basket, terms, desk, settings, chargeable)
    if isinstance(charged, Rejected):
        return charged
    drift = find_drift(charged, checkout.expected, find_tolerance(charged, settings.drift_tolerances))
    return charged if drift is None else Rejected(Code.PRICE_CHANGED, drift)


def undo(connection: Connection, batch: Sequence[LockedCheckout]) -> None:
    """Void the locks and return the coupons; no lock, or a voided one, is fine."""
    ids = [checkout.id for checkout in batch]
    return_coupons(connection, ids)
    connection.execute(VOID, {"ids": ids})
