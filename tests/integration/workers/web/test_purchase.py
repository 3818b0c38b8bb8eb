"""A purchase over HTTP, in two steps and straight through."""

from tests.integration.workers.web.stage import Stage, pay, put_cart, start


def test_two_steps_from_a_cart_to_an_order(stage: Stage) -> None:
    # Given
    stage.shelf.add_variant("kettle", stock=3, price_minor=3900)
    client = stage.client()
    cart_id = put_cart(client, ("kettle", 2))
    # When
    quoted = start(client, cart_id)
    # Then the quote is frozen and the cart is locked
    assert quoted.status_code == 200, quoted.text
    checkout = quoted.json()
    assert (checkout["state"], checkout["locked"], checkout["totals"]["total_minor"]) == (
        "awaiting_payment",
        True,
        7800,
    )
    assert stage.shelf.stock("kettle") == (3, 2)
    # When
    paid = pay(client, {"checkout_id": checkout["checkout_id"], "expected_total_minor": 7800})
    # Then
    assert paid.status_code == 200, paid.text
    assert (paid.json()["state"], paid.json()["order"]["number"]) == ("completed", paid.json()["order_number"])
    assert stage.shelf.stock("kettle") == (1, 0)
    assert stage.shelf.rows("SELECT number, total_minor FROM orders") == [(paid.json()["order_number"], 7800)]
    assert paid.headers["preference-applied"] == "wait=8"
