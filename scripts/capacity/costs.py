"""What one checkout costs each process, as `checkout bench --only costs` measures it (docs/scaling.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Costs:
    """One checkout of one line with its payment: processor time in milliseconds by line of the Procfile, and bytes."""

    measured_on: date
    lines_ms: Mapping[str, float]
    postgres_ms: float
    valkey_ms: float
    wal_bytes: float

    @property
    def workers_ms(self) -> float:
        """The processor time of all lines."""
        return sum(self.lines_ms.values())


#: In a backlog, where batches are full: the least that a checkout can cost.
RUSH: Final = Costs(
    date(2026, 11, 30),
    MappingProxyType(
        {
            "cart_validation": 0.09,
            "inventory_reservation": 0.09,
            "price_lock": 0.26,
            "payment_authorization": 0.71,
            "order_creation": 0.11,
            "payment_capture": 0.49,
            "stock_commit": 0.12,
        }
    ),
    postgres_ms=0.98,
    valkey_ms=0.1,
    wal_bytes=24_000,
)
#: Of a hundred buyers over HTTP, whose batches have some thirty members.
HTTP: Final = Costs(
    date(2026, 11, 30),
    MappingProxyType(
        {
            "cart_validation": 0.09,
            "inventory_reservation": 0.09,
            "price_lock": 0.26,
            "payment_authorization": 0.71,
            "order_creation": 0.11,
            "payment_capture": 0.49,
            "stock_commit": 0.12,
            "web": 1.2,
        }
    ),
    postgres_ms=1.3,
    valkey_ms=0.1,
    wal_bytes=24_000,
)
