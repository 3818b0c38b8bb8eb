"""Phase 3: compute and freeze the quote; refuse if it is not the total the caller expected. Undo: void the lock.

Between phase 1 and here a price may have ended, so a line may have lost its price: rejected as in phase 1.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from models.money import MAX_MINOR
from pipeline.baskets import Basket, load_baskets
from pipeline.batch import Done, Member, Outcome, Rejected
from pipeline.errors import Code
from pipeline.pricing.quote import Quote, price_basket
from pipeline.settings import Settings

FREEZE: Final = text("""
    INSERT INTO price_locks (checkout_id, currency, total_minor, shipping_address, billing_address, hash)
    SELECT id, currency, total, CAST(shipping AS jsonb), CAST(billing AS jsonb), hash
    FROM unnest(CAST(:ids AS uuid[]), CAST(:currencies AS text[]), CAST(:totals AS bigint[]),
                CAST(:shipping AS text[]), CAST(:billing AS text[]), CAST(:hashes AS text[]))
         AS quoted (id, currency, total, shipping, billing, hash)
""")

FREEZE_LINES: Final = text("""
    INSERT INTO price_lock_lines (checkout_id, line, variant_id, sku, title, quantity, unit_price_minor, total_minor,
                                  price_source)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:lines AS integer[]), CAST(:variant_ids AS bigint[]),
                         CAST(:skus AS text[]), CAST(:titles AS text[]), CAST(:quantities AS integer[]),
                         CAST(:unit_prices AS bigint[]), CAST(:totals AS bigint[]), CAST(:sources AS text[]))
""")

VOID: Final = text("""
    UPDATE price_locks SET voided_at = now() WHERE checkout_id = ANY(CAST(:ids AS uuid[])) AND voided_at IS NULL
""")


def do(connection: Connection, batch: Sequence[Member], settings: Settings) -> Mapping[UUID, Outcome]:  # noqa: ARG001
    """Freeze the quotes of a batch."""
    baskets = load_baskets(connection, [member.cart_id for member in batch])
    outcomes: dict[UUID, Outcome] = {}
    quotes: dict[UUID, Quote] = {}
    for member in batch:
        priced = quote(member, baskets[member.cart_id])
        if isinstance(priced, Rejected):
            outcomes[member.id] = priced
        else:
            outcomes[member.id], quotes[member.id] = Done(), priced
    if quotes:
        _freeze(connection, quotes)
    return outcomes


def quote(member: Member, basket: Basket) -> Quote | Rejected:
    """Price one basket and hold it against what the caller expects."""
    for line in basket.lines:
        if line.price_minor is None:
            return Rejected(Code.PRICE_MISSING, {"line": line.line, "sku": line.sku, "currency": basket.currency})
    priced = price_basket(basket)
    if priced.total_minor > MAX_MINOR:
        return Rejected(Code.TOTAL_TOO_LARGE)
    if member.expected_total_minor not in (None, priced.total_minor):
        facts = {"total_minor": priced.total_minor, "expected_total_minor": member.expected_total_minor}
        return Rejected(Code.PRICE_CHANGED, facts)
    return priced


def undo(connection: Connection, batch: Sequence[Member]) -> None:
    """Void the locks; no lock, or a voided one, is fine."""
    connection.execute(VOID, {"ids": [member.id for member in batch]})


def _freeze(connection: Connection, quotes: Mapping[UUID, Quote]) -> None:
    connection.execute(
        FREEZE,
        {
            "ids": list(quotes),
            "currencies": [each.currency for each in quotes.values()],
            "totals": [each.total_minor for each in quotes.values()],
            "shipping": [json.dumps(each.shipping_address) for each in quotes.values()],
            "billing": [
                None if each.billing_address is None else json.dumps(each.billing_address) for each in quotes.values()
            ],
            "hashes": [each.hash for each in quotes.values()],
        },
    )
    lines = [(id_, line) for id_, each in quotes.items() for line in each.lines]
    connection.execute(
        FREEZE_LINES,
        {
            "ids": [id_ for id_, _ in lines],
            "lines": [line.line for _, line in lines],
            "variant_ids": [line.variant_id for _, line in lines],
            "skus": [line.sku for _, line in lines],
            "titles": [line.title for _, line in lines],
            "quantities": [line.quantity for _, line in lines],
            "unit_prices": [line.unit_price_minor for _, line in lines],
            "totals": [line.total_minor for _, line in lines],
            "sources": [line.price_source for _, line in lines],
        },
    )
