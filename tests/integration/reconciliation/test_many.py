"""Thousands of checkouts that agree, and as many objects of others, in a few statements."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from sqlalchemy import Engine

from pipeline.gateways.gateway import Held
from pipeline.reconciliation import comparison as module
from pipeline.reconciliation.comparison import reconcile
from pipeline.settings import Settings
from tests.integration.reconciliation.counter import Listing, compare
from tests.support.harness import Works, build_works

#: Two in three completed, one in three failed with its payment cancelled. Triggers off: these never went their way.
ROWS: Final = """
    SET LOCAL session_replication_role = replica;
    CREATE TEMP TABLE made ON COMMIT DROP AS
        SELECT n, gen_random_uuid() AS id, gen_random_uuid() AS cart_id, mod(n, 3) > 0 AS paid
        FROM generate_series(1, 2000) AS n;
    INSERT INTO checkouts (id, cart_id, owner, currency, state, phase, straight_through, expires_at, ended_at)
        SELECT id, cart_id, 'shop', 'EUR', CASE WHEN paid THEN 'completed' ELSE 'failed' END,
               CASE WHEN paid THEN 7 ELSE 0 END, true, now(), now() - n * interval '5 milliseconds' FROM made;
    INSERT INTO price_locks (checkout_id, currency, subtotal_minor, discount_minor, shipping_minor, tax_minor,
                             total_minor, rounding, shipping_address, hash)
        SELECT id, 'EUR', n, 0, 0, 0, n, 'half-up', '{}', '' FROM made;
    INSERT INTO payments (checkout_id, gateway, token, reference, status)
        SELECT id, 'sandbox', 'tok_ok', 'pay_' || n, CASE WHEN paid THEN 'captured' ELSE 'cancelled' END FROM made;
    INSERT INTO orders (id, checkout_id, cart_id, number, state, owner, currency, subtotal_minor, discount_minor,
                        shipping_minor, tax_minor, total_minor, shipping_address)
        SELECT gen_random_uuid(), id, cart_id, n, 'placed', 'shop', 'EUR', n, 0, 0, 0, n, '{}' FROM made WHERE paid;
    INSERT INTO sandbox.payments (reference, checkout_id, currency, amount_minor, status, authorized_minor,
                                  captured_minor, refunded_minor)
        SELECT 'pay_' || n, id, 'EUR', n, CASE WHEN paid THEN 'captured' ELSE 'cancelled' END, n,
               CASE WHEN paid THEN n ELSE 0 END, 0 FROM made;
"""


@pytest.fixture
def works(engine: Engine, settings: Settings) -> Iterator[Works]:
    """The engine over two thousand checkouts written by hand."""
    with engine.begin() as connection:
        connection.exec_driver_sql(ROWS)
    with build_works(engine, settings) as built:
        yield built


def test_two_thousand_checkouts_that_agree_have_no_findings(works: Works) -> None:
    listing = Listing(works.gateway)
    comparison = compare(works, listing)
    assert (comparison.findings, comparison.objects, comparison.payments) == ((), 2000, 2000)
    assert listing.calls == []


def test_endings_of_one_instant_are_all_looked_up(works: Works) -> None:
    with works.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE checkouts SET ended_at = now()")
    comparison = compare(works)
    assert (comparison.findings, comparison.objects, comparison.payments) == ((), 2000, 2000)


def test_one_that_differs_is_found_among_them(works: Works) -> None:
    with works.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sandbox.payments SET captured_minor = 1 WHERE reference = 'pay_1999'")
    (found,) = compare(works).findings
    assert (found.kind, found.reference) == ("amount_differs", "pay_1999")
    assert (str(found.due), str(found.kept)) == ("19.99 EUR", "0.01 EUR")


def test_it_is_read_in_chunks_and_progress_is_reported(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    reported: list[tuple[str, int]] = []
    yielded: list[int] = []
    monkeypatch.setattr(module, "CHUNK", 600)

    def count(held: list[Held]) -> Iterator[Held]:
        for number, each in enumerate(held, start=1):
            yielded.append(number)
            yield each

    def report(what: str, number: int) -> None:
        # No more has been asked of the provider than was made use of.
        assert len(yielded) == number
        reported.append((what, number))

    # When
    since = datetime.now(UTC) - timedelta(hours=1)
    comparison = reconcile(works.engine, Listing(works.gateway, listed=count), works.settings, since, report=report)
    # Then
    assert reported == [("listed", 600), ("listed", 1200), ("listed", 1800), ("listed", 2000)]
    assert comparison.findings == ()
