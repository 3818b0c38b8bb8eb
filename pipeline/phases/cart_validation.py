"""Can this cart be sold at all? Which variant is each line? It holds nothing, so there is nothing to undo.

The cart is read-only from the start of the checkout on, so what is found here stays true of it; stock is only looked
at, to refuse early: the reservation holds it. So is what the cart would come to now, where the gateway does not charge
every amount: the price lock prices it for good. A sku is looked up here and never again: each line's
variant is written down.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import Connection, text

from models.identifiers import normalize_tax_id
from models.identifiers.addresses import normalize_address
from models.money import MAX_MINOR, minor_digits
from pipeline.carts import Basket
from pipeline.carts.cart_input import Address
from pipeline.carts.snapshot import Line, load_baskets
from pipeline.catalog.look_alikes import find_look_alikes
from pipeline.checkouts import Done, LockedCheckout, PhaseResult, Rejected
from pipeline.errors import Code
from pipeline.errors.objections import explain_first
from pipeline.gateways.gateway import Chargeable
from pipeline.pricing.charge import charge_exactly, find_unchargeable
from pipeline.settings import Settings

# In one round trip: the lines' variants written, and what is available of them read.
RESOLVE: Final = text("""
    WITH resolved AS (
        INSERT INTO checkout_lines (checkout_id, line, variant_id)
        SELECT * FROM unnest(CAST(:checkout_ids AS uuid[]), CAST(:lines AS integer[]), CAST(:resolved AS bigint[]))
    )
    SELECT variant_id, sum(on_hand - reserved) AS available, bool_or(backorderable) AS backorderable
    FROM stock_levels WHERE variant_id = ANY(CAST(:variant_ids AS bigint[])) GROUP BY variant_id
""")

undo = None


def do(
    connection: Connection,
    batch: Sequence[LockedCheckout],
    settings: Settings,
    chargeable: Chargeable = charge_exactly,
    /,
) -> Mapping[UUID, PhaseResult]:
    """Validate the carts of a batch; each gets the first thing that is wrong with it, or Done."""
    baskets = load_baskets(connection, [checkout.cart_id for checkout in batch], settings.base_currency)
    # A cart that is too large is refused, and costs no more than that.
    found = [
        (checkout.id, line.line, line.variant_id)
        for checkout in batch
        if len(lines := baskets[checkout.cart_id].lines) <= settings.max_lines
        for line in lines
        if line.variant_id is not None
    ]
    rows = connection.execute(
        RESOLVE,
        {
            "checkout_ids": [checkout_id for checkout_id, _, _ in found],
            "lines": [number for _, number, _ in found],
            "resolved": [variant_id for _, _, variant_id in found],
            "variant_ids": sorted({variant_id for _, _, variant_id in found}),
        },
    )
    # None: as many as anyone asks for.
    available = {row.variant_id: None if row.backorderable else int(row.available) for row in rows}
    outcomes = {checkout.id: validate(baskets[checkout.cart_id], available, settings) for checkout in batch}
    valid = [checkout for checkout in batch if isinstance(outcomes[checkout.id], Done)]
    outcomes |= find_unchargeable(connection, valid, baskets, settings, chargeable)
    return _name_look_alikes(connection, outcomes)


def validate(basket: Basket, available: Mapping[int, int | None], settings: Settings) -> Done | Rejected:
    """Return the first objection to this basket, checked from the whole to the parts."""
    if minor_digits(basket.currency) is None:
        return Rejected(Code.CURRENCY_UNKNOWN, {"currency": basket.currency})
    if not basket.lines:
        return Rejected(Code.CART_EMPTY)
    if len(basket.lines) > settings.max_lines:
        return Rejected(Code.CART_TOO_LARGE, {"lines": len(basket.lines), "limit": settings.max_lines})
    for line in basket.lines:
        if objection := _object_to_line(line, basket, settings):
            return objection
    # What has to be converted first is added up by the price lock: amounts of two currencies have no sum.
    ready = [line for line in basket.lines if not line.needs_conversion(basket.currency)]
    if sum(line.quantity * (line.price_minor or 0) for line in ready) > MAX_MINOR:
        return Rejected(Code.TOTAL_TOO_LARGE)
    return _object_to_address(basket) or _object_to_tax_id(basket) or _object_to_stock(basket, available) or Done()


def _name_look_alikes(connection: Connection, outcomes: Mapping[UUID, Done | Rejected]) -> Mapping[UUID, PhaseResult]:
    """Say of unknown skus which ones of the catalog look like them: one round trip, and only if there are any."""
    unknown = {
        id_: outcome
        for id_, outcome in outcomes.items()
        if isinstance(outcome, Rejected) and outcome.code is Code.VARIANT_UNKNOWN
    }
    alike = find_look_alikes(connection, {outcome.detail["sku"] for outcome in unknown.values()})
    named = {
        id_: Rejected(outcome.code, {**outcome.detail, **alike.get(outcome.detail["sku"], {})})
        for id_, outcome in unknown.items()
    }
    return {**outcomes, **named}


def _object_to_line(line: Line, basket: Basket, settings: Settings) -> Rejected | None:
    facts = {"line": line.line, "sku": line.sku}
    if not 0 < line.quantity <= settings.max_quantity:
        return Rejected(Code.QUANTITY_INVALID, facts | {"quantity": line.quantity, "limit": settings.max_quantity})
    if line.variant_id is None:
        return Rejected(Code.VARIANT_UNKNOWN, facts)
    if not line.active:
        return Rejected(Code.VARIANT_INACTIVE, facts)
    if line.line_currency is not None and line.line_currency != basket.currency:
        return Rejected(Code.CURRENCY_MIXED, facts | {"currency": line.line_currency, "cart_currency": basket.currency})
    if line.price_minor is None:
        return Rejected(Code.PRICE_MISSING, facts | {"currency": basket.currency})
    if line.price_minor < 0:
        return Rejected(Code.PRICE_INVALID, facts | {"unit_price_minor": line.price_minor})
    return None


def _object_to_address(basket: Basket) -> Rejected | None:
    if basket.shipping_address is None:
        return Rejected(Code.ADDRESS_MISSING, {"reason": "there is none"})
    try:
        Address.model_validate(basket.shipping_address)
    except ValidationError as error:
        return Rejected(Code.ADDRESS_MISSING, {"reason": explain_first(error)})
    try:
        normalize_address(basket.billing_address or {})
    except ValueError as error:
        return Rejected(Code.ADDRESS_MISSING, {"which": "billing", "reason": str(error)})
    return None


def _object_to_tax_id(basket: Basket) -> Rejected | None:
    if basket.tax_id is None:
        return None
    try:
        normalize_tax_id(basket.tax_id)
    except ValueError as error:
        return Rejected(Code.TAX_ID_INVALID, {"reason": str(error)})
    return None


def _object_to_stock(basket: Basket, available: Mapping[int, int | None]) -> Rejected | None:
    wanted: dict[int, int] = defaultdict(int)
    for line in basket.lines:
        if line.variant_id is None:
            continue
        wanted[line.variant_id] += line.quantity
        left = available.get(line.variant_id, 0)
        if left is not None and wanted[line.variant_id] > left:
            facts = {
                "line": line.line,
                "sku": line.sku,
                "requested": wanted[line.variant_id],
                "available": max(left, 0),
            }
            return Rejected(Code.OUT_OF_STOCK, facts)
    return None
