"""The load of a benchmark: variants, carts and started checkouts by the thousand, and their makespan."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import Engine, text

from models.states import ACTIVE_SQL
from pipeline.catalog import PriceRow, StockRow, VariantRow, set_prices, set_stock, upsert_variants
from pipeline.intake import CheckoutService, PaymentInput, StartRequest
from pipeline.messaging import OutgoingMessage
from workers.bootstrap import Components

OWNER: Final = "bench"
#: The token of a card that pays.
TOKEN: Final = "tok_ok"  # noqa: S105 (a name of the sandbox, no secret)

CARTS: Final = text("""
    INSERT INTO carts (id, currency, coupon_codes, shipping_address)
    SELECT unnest(CAST(:ids AS uuid[])), 'EUR', '{BENCH}',
           '{"name": "Ada", "line1": "12 St James Square", "city": "London", "country": "GB"}'
""")

# Spread evenly, in an order that is not that of the carts.
LINES: Final = text("""
    INSERT INTO cart_lines (cart_id, line, sku, quantity)
    SELECT id, 1, 'bench-' || 1 + (n * 7919) % :variants, 1
    FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS cart (id, n)
""")

TAX: Final = text("INSERT INTO tax_rates (country, name, rate) VALUES ('GB', 'VAT', 0.2)")
COUPON: Final = text("""
    WITH made AS (INSERT INTO promotions (title, kind, percent) VALUES ('Bench', 'percentage', 10) RETURNING id)
    INSERT INTO coupons (code, promotion_id) SELECT 'BENCH', id FROM made
""")

# The copies of `scripts/benchmarks/growth.py` are older than `since`.
MAKESPAN: Final = text("""
    SELECT extract(epoch FROM max(at) FILTER (WHERE kind = 'checkout.completed')
                              - min(at) FILTER (WHERE kind = 'checkout.phase_completed'))
    FROM events WHERE at >= to_timestamp(:since)
""")

# By an index: it runs fifty times a second beside a million finished checkouts.
LEFT: Final = text(f"SELECT EXISTS (SELECT FROM checkouts WHERE state IN ({ACTIVE_SQL}))")


@dataclass(slots=True)
class HeldMessages:
    """A publisher that keeps the messages until they are all sent when the clock starts."""

    kept: list[OutgoingMessage] = field(default_factory=list)

    def send(self, messages: Sequence[OutgoingMessage]) -> bool:
        """Keep the messages."""
        self.kept.extend(messages)
        return True


def stock_variants(database: Engine, variants: int, units: int) -> None:
    """Put `variants` taxed variants with `units` units each on sale, and a coupon that every cart has."""
    skus = [f"bench-{number}" for number in range(1, variants + 1)]
    with database.begin() as connection:
        upsert_variants(connection, [VariantRow(sku=sku, title=sku) for sku in skus])
        set_prices(connection, [PriceRow(sku=sku, currency="EUR", amount_minor=1999) for sku in skus])
        set_stock(connection, [StockRow(sku=sku, location="main", quantity=units) for sku in skus])
        connection.execute(TAX)
        connection.execute(COUPON)


def fill_carts(database: Engine, count: int, variants: int) -> list[UUID]:
    """Fill `count` carts with one line each, and the coupon."""
    ids = [uuid4() for _ in range(count)]
    with database.begin() as connection:
        connection.execute(CARTS, {"ids": ids})
        connection.execute(LINES, {"ids": ids, "variants": variants})
    return ids


def start_checkout(components: Components, cart_id: UUID) -> UUID:
    """Start one checkout straight through."""
    return components.service.start(_request(cart_id)).checkout_id


def start_all(components: Components, cart_ids: Sequence[UUID]) -> list[OutgoingMessage]:
    """Start the checkouts and return their first messages, unsent."""
    publisher = HeldMessages()
    service = CheckoutService(
        components.database, components.transactions, publisher, components.gateway, components.settings
    )
    for first in range(0, len(cart_ids), 100):
        service.start_many([_request(cart_id) for cart_id in cart_ids[first : first + 100]])
    return publisher.kept


def read_makespan(database: Engine, since: float = 0) -> float | None:
    """Return the seconds from the first phase's first commit to the last completion; None while some are active.

    `since`, in seconds of the epoch, leaves out earlier checkouts.
    """
    with database.connect() as connection:
        if connection.execute(LEFT).scalar_one():
            return None
        return float(connection.execute(MAKESPAN, {"since": since}).scalar_one())


def _request(cart_id: UUID) -> StartRequest:
    payment = PaymentInput.model_validate({"token": TOKEN})
    return StartRequest(owner=OWNER, cart_id=cart_id, idempotency_key=str(cart_id), payment=payment)
