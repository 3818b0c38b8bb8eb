"""A new list price beside prices with an end, planned ones, and ones without tax."""

from datetime import datetime

from sqlalchemy import Connection, Engine, text

from pipeline.catalog import PriceChanges, PriceRow, VariantRow, set_prices, upsert_variants
from tests.integration.catalog.stockroom import rows_of
from tests.support.harness import Shelf, Works

#: The price that a basket gets, as in pipeline/carts/snapshot.py, at a moment so many minutes from now.
VALID = text("""
    SELECT amount_minor FROM prices WHERE currency = 'EUR'
      AND valid_from <= now() + :minutes * interval '1 minute'
      AND (valid_until IS NULL OR valid_until > now() + :minutes * interval '1 minute')
    ORDER BY valid_until IS NULL, valid_from DESC LIMIT 1
""")


def write_price(
    connection: Connection, amount: int, start: int, end: int | None = None, *, tax: bool = True, currency: str = "EUR"
) -> None:
    """Write a price of A by hand, valid from and until so many minutes from now."""
    connection.execute(
        text(
            "INSERT INTO prices (variant_id, currency, amount_minor, tax_included, valid_from, valid_until)"
            " SELECT id, :currency, :amount, :tax, now() + :start * interval '1 minute',"
            " now() + CAST(:end AS integer) * interval '1 minute' FROM variants"
        ),
        {"currency": currency, "amount": amount, "tax": tax, "start": start, "end": end},
    )


def prices_at(connection: Connection, *minutes: int) -> list[int | None]:
    return [connection.scalar(VALID, {"minutes": minute}) for minute in minutes]


def test_a_price_with_an_end_keeps_its_window_and_the_new_base_price_is_valid_after_it(connection: Connection) -> None:
    upsert_variants(connection, [VariantRow("A", "A")])
    write_price(connection, 1000, -60)
    write_price(connection, 700, -30, 30)

    changes = set_prices(connection, [PriceRow("A", "EUR", 900)])

    assert prices_at(connection, 0, 29, 31) == [700, 700, 900]
    (until,) = connection.scalars(text("SELECT valid_until FROM prices WHERE amount_minor = 700"))
    assert isinstance(until, datetime)
    assert changes == PriceChanges(changed=1, covered=1, covered_until=until)
    # The former base price is over: a window that ends early does not restore it.
    assert rows_of(connection, "SELECT amount_minor FROM prices WHERE valid_until <= now()") == [(1000,)]


def test_the_same_price_again_under_a_window_writes_nothing(connection: Connection) -> None:
    upsert_variants(connection, [VariantRow("A", "A")])
    write_price(connection, 1000, -60)
    write_price(connection, 700, -30, 30)
    before = rows_of(connection, "SELECT * FROM prices ORDER BY id")

    changes = set_prices(connection, [PriceRow("A", "EUR", 1000)])

    assert (changes.changed, changes.covered) == (0, 1)
    assert rows_of(connection, "SELECT * FROM prices ORDER BY id") == before


def test_windows_that_overlap_that_are_to_come_and_that_are_over_all_stay(connection: Connection) -> None:
    upsert_variants(connection, [VariantRow("A", "A")])
    for amount, start, end in ((1000, -90, None), (800, -60, 60), (700, -30, 30), (600, 90, 120), (500, -80, -70)):
        write_price(connection, amount, start, end)
    windows = "SELECT amount_minor, valid_from, valid_until FROM prices WHERE amount_minor < 900 ORDER BY id"
    before = rows_of(connection, windows)

    set_prices(connection, [PriceRow("A", "EUR", 900)])

    assert prices_at(connection, 0, 31, 61, 91, 121) == [700, 800, 900, 600, 900]
    assert rows_of(connection, windows) == before


def test_a_window_without_a_base_price_gets_one_under_it(connection: Connection) -> None:
    upsert_variants(connection, [VariantRow("A", "A")])
    write_price(connection, 700, -30, 30)

    assert set_prices(connection, [PriceRow("A", "EUR", 700)]).changed == 1
    assert prices_at(connection, 0, 31) == [700, 700]


def test_a_base_price_planned_for_later_wins_when_its_time_comes(connection: Connection) -> None:
    upsert_variants(connection, [VariantRow("A", "A")])
    write_price(connection, 1000, -60)
    write_price(connection, 1200, 60)

    assert set_prices(connection, [PriceRow("A", "EUR", 900)]).changed == 1
    assert prices_at(connection, 0, 59, 61) == [900, 900, 1200]


def test_a_price_without_tax_stays_one(connection: Connection) -> None:
    upsert_variants(connection, [VariantRow("A", "A")])
    write_price(connection, 1000, -60, tax=False)

    # Given a file that says nothing, and one that says the contrary
    assert set_prices(connection, [PriceRow("A", "EUR", 900)]) == PriceChanges(changed=1)
    assert set_prices(connection, [PriceRow("A", "EUR", 900, tax_included=True)]) == PriceChanges(flags_kept=1)
    # And another currency of the same variant
    set_prices(connection, [PriceRow("A", "USD", 950)])

    assert rows_of(
        connection, "SELECT currency, amount_minor, tax_included FROM prices WHERE valid_until IS NULL ORDER BY id"
    ) == [("EUR", 900, False), ("USD", 950, False)]


def test_a_window_with_tax_does_not_make_the_base_price_one_with_tax(connection: Connection) -> None:
    upsert_variants(connection, [VariantRow("A", "A")])
    write_price(connection, 1000, -60, tax=False)
    write_price(connection, 700, -30, 30, tax=True)

    set_prices(connection, [PriceRow("A", "EUR", 900)])

    assert rows_of(connection, "SELECT tax_included FROM prices WHERE amount_minor = 900") == [(False,)]


def test_new_variants_are_priced_without_tax_when_that_is_said(connection: Connection) -> None:
    upsert_variants(connection, [VariantRow("A", "A"), VariantRow("B", "B")])

    set_prices(connection, [PriceRow("A", "EUR", 900, tax_included=False), PriceRow("B", "EUR", 800)])

    assert rows_of(connection, "SELECT amount_minor, tax_included FROM prices ORDER BY id") == [
        (900, False),
        (800, True),
    ]


def test_a_checkout_is_charged_the_price_with_an_end_and_the_base_price_after_it(
    engine: Engine, shelf: Shelf, works: Works
) -> None:
    shelf.add_variant("cup", stock=9, price_minor=1000)
    with engine.begin() as connection:
        write_price(connection, 700, -30, 30)
        set_prices(connection, [PriceRow("cup", "EUR", 900)])

    during = works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
    works.pump()
    shelf.run("UPDATE prices SET valid_until = now() WHERE amount_minor = 700")
    after = works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
    works.pump()

    assert works.states([during, after]) == ["completed", "completed"]
    assert [row[0] for row in shelf.rows("SELECT total_minor FROM orders ORDER BY created_at")] == [1400, 1800]
