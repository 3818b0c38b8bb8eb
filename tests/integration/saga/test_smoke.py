"""A cart becomes an order, straight through and in two steps."""

from pipeline.saga.chain import CHAIN
from tests.support.harness import Shelf, Works


def test_straight_through(works: Works, shelf: Shelf) -> None:
    # Given
    shelf.add_variant("cup", stock=3, price_minor=250)
    # When
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_ok")
    works.pump()
    # Then
    status = works.status(checkout_id)
    assert (status.state, status.phases_completed, status.total_minor) == ("completed", 7, 500)
    assert status.order_number is not None
    assert shelf.stock("cup") == (1, 0)
    assert works.sweep().redelivered == 0
    assert [send.queue for send in works.line.sent] == [phase.queue for phase in CHAIN]
