"""Units that are refunded one by one come to their line's total, to the minor unit, in every currency."""

import pytest

from tests.integration.orders.counter import Counter, refund


@pytest.mark.parametrize(
    ("currency", "price_minor", "quantity"),
    [("EUR", 333, 7), ("JPY", 1, 3), ("JPY", 101, 9), ("BHD", 1999, 6), ("EUR", 1, 5)],
)
def test_unit_by_unit_is_the_total_of_the_line(
    counter: Counter, currency: str, price_minor: int, quantity: int
) -> None:
    counter.shelf.add_promotion(percent=7)
    counter.shelf.add_tax("0.19")
    shelf = counter.shelf
    shelf.add_variant("bit", stock=20, price_minor=price_minor, currency=currency, tax_included=False)
    order_id = counter.place(("bit", quantity), currency=currency, shipping_minor=107, shipping_tax_included=False)
    total = shelf.row("SELECT total_minor FROM order_lines").total_minor
    whole = shelf.row("SELECT total_minor FROM orders").total_minor
    paid = []
    for _ in range(quantity):
        assert counter.do(order_id, refund((1, 1))) == "done"
        paid.append(shelf.row("SELECT amount_minor FROM order_changes ORDER BY id DESC LIMIT 1").amount_minor)
    # A share that rounds to nothing is no refund at the bank.
    assert (sum(paid), max(paid) - min(paid) <= 1) == (total, True)
    assert counter.repaid() == [each for each in paid if each]
    # ... and the delivery is what is left
    assert counter.do(order_id, refund(all=True)) == "done"
    assert sum(counter.repaid()) == whole
    left = shelf.row("SELECT delivery_minor FROM order_changes ORDER BY id DESC LIMIT 1").delivery_minor
    assert left == whole - total > 0
