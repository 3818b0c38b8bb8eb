"""One order and its changes, as their owner and operators read them."""

from uuid import UUID, uuid4

import pytest

from models.states import ChangeState, LinePurpose, OrderState, PaymentStatus, RefundStatus
from pipeline.database import reading
from pipeline.errors import Code, NotFound
from pipeline.orders.reading import ChangeView, OrderView, read_change, read_order
from tests.integration.orders.counter import Counter, cancel, fulfill, refund, restock
from tests.support.harness import ADDRESS, OWNER

pytestmark = pytest.mark.usefixtures("numbered")


def read(counter: Counter, order_id: UUID, owner: str | None = OWNER) -> OrderView:
    """Read an order."""
    with reading(counter.engine) as connection:
        return read_order(connection, owner=owner, order_id=order_id)


def read_one(counter: Counter, change_id: UUID, owner: str | None = OWNER, order_id: UUID | None = None) -> ChangeView:
    """Read a change."""
    with reading(counter.engine) as connection:
        return read_change(connection, change_id, owner, order_id=order_id)


def test_an_order_has_its_frozen_amounts_and_what_is_left(counter: Counter) -> None:
    counter.shelf.add_tax("0.20")
    counter.shelf.add_coupon("TEN")
    order_id = counter.place(coupon_codes=["TEN"], customer="ada")
    order = read(counter, order_id)
    assert (order.state, order.number, order.customer, order.currency) == (OrderState.PLACED, 1001, "ada", "EUR")
    assert (order.subtotal_minor, order.discount_minor, order.tax_minor, order.total_minor) == (1000, 100, 151, 900)
    assert (order.shipping_address["city"], order.billing_address) == (ADDRESS["city"], None)
    assert (order.refundable_minor, order.delivery_refundable_minor, order.can_cancel) == (900, 0, True)
    cups, pots = order.lines
    assert (cups.sku, cups.quantity, cups.unit_price_minor, cups.total_minor) == ("cup", 3, 250, 675)
    assert [(each["text"], each["amount_minor"]) for each in cups.discounts] == [("Ten off", 75)]
    assert [(each["name"], each["amount_minor"]) for each in cups.taxes] == [("VAT", cups.tax_minor)]
    assert (cups.refundable, cups.refundable_minor, cups.restockable, cups.fulfillable) == (3, 675, 3, 3)
    assert [(each.location, each.sold, each.restockable) for each in pots.allocations] == [("main", 1, 1)]
    assert order.payment is not None
    assert (order.payment.gateway, order.payment.status) == ("sandbox", PaymentStatus.CAPTURED)
    assert (order.payment.captured_minor, order.payment.refunded_minor, order.payment.disputed_minor) == (900, 0, 0)
    assert "tok_ok" not in repr(order)
    assert order.changes == ()


def test_an_order_shows_its_changes_and_what_they_leave(counter: Counter) -> None:
    order_id = counter.place()
    refunded = counter.ask(order_id, refund((1, 1), reason="a crack")).change_id
    counter.settle(refunded)
    counter.do(order_id, restock((1, 1)))
    counter.do(order_id, fulfill((2, 1), carrier="post"))
    order = read(counter, order_id)
    cups, pots = order.lines
    assert (cups.refunded, cups.refunded_minor, cups.refundable, cups.refundable_minor) == (1, 250, 2, 500)
    assert (cups.restocked, cups.restockable, cups.fulfillable) == (1, 2, 2)
    assert (pots.fulfilled, pots.fulfillable, order.can_cancel, order.refundable_minor) == (1, 0, False, 750)
    assert [each.kind for each in order.changes] == ["refund", "restock", "fulfillment"]
    first = read_one(counter, refunded)
    assert first == order.changes[0]
    assert (first.state, first.amount_minor, first.reason, first.is_settled) == (ChangeState.DONE, 250, "a crack", True)
    [line] = first.lines
    assert (line.purpose, line.line, line.sku, line.quantity, line.amount_minor) == (
        *(LinePurpose.REFUND, 1, "cup", 1),
        250,
    )
    assert [(each.n, each.status, each.amount_minor) for each in first.refunds] == [(1, RefundStatus.SUCCEEDED, 250)]
    assert order.changes[2].options == {"carrier": "post"}


def test_nothing_of_a_cancelled_order_is_left(counter: Counter) -> None:
    order_id = counter.place()
    counter.do(order_id, cancel(restock=False))
    order = read(counter, order_id)
    assert (order.state, order.number, order.refundable_minor, order.can_cancel) == ("cancelled", 1001, 0, False)
    left = {(each.refundable, each.refundable_minor, each.restockable, each.fulfillable) for each in order.lines}
    assert left == {(0, 0, 0, 0)}


def test_an_order_without_a_payment_has_none(counter: Counter) -> None:
    counter.shelf.add_coupon("ALL", counter.shelf.add_promotion(percent=100))
    cart_id = counter.shelf.add_cart(("cup", 1), coupon_codes=["ALL"])
    checkout_id = counter.works.start(cart_id)
    counter.works.pump()
    counter.works.pay(checkout_id, None)
    counter.works.pump()
    order = read(counter, counter.order_of(checkout_id))
    assert (order.total_minor, order.refundable_minor, order.can_cancel) == (0, 0, True)


def test_an_order_is_read_by_its_number_too(counter: Counter) -> None:
    order_id = counter.place()
    with reading(counter.engine) as connection:
        assert read_order(connection, owner=None, number=1001).id == order_id
        with pytest.raises(NotFound, match="no order 1002"):
            read_order(connection, owner=None, number=1002)


def test_orders_and_changes_of_others_and_unknown_ones_are_not_found(counter: Counter) -> None:
    order_id = counter.place()
    change_id = counter.ask(order_id, cancel()).change_id
    assert read(counter, order_id, None).id == order_id
    assert read_one(counter, change_id, None).id == change_id
    for id_, owner in ((order_id, "other"), (uuid4(), OWNER), (uuid4(), None)):
        with pytest.raises(NotFound) as unknown:
            read(counter, id_, owner)
        assert unknown.value.code is Code.ORDER_UNKNOWN
    for id_, owner, of in ((change_id, "other", None), (uuid4(), OWNER, None), (change_id, OWNER, uuid4())):
        with pytest.raises(NotFound) as unknown:
            read_one(counter, id_, owner, of)
        assert unknown.value.code is Code.CHANGE_UNKNOWN


def test_an_order_that_was_never_placed_is_not_shown(counter: Counter) -> None:
    cart_id = counter.shelf.add_cart(("cup", 1))
    checkout_id = counter.works.start(cart_id, token="tok_ok")
    counter.works.pump(until="payment_capture")
    order_id = counter.order_of(checkout_id)
    assert counter.order_state(order_id) == "pending"
    with pytest.raises(NotFound):
        read(counter, order_id)
