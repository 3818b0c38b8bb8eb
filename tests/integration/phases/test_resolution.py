"""A sku is looked up once: whatever happens to it afterwards, a line keeps its resolved variant."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from sqlalchemy import text

from pipeline.saga import CHAIN
from tests.support.counter import read_failure
from tests.support.harness import Shelf, Works

#: Where a variant of a checkout is named. Reservations too, once they are held.
NAMED = """
    SELECT {table}.line, v.title FROM {table} JOIN variants v ON v.id = variant_id
    WHERE checkout_id = :id ORDER BY 1, 2
"""
ORDERED = """
    SELECT n.line, v.title, n.sku, n.title FROM order_lines n JOIN orders o ON o.id = n.order_id
    JOIN variants v ON v.id = n.variant_id WHERE o.checkout_id = :id ORDER BY 1
"""
#: After these phases a sku was looked up again.
PHASES = [phase.name for phase in CHAIN[1:]]


def swap(shelf: Shelf) -> None:
    """Give the cup's sku to the pot, and the other way round."""
    with shelf.engine.begin() as connection:
        for old, new in (("cup", "swapping"), ("pot", "cup"), ("swapping", "pot")):
            connection.execute(text("UPDATE variants SET sku = :new WHERE sku = :old"), {"old": old, "new": new})


def begin(works: Works, shelf: Shelf, until: str) -> UUID:
    """Start two cups straight through, up to a phase."""
    shelf.add_variant("cup", stock=9, price_minor=250)
    shelf.add_variant("pot", stock=9, price_minor=9900)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
    works.pump(until=until)
    return checkout_id


def is_the_cup_throughout(shelf: Shelf, checkout_id: UUID, sku: str) -> None:
    """Assert that the cup, under this sku, was resolved, held, frozen, ordered and sold, and nothing of the pot."""
    for table in ("checkout_lines", "reservations", "price_lock_lines"):
        assert shelf.rows(NAMED.format(table=table), id=checkout_id) == [(1, "The cup")], table
    assert shelf.rows(ORDERED, id=checkout_id) == [(1, "The cup", sku, "The cup")]
    stock = """
        SELECT v.title, on_hand, reserved FROM stock_levels JOIN variants v ON v.id = variant_id ORDER BY 1
    """
    assert shelf.rows(stock) == [("The cup", 7, 0), ("The pot", 9, 0)]
    assert shelf.rows("SELECT total_minor FROM orders") == [(500,)]


@pytest.mark.parametrize("phase", PHASES)
def test_two_skus_that_are_swapped_change_nothing(works: Works, shelf: Shelf, phase: str) -> None:
    # Given
    checkout_id = begin(works, shelf, phase)
    # When
    swap(shelf)
    works.pump()
    # Then: the sku on the order is the one by which the cup is found at the moment of the price lock
    assert works.states([checkout_id]) == ["completed"]
    is_the_cup_throughout(shelf, checkout_id, "pot" if phase in PHASES[:2] else "cup")


@pytest.mark.parametrize("phase", PHASES)
def test_a_sku_that_is_gone_for_one_phase_is_reserved_all_the_same(works: Works, shelf: Shelf, phase: str) -> None:
    # Given
    checkout_id = begin(works, shelf, phase)
    # When
    shelf.run("UPDATE variants SET sku = 'renamed' WHERE sku = 'cup'")
    works.run_phase(phase)
    shelf.run("UPDATE variants SET sku = 'cup' WHERE sku = 'renamed'")
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["completed"]
    is_the_cup_throughout(shelf, checkout_id, "renamed" if phase == "price_lock" else "cup")


def test_one_line_of_several_that_is_renamed_is_reserved_too(works: Works, shelf: Shelf) -> None:
    # Given three lines, two of one variant
    for sku in ("cup", "pot"):
        shelf.add_variant(sku, stock=9, price_minor=100)
    checkout_id = works.start(shelf.add_cart(("cup", 1), ("pot", 2), ("cup", 3)), token="tok_ok")
    works.pump(until="inventory_reservation")
    # When
    shelf.run("UPDATE variants SET sku = 'saucer' WHERE sku = 'cup'")
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["completed"]
    held = [(1, "The cup"), (2, "The pot"), (3, "The cup")]
    for table in ("checkout_lines", "reservations", "price_lock_lines"):
        assert shelf.rows(NAMED.format(table=table), id=checkout_id) == held
    assert (shelf.stock("saucer"), shelf.stock("pot")) == ((5, 0), (7, 0))
    assert [line[2] for line in shelf.rows(ORDERED, id=checkout_id)] == ["saucer", "pot", "saucer"]


def test_a_new_variant_under_the_old_sku_is_not_the_old_one(works: Works, shelf: Shelf) -> None:
    # Given
    checkout_id = begin(works, shelf, "inventory_reservation")
    # When the sku is given to something that has just been put on sale
    shelf.run("UPDATE variants SET sku = 'cup-old' WHERE sku = 'cup'")
    shelf.add_variant("cup", stock=3, price_minor=1)
    shelf.run("UPDATE variants SET title = 'Another cup' WHERE sku = 'cup'")
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert shelf.rows(ORDERED, id=checkout_id) == [(1, "The cup", "cup-old", "The cup")]
    assert (shelf.stock("cup"), shelf.stock("cup-old")) == ((3, 0), (7, 0))


