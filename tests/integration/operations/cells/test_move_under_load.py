"""A shop moves while its buyers go on: every order that was acknowledged is in exactly one cell afterwards."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy.exc import DBAPIError

from models.guards import OWNER_MOVING
from models.states import CheckoutState
from pipeline.errors import CheckoutError, Code, Refused
from pipeline.operations.cells import CannotMoveError
from tests.integration.operations.cells.two_cells import MOVER, STAYER, Cell, TwoCells
from tests.support.harness import Works
from tests.support.patience import WAIT_SECONDS


def test_an_active_checkout_is_paid_while_nothing_new_starts(cells: TwoCells) -> None:
    # Given one that has started, and a move that waits for it
    a = cells.a
    active = a.works.start(a.shelf.add_cart(("cup", 1), owner=MOVER), owner=MOVER)
    a.works.pump()
    pool = ThreadPoolExecutor(1)
    mover = pool.submit(lambda: cells.move(wait_seconds=WAIT_SECONDS))
    ends_at = time.monotonic() + WAIT_SECONDS
    while a.shelf.rows("SELECT state FROM owner_moves") != [("draining",)]:
        assert time.monotonic() < ends_at
        assert not mover.done()
        time.sleep(0.02)
    # When
    new = a.shelf.add_cart(("cup", 1), owner=MOVER)
    with pytest.raises(Refused) as refused:
        a.works.start(new, owner=MOVER)
    a.buy(STAYER, "cup")
    a.works.pay(active, owner=MOVER)
    a.works.pump()
    cells.deliver()
    moved = mover.result()
    pool.shutdown()
    # Then
    assert moved["orders"] == 4
    assert (refused.value.code, refused.value.detail) == (Code.OWNER_MOVING, {"cell": "b", "seconds": 5})
    assert len(cells.b.orders(MOVER)) == 4
    assert cells.a.orders(MOVER) == []
    assert cells.b.works.status(active).state is CheckoutState.COMPLETED
    # The cart that found no start has moved too.
    assert cells.b.shelf.rows("SELECT owner FROM carts WHERE id = :id", id=new) == [(MOVER,)]


def test_a_move_that_does_not_end_in_time_opens_the_shop_again(cells: TwoCells) -> None:
    active = cells.a.works.start(cells.a.shelf.add_cart(("cup", 1), owner=MOVER), owner=MOVER)
    cells.a.works.pump()
    with pytest.raises(CannotMoveError, match="still has 1 active checkouts and is open again"):
        cells.move(wait_seconds=0.2)
    cells.a.works.pay(active, owner=MOVER)
    cells.a.works.pump()
    assert len(cells.a.orders(MOVER)) == 4


def test_every_acknowledged_order_is_in_one_cell(cells: TwoCells) -> None:
    # Given buyers of both shops that try again and again, in whichever cell takes them
    stop = threading.Event()
    acknowledged: dict[str, list[UUID]] = {MOVER: [], STAYER: []}
    refusals: Counter[str] = Counter()

    def buy(owner: str) -> None:
        works = Works(cells.a.engine, cells.a.settings)
        try:
            while not stop.is_set():
                cart_id = add_cart(cells.a, owner)
                if cart_id is None:
                    refusals["cart"] += 1
                    time.sleep(0.02)
                    continue
                try:
                    checkout_id = works.start(cart_id, token="tok_ok", owner=owner)
                except CheckoutError as refusal:
                    refusals[refusal.code] += 1
                    time.sleep(0.02)
                    continue
                works.pump()
                if works.status(checkout_id).state is CheckoutState.COMPLETED:
                    acknowledged[owner].append(checkout_id)
        finally:
            works.close()

    cells.a.shelf.run("UPDATE stock_levels SET on_hand = on_hand + 5000")
    cells.a.shelf.run(
        "INSERT INTO stock_movements (variant_id, location_id, kind, quantity)"
        " SELECT variant_id, location_id, 'receive', 5000 FROM stock_levels"
    )
    buyers = [threading.Thread(target=buy, args=(owner,)) for owner in (MOVER, STAYER)]
    for each in buyers:
        each.start()
    ends_at = time.monotonic() + WAIT_SECONDS
    while min(map(len, acknowledged.values())) < 5 and time.monotonic() < ends_at:
        time.sleep(0.02)
    # When
    cells.a.shelf.run("UPDATE webhook_endpoints SET active = false")
    cells.deliver()
    try:
        cells.move(wait_seconds=WAIT_SECONDS)
        after = len(acknowledged[STAYER])
        while len(acknowledged[STAYER]) < after + 3 and time.monotonic() < ends_at:
            time.sleep(0.02)
    finally:
        stop.set()
        for each in buyers:
            each.join()
    # Then
    placed = "SELECT checkout_id FROM orders WHERE owner = :owner AND state = 'placed'"
    here, there = ({row[0] for row in cell.shelf.rows(placed, owner=MOVER)} for cell in (cells.a, cells.b))
    assert len(acknowledged[MOVER]) >= 5
    assert here == set()
    assert there >= set(acknowledged[MOVER])
    assert len(there) == len(acknowledged[MOVER]) + 3
    staying = {row[0] for row in cells.a.shelf.rows(placed, owner=STAYER)}
    assert (staying >= set(acknowledged[STAYER]), len(staying)) == (True, len(acknowledged[STAYER]) + 3)
    assert len(acknowledged[STAYER]) >= after + 3
    assert refusals[Code.CELL_WRONG] > 0
    cells.a.shelf.run("DELETE FROM carts WHERE owner = :owner", owner=MOVER)


def add_cart(cell: Cell, owner: str) -> UUID | None:
    """Write a cart; None while its owner is closed."""
    try:
        return cell.shelf.add_cart(("cup", 1), owner=owner)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != OWNER_MOVING:
            raise
        return None
