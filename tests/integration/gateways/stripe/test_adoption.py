"""What happened at Stripe after an order, through the whole engine: adopted, reopened, disputed."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from pipeline.errors import Code, Conflict
from pipeline.orders.requests import RefundRequest
from pipeline.settings import Settings
from tests.integration.gateways.stripe.front import Front
from tests.integration.gateways.stripe.purse import Purse
from tests.integration.gateways.stripe.setting import choose_stripe
from tests.integration.reconciliation.counter import compare, move, own_reference
from tests.support.harness import OWNER, Shelf, Works, build_works


@pytest.fixture
def works(engine: Engine, settings: Settings, front: Front) -> Iterator[Works]:
    """The engine with `CHECKOUT_GATEWAY=stripe`."""
    with build_works(engine, choose_stripe(settings, front.url)) as built:
        yield built


def place(works: Works, shelf: Shelf, purse: Purse) -> tuple[UUID, UUID]:
    """Sell two cups for 5.00; return the checkout and the order."""
    shelf.add_variant("cup", stock=9, price_minor=250)
    checkout_id = works.start(shelf.add_cart(("cup", 2)), token=purse.good)
    works.pump()
    found: UUID = shelf.row("SELECT id FROM orders WHERE checkout_id = :id", id=checkout_id).id
    return checkout_id, found


def ask(works: Works, order_id: UUID, minor: int) -> None:
    """Refund an amount as the shop."""
    request = RefundRequest(amount_minor=minor)
    works.orders.request(order_id, OWNER, request, actor="key:shop", idempotency_key=str(uuid4()))
    works.pump()


def changes(shelf: Shelf) -> list[tuple[object, ...]]:
    return shelf.rows("SELECT kind, state, amount_minor, actor FROM order_changes ORDER BY created_at, id")


def test_a_refund_of_the_dashboard_is_adopted_beside_those_of_the_engine(
    works: Works, shelf: Shelf, purse: Purse
) -> None:
    # Given
    checkout_id, order_id = place(works, shelf, purse)
    ask(works, order_id, 100)
    # When the rest is refunded at Stripe
    move(works, checkout_id, "refund")
    assert works.charges.run([checkout_id]) == {checkout_id}
    assert works.charges.run([checkout_id]) == {checkout_id}
    # Then
    assert changes(shelf) == [("refund", "done", 100, "key:shop"), ("refund", "done", 400, "provider")]
    with pytest.raises(Conflict) as refused:
        ask(works, order_id, 1)
    assert refused.value.code is Code.REFUND_EXCEEDS_CAPTURED
    assert compare(works).differences == ()


def test_a_refund_that_fails_later_is_reopened(works: Works, shelf: Shelf, purse: Purse, front: Front) -> None:
    checkout_id, order_id = place(works, shelf, purse)
    ask(works, order_id, 100)
    front.provider.aftermath.fail_refund(str(shelf.row("SELECT reference FROM refunds").reference))
    works.charges.run([checkout_id])
    assert changes(shelf) == [("refund", "needs_review", 100, "key:shop")]
    events = shelf.rows("SELECT kind FROM events WHERE kind LIKE 'order.refund%' ORDER BY id")
    assert events == [("order.refunded",), ("order.refund_failed",)]


@pytest.mark.parametrize(("status", "left"), [("won", 500), ("lost", 200), ("warning_closed", 500)])
def test_a_dispute_is_recorded_from_its_opening_to_its_end(
    works: Works, shelf: Shelf, purse: Purse, front: Front, status: str, left: int
) -> None:
    checkout_id, order_id = place(works, shelf, purse)
    dispute = front.provider.aftermath.open_dispute(own_reference(works.engine, checkout_id), 300)
    works.charges.run([checkout_id])
    assert changes(shelf) == [("dispute", "running", 300, "provider")]
    with pytest.raises(Conflict) as refused:
        ask(works, order_id, 201)
    assert refused.value.code is Code.ORDER_DISPUTED
    front.provider.aftermath.decide(dispute, status)
    works.charges.run([checkout_id])
    assert changes(shelf) == [("dispute", "done", 300, "provider")]
    ask(works, order_id, left)
    assert changes(shelf)[1] == ("refund", "done", left, "key:shop")