@pytest.mark.parametrize("phase", ["inventory_reservation", "price_lock"])
def test_a_variant_that_is_deactivated_is_still_sold_to_whom_it_was_validated_for(
    works: Works, shelf: Shelf, phase: str
) -> None:
    # Given
    checkout_id = begin(works, shelf, phase)
    # When
    shelf.run("UPDATE variants SET active = false WHERE sku = 'cup'")
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["completed"]
    # and to no variant after
    late = works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
    works.pump()
    assert (works.states([late]), read_failure(works, late)[0]) == (["failed"], "variant_inactive")


@contextmanager
def past_the_keys(shelf: Shelf) -> Iterator[None]:
    """Let the catalog's foreign keys be, as an operator with all rights may."""
    keys = shelf.rows("""
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE contype = 'f' AND conrelid IN ('stock_levels'::regclass, 'price_lock_lines'::regclass)
    """)
    for table, name, _ in keys:
        shelf.run(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    yield
    for table, name, definition in keys:
        shelf.run(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition} NOT VALID")


@pytest.mark.parametrize(
    ("phase", "sku"), [("inventory_reservation", "cup"), ("price_lock", "cup"), ("inventory_reservation", "pot")]
)
def test_a_line_whose_variant_is_lost_is_refused_and_undone(works: Works, shelf: Shelf, phase: str, sku: str) -> None:
    # Given two lines
    shelf.add_variant("cup", stock=9, price_minor=250)
    shelf.add_variant("pot", stock=9, price_minor=9900)
    other = "pot" if sku == "cup" else "cup"
    cart_id = shelf.add_cart((other, 1), (sku, 2))
    checkout_id = works.start(cart_id, token="tok_ok")
    works.pump(until=phase)
    # When one is deleted
    with past_the_keys(shelf):
        row = shelf.row("SELECT * FROM variants WHERE sku = :sku", sku=sku)
        prices = shelf.rows("SELECT amount_minor FROM prices WHERE variant_id = :id", id=row.id)
        shelf.run("DELETE FROM variants WHERE sku = :sku", sku=sku)
        works.pump()
        # so that the stock can be audited at the end
        shelf.run(
            "INSERT INTO variants (id, sku, title) OVERRIDING SYSTEM VALUE VALUES (:id, :sku, :title)",
            id=row.id,
            sku=row.sku,
            title=row.title,
        )
    # Then
    assert len(prices) == 1
    assert works.states([checkout_id]) == ["failed"]
    sentence = f'Line 2 names "{sku}", which is not in the catalog: remove the line.'
    assert read_failure(works, checkout_id) == ("variant_unknown", phase, sentence)
    assert (shelf.stock("cup"), shelf.stock("pot")) == ((9, 0), (9, 0))
    assert shelf.rows("SELECT count(*) FROM price_locks") == [(0,)]
    assert shelf.rows("SELECT count(*) FROM payment_operations") == [(0,)]
    # and the cart can be changed
    assert shelf.run("DELETE FROM cart_lines WHERE cart_id = :id AND line = 2", id=cart_id) == 1


@pytest.mark.parametrize("phase", ["inventory_reservation", "price_lock"])
def test_a_checkout_that_an_earlier_release_validated_is_resolved_by_its_next_phase(
    works: Works, shelf: Shelf, phase: str
) -> None:
    # Given one that was validated, and perhaps reserved, by workers that stored no variants, beside a new one
    early = begin(works, shelf, phase)
    second = works.start(shelf.add_cart(("pot", 1)), token="tok_ok")
    works.pump(until=phase)
    with shelf.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        assert connection.execute(text("DELETE FROM checkout_lines WHERE checkout_id = :id"), {"id": early}).rowcount
    if phase == "price_lock":
        # What is held decides, whatever the sku means by now.
        swap(shelf)
    # When
    works.pump()
    # Then
    assert works.states([early, second]) == ["completed", "completed"]
    for table in ("checkout_lines", "reservations", "price_lock_lines"):
        assert shelf.rows(NAMED.format(table=table), id=early) == [(1, "The cup")], table
        assert shelf.rows(NAMED.format(table=table), id=second) == [(1, "The pot")], table


def test_a_line_of_an_earlier_release_that_nothing_is_known_of_is_refused(works: Works, shelf: Shelf) -> None:
    # Given
    checkout_id = begin(works, shelf, "inventory_reservation")
    with shelf.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("DELETE FROM checkout_lines"))
    # When its sku is no more
    shelf.run("UPDATE variants SET sku = 'renamed' WHERE sku = 'cup'")
    works.pump()
    # Then it is refused: an order without the line would be another order
    assert works.states([checkout_id]) == ["failed"]
    assert read_failure(works, checkout_id)[:2] == ("variant_unknown", "inventory_reservation")
    assert shelf.stock("renamed") == (9, 0)
