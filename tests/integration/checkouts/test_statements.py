"""What a phase asks of the database: a few statements a batch, however many checkouts are in it."""

from pipeline.saga import CHAIN
from pipeline.saga.chain import TransactionPhase
from tests.support.counting import counting
from tests.support.harness import Shelf, Works

LOCAL = [phase.name for phase in CHAIN if isinstance(phase.work, TransactionPhase)]


def count_phases(works: Works, shelf: Shelf, size: int) -> dict[str, tuple[int, int]]:
    """Sell to this many buyers at once and return what each phase needed: (statements, commits)."""
    ids = [
        works.start(shelf.add_cart(("TEA", 2), ("CUP", 1), coupon_codes=["TEN"]), token="tok_ok") for _ in range(size)
    ]
    counted = {}
    for phase in CHAIN:
        with counting(works.engine) as counts:
            assert works.run_phase(phase.name, batch=size) == size
        counted[phase.name] = counts["statements"], counts["commits"]
    assert works.states(ids) == ["completed"] * size
    return counted


def test_a_phase_writes_in_one_round_trip_what_it_writes(works: Works, shelf: Shelf) -> None:
    for sku in ("TEA", "CUP"):
        shelf.add_variant(sku, stock=100)
    shelf.add_coupon("TEN")
    shelf.add_tax("0.2")

    counted = count_phases(works, shelf, 1)

    assert counted == {
        # The checkouts locked; carts and stock read; the checkouts moved on, with their events.
        "cart_validation": (4, 1),
        # Locked; the lines read, the stock locked, the units held; moved on.
        "inventory_reservation": (5, 1),
        # Locked; carts, taxes and promotions read, the coupon locked and redeemed, the quotes frozen; moved on.
        "price_lock": (8, 1),
        # Two calls. Locked, the payment loaded, the call leased; the answer stored; moved on.
        "payment_authorization": (11, 3),
        # Locked; orders with their lines; moved on.
        "order_creation": (3, 1),
        # One call.
        "payment_capture": (7, 2),
        # Locked, with carts and stock; units sold and orders placed; carts completed; moved on.
        "stock_commit": (6, 1),
    }


def test_a_batch_needs_no_more_statements_than_one_checkout(works: Works, shelf: Shelf) -> None:
    for sku in ("TEA", "CUP"):
        shelf.add_variant(sku, stock=1000)
    shelf.add_coupon("TEN")
    shelf.add_tax("0.2")

    alone, together = count_phases(works, shelf, 1), count_phases(works, shelf, 50)

    assert [together[name] for name in LOCAL] == [alone[name] for name in LOCAL]
