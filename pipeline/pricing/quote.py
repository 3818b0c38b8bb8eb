"""From a basket to a quote: what the buyer will be charged. Pure, integer minor units, no I/O."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.baskets import Basket


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """One priced line."""

    line: int
    variant_id: int
    sku: str
    title: str
    quantity: int
    unit_price_minor: int
    total_minor: int
    price_source: str


@dataclass(frozen=True, slots=True)
class Quote:
    """Everything that is frozen. The total is the sum of the lines."""

    currency: str
    lines: tuple[QuoteLine, ...]
    total_minor: int
    shipping_address: dict[str, Any]
    billing_address: dict[str, Any] | None

    @property
    def hash(self) -> str:
        """SHA-256 over the canonical JSON of the whole quote: equal quotes and only those have equal hashes."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def price_basket(basket: Basket) -> Quote:
    """Price a validated basket; a line without a variant or a price is a programming error here."""
    lines = []
    for line in basket.lines:
        if line.variant_id is None or line.price_minor is None:
            raise ValueError(f"line {line.line} of cart {basket.cart_id} was not validated")
        lines.append(
            QuoteLine(
                line=line.line,
                variant_id=line.variant_id,
                sku=line.sku,
                title=line.title or line.sku,
                quantity=line.quantity,
                unit_price_minor=line.price_minor,
                total_minor=line.quantity * line.price_minor,
                price_source=line.price_source,
            )
        )
    return Quote(
        currency=basket.currency,
        lines=tuple(lines),
        total_minor=sum(line.total_minor for line in lines),
        shipping_address=basket.shipping_address or {},
        billing_address=basket.billing_address,
    )
