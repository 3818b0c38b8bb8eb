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
            "cart_validation": 0.21,
            "inventory_reservation": 0.15,
            "price_lock": 0.42,
            "payment_authorization": 0.92,
            "order_creation": 0.17,
            "payment_capture": 0.64,
            "stock_commit": 0.15,
        }
    ),
    postgres_ms=1.68,
    valkey_ms=0.15,
    wal_bytes=23_600,
)
#: Of a hundred buyers over HTTP, whose batches have some thirty members.
HTTP: Final = Costs(
    date(2026, 11, 30),
    MappingProxyType(
        {
            "cart_validation": 0.31,
            "inventory_reservation": 0.26,
            "price_lock": 0.52,
            "payment_authorization": 1.19,
            "order_creation": 0.23,
            "payment_capture": 0.78,
            "stock_commit": 0.18,
            "web": 1.99,
        }
    ),
    postgres_ms=2.27,
    valkey_ms=0.23,
    wal_bytes=23_600,
)
