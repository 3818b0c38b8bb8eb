"""What comes of each kind of change."""

from tests.integration.orders.counter import Counter, cancel, fulfill, refund, restock


def test_a_refund_of_units_pays_their_share(counter: Counter) -> None:
    order_id = counter.place()
    change = counter.ask(order_id, refund((1, 2)))
    assert counter.settle(change.change_id) == ["done"]
    assert counter.refunds(change.change_id) == [(1, "succeeded", 500, None)]
    assert counter.repaid() == [500]
    assert counter.events(order_id) == ["order.refunded"]
    told = counter.told("order.refunded")
    assert (told["amount_minor"], told["currency"], told["actor"]) == (500, "EUR", "key:shop")
    assert told["lines"] == [{"line": 1, "sku": "cup", "quantity": 2, "amount_minor": 500}]
    assert counter.shelf.stock("cup") == (2, 0)


def test_a_restock_brings_units_back_once(counter: Counter) -> None:
    order_id = counter.place()
    change = counter.ask(order_id, restock((1, 2)))
    assert counter.settle(change.change_id) == ["done"]
    counter.works.changes.run([change.change_id])
    assert counter.shelf.stock("cup") == (4, 0)
    assert counter.shelf.rows("SELECT quantity FROM stock_movements WHERE kind = 'restock'") == [(2,)]
    told = counter.told("order.restocked")
    assert told["lines"] == [{"line": 1, "sku": "cup", "quantity": 2, "amount_minor": 0, "location": "main"}]


def test_a_fulfillment_is_recorded_and_told(counter: Counter) -> None:
    order_id = counter.place()
    assert counter.do(order_id, fulfill((1, 1, "main"), (2, 1), carrier="DHL", tracking="JD01")) == "done"
    told = counter.told("order.fulfilled")
    assert (told["carrier"], told["tracking"]) == ("DHL", "JD01")
    assert [(each["line"], each["quantity"], each.get("location")) for each in told["lines"]] == [
        (1, 1, "main"),
        (2, 1, None),
    ]


def test_a_cancel_returns_money_units_and_coupon_uses(counter: Counter) -> None:
    counter.shelf.add_coupon("TEN")
    order_id = counter.place(coupon_codes=["TEN"])
    assert counter.do(order_id, refund((1, 1))) == "done"
    assert counter.shelf.rows("SELECT used FROM coupons") == [(1,)]
    number = counter.shelf.row("SELECT number FROM orders").number
    assert counter.do(order_id, cancel(reason="changed their mind")) == "done"
    assert counter.repaid() == [225, 675]
    assert counter.shelf.rows("SELECT state, number, cancelled_at IS NOT NULL FROM orders") == [
        ("cancelled", number, True)
    ]
    assert (counter.shelf.stock("cup"), counter.shelf.stock("pot")) == ((5, 0), (5, 0))
    assert counter.shelf.rows("SELECT used FROM coupons") == [(0,)]
    told = counter.told("order.cancelled")
    assert (told["amount_minor"], told["number"], told["reason"]) == (675, number, "changed their mind")
    assert [each["quantity"] for each in told["restocked"]] == [3, 1]


def test_a_cancel_may_leave_the_stock_and_the_coupons_as_they_are(counter: Counter) -> None:
    counter.settings = counter.settings.model_copy(update={"cancel_returns_coupons": False})
    counter.restart()
    counter.shelf.add_coupon("TEN")
    order_id = counter.place(coupon_codes=["TEN"])
    assert counter.do(order_id, cancel(restock=False)) == "done"
    assert counter.shelf.stock("cup") == (2, 0)
    assert counter.shelf.rows("SELECT used FROM coupons") == [(1,)]
    assert counter.told("order.cancelled")["restocked"] == []


def test_a_cancel_of_what_is_refunded_whole_pays_nothing(counter: Counter) -> None:
    order_id = counter.place()
    assert counter.do(order_id, refund(all=True)) == "done"
    change = counter.ask(order_id, cancel())
    assert counter.settle(change.change_id) == ["done"]
    assert (counter.repaid(), counter.refunds(change.change_id)) == ([1000], [])
    assert counter.order_state(order_id) == "cancelled"


def test_changes_of_one_order_are_done_in_their_order(counter: Counter) -> None:
    order_id = counter.place()
    changes = [counter.ask(order_id, each).change_id for each in (refund((1, 1)), restock((1, 1)), cancel())]
    # The message of the last comes first, and the one of the first is lost.
    counter.works.line.lose_all()
    counter.works.changes.run(changes[1:])
    assert [counter.state(each) for each in changes] == ["requested"] * 3
    assert counter.settle(*changes) == ["done"] * 3
    assert counter.events(order_id) == ["order.refunded", "order.restocked", "order.cancelled"]
    assert counter.repaid() == [250, 750]
    assert counter.shelf.stock("cup") == (5, 0)


def test_an_unknown_id_changes_nothing(counter: Counter) -> None:
    order_id = counter.place()
    counter.works.changes.run([order_id])
    assert counter.shelf.rows("SELECT FROM order_changes") == []
