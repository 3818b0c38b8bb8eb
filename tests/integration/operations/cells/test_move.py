"""A shop moves to another cell with its history: nothing is lost, and nothing is there twice."""

from uuid import uuid4

import pytest

from models.cells import find_cell
from pipeline.errors import Code, Refused
from pipeline.operations.cells import list_moved_keys, plan_move
from pipeline.security import find_callers
from tests.integration.operations.cells.two_cells import MOVER, STAYER, TwoCells

STEPS = ("draining", "closed", "copying", "copied", "switched", "some removed", "removed")


def assert_moved(cells: TwoCells, before: dict[str, str], orders: list[tuple[object, ...]]) -> None:
    """Assert that every row is in the second cell, and that only the keys are in the first."""
    assert cells.b.fingerprints(MOVER) == before
    assert cells.b.orders(MOVER) == orders
    left = {name: count for name, count in cells.a.count_rows(MOVER).items() if count}
    assert left == {"api_keys": 1}
    triggers = "SELECT count(*) FROM pg_trigger WHERE tgname = 'owner_move'"
    assert cells.a.shelf.rows(triggers) == [(0,)]
    off = "SELECT count(*) FROM pg_trigger WHERE tgenabled <> 'O' AND NOT tgisinternal"
    assert cells.a.shelf.rows(off) == [(0,)]


def test_a_shop_moves_with_everything_and_the_other_one_stays(cells: TwoCells) -> None:
    # Given
    before, stayer = cells.a.fingerprints(MOVER), cells.a.fingerprints(STAYER)
    orders = cells.a.orders(MOVER)
    stock = [cells.a.shelf.stock(sku) for sku in ("cup", "pot")]
    # When
    counts = cells.move()
    # Then
    expected = {"carts": 6, "checkouts": 5, "orders": 3, "idempotency_keys": 5, "redemptions": 1, "api_keys": 1}
    expected |= {"webhook_endpoints": 1, "stored_responses": 1, "payments": 4}
    expected |= {"order_changes": 3, "order_change_lines": 3, "refunds": 1}
    assert {name: counts[name] for name in expected} == expected
    assert (len(orders), {find_cell(int(number)) for _, number, _ in orders}) == (3, {"a"})
    assert_moved(cells, before, orders)
    assert cells.a.fingerprints(STAYER) == stayer
    # No unit of stock has moved, and as many uses of the coupon are left as before.
    assert [cells.a.shelf.stock(sku) for sku in ("cup", "pot")] == stock
    assert [cells.b.shelf.stock(sku) for sku in ("cup", "pot")] == [(0, 0), (0, 0)]
    uses = "SELECT used, usage_limit FROM coupons"
    assert (cells.a.shelf.rows(uses), cells.b.shelf.rows(uses)) == ([(1, 9)], [(1, 4)])


def test_the_shop_sells_in_its_new_cell_with_new_numbers(cells: TwoCells) -> None:
    cells.move()
    cells.b.shelf.run("UPDATE stock_levels SET on_hand = 5")
    cells.b.shelf.run(
        "INSERT INTO stock_movements (variant_id, location_id, kind, quantity)"
        " SELECT variant_id, location_id, 'receive', 5 FROM stock_levels"
    )
    cells.b.shelf.run(
        "INSERT INTO prices (variant_id, currency, amount_minor) SELECT id, 'EUR', 250 FROM variants WHERE sku = 'cup'"
    )
    cells.b.buy(MOVER, "cup")
    assert [find_cell(int(number)) for _, number, _ in cells.b.orders(MOVER)] == ["a", "a", "a", "b"]
    # A variant that is new there gets an id that none of the moved ones has.
    cells.b.shelf.add_variant("new")


def test_the_old_cell_names_the_new_one(cells: TwoCells) -> None:
    token, other = cells.a.make_key(MOVER), cells.a.make_key(STAYER)
    cells.move()
    with cells.a.engine.begin() as connection:
        moved, stayed = find_callers(connection, [token, other])
        assert moved is not None
        assert stayed is not None
        assert (moved.cell, moved.move, stayed.cell) == ("b", "moved", None)
        keys = list_moved_keys(connection)
    assert {cell for _, cell in keys} == {"b"}
    assert moved.key_id in [key_id for key_id, _ in keys]
    with cells.b.engine.begin() as connection:
        [there] = find_callers(connection, [token])
        assert there is not None
        assert (there.key_id, there.owner, there.cell) == (moved.key_id, MOVER, None)
    # A message that is still sent to the old cell is refused with the name of the new one.
    cart_id = cells.a.shelf.add_cart(("cup", 1), owner=MOVER)
    with pytest.raises(Refused) as refused:
        cells.a.works.start(cart_id, owner=MOVER)
    assert (refused.value.code, refused.value.detail) == (Code.CELL_WRONG, {"cell": "b"})
    cells.a.shelf.run("DELETE FROM carts WHERE owner = :owner", owner=MOVER)


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_move_is_finished_by_the_same_command(cells: TwoCells, step: str) -> None:
    # Given
    before, stayer = cells.a.fingerprints(MOVER), cells.a.fingerprints(STAYER)
    orders = cells.a.orders(MOVER)
    # When
    cells.kill_at(step)
    # Then the other shop sells meanwhile, and every placed order of the moving one is in a cell
    cells.a.buy(STAYER, "cup")
    here, there = cells.a.orders(MOVER), cells.b.orders(MOVER)
    assert set(here) | set(there) == set(orders)
    assert cells.a.fingerprints(STAYER) != stayer
    cells.a.assert_sound()
    cells.b.assert_sound()
    # When
    cells.move()
    # Then
    assert_moved(cells, before, orders)
    # A third time there is nothing left to do.
    cells.move()
    assert_moved(cells, before, orders)


def test_a_shop_comes_back(cells: TwoCells) -> None:
    before, orders = cells.a.fingerprints(MOVER), cells.a.orders(MOVER)
    cells.move()
    back = TwoCells(cells.b, cells.a)
    back.move(cell="a")
    assert cells.a.fingerprints(MOVER) == before
    assert cells.a.orders(MOVER) == orders
    assert {name: count for name, count in cells.b.count_rows(MOVER).items() if count} == {"api_keys": 1}
    cells.a.buy(MOVER, "cup")
    assert len(cells.a.orders(MOVER)) == 4
    uses = "SELECT used, usage_limit FROM coupons"
    assert (cells.a.shelf.rows(uses), cells.b.shelf.rows(uses)) == ([(2, 10)], [(0, 3)])


def test_a_dry_run_changes_nothing(cells: TwoCells) -> None:
    before = (cells.a.fingerprints(MOVER), cells.b.fingerprints(MOVER))
    counts, active = plan_move(cells.moving())
    assert (counts["orders"], active) == (3, [])
    assert (cells.a.fingerprints(MOVER), cells.b.fingerprints(MOVER)) == before
    assert cells.a.shelf.rows("SELECT count(*) FROM owner_moves") == [(0,)]
    assert cells.a.works.start(cells.a.shelf.add_cart(("cup", 1), owner=MOVER), owner=MOVER) != uuid4()
    cells.a.works.pump()
