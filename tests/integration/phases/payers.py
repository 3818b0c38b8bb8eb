"""Buyers who pay."""

from uuid import UUID

from pipeline.gateways.sandbox.invariants import BankTotals
from tests.support.harness import Shelf, Works

OPERATIONS = "SELECT kind, n, status FROM payment_operations WHERE checkout_id = :id ORDER BY id"

CAPTURED = BankTotals(0, 500, 0)


def start(works: Works, shelf: Shelf, token: str | None) -> UUID:
    shelf.add_variant("cup", stock=5, price_minor=250)
    return works.start(shelf.add_cart(("cup", 2)), token=token)


def read_failure(works: Works, checkout_id: UUID) -> tuple[str, str | None, str]:
    failure = works.status(checkout_id).failure
    assert failure is not None
    return failure.code, failure.phase, failure.message
