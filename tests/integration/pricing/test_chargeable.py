"""What the gateway cannot charge is rounded or refused as the quote is made, and never blamed on the buyer's card."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from models.money import Money
from pipeline.errors import Conflict
from pipeline.gateways import build_gateway
from pipeline.gateways.gateway import Answer, Declined, NotChargeable
from pipeline.gateways.stripe.amounts import find_chargeable
from pipeline.settings import Settings
from tests.support.counter import read_failure
from tests.support.harness import Shelf, Works
from tests.support.workbench import NOTHING, Spy, build_audited, read_bank


class Choosy(Spy):
    """The sandbox bank, with the amounts that Stripe can charge."""

    def chargeable(self, amount: Money) -> Money | NotChargeable:
        """Choose."""
        return find_chargeable(amount)


@pytest.fixture
def choosy(engine: Engine, settings: Settings) -> Iterator[Works]:
    own = settings.model_copy(update={"base_currency": "KWD"})
    with build_audited(engine, own, Choosy(build_gateway(own))) as works:
        yield works


def sell(shelf: Shelf, works: Works, price_minor: int, currency: str = "KWD", **cart: Any) -> Any:
    if not shelf.rows("SELECT FROM variants"):
        shelf.add_variant("cup", stock=20, price_minor=price_minor, currency=currency, tax_included=False)
    checkout_id = works.start(shelf.add_cart(("cup", 2), currency=currency, **cart), token="tok_ok")
    works.pump()
    return checkout_id


@pytest.mark.parametrize(
    ("price_minor", "cart", "total", "rounding"),
    [
        (2560, {}, 5630, 2),  # 5120 and 10 % of it
        (2562, {}, 5630, 6),
        (2500, {}, 5500, 0),
        (2500, {"shipping_minor": 1003, "shipping_tax_included": True}, 6500, 3),
    ],
)
def test_three_decimals_are_rounded_down_and_charged(
    choosy: Works, shelf: Shelf, engine: Engine, price_minor: int, cart: dict[str, Any], total: int, rounding: int
) -> None:
    # Given dinars, of which cards take two decimals, and a tax on top
    shelf.add_tax("0.1", on_shipping=False)
    # When
    checkout_id = sell(shelf, choosy, price_minor, **cart)
    # Then what is charged is what was frozen and ordered
    assert choosy.states([checkout_id]) == ["completed"]
    assert choosy.status(checkout_id).total_minor == total
    assert read_bank(engine, checkout_id).captured_minor == total
    assert shelf.rows("SELECT total_minor FROM orders") == [(total,)]
    # And the rounding stands in the quote and in the order, by its name
    for table in ("price_lock_lines", "order_lines"):
        assert shelf.rows(
            f"SELECT each ->> 'text', CAST(each ->> 'amount_minor' AS integer)"
            f" FROM {table}, jsonb_array_elements(discounts) AS each"
        ) == ([("Rounded down to what can be charged", rounding)] if rounding else [])


def test_the_expected_total_is_compared_with_the_rounded_one(choosy: Works, shelf: Shelf) -> None:
    shelf.add_variant("cup", stock=20, price_minor=2562, currency="KWD")
    ids = [
        choosy.start(shelf.add_cart(("cup", 1), currency="KWD"), token="tok_ok", expected_total_minor=expected)
        for expected in (2562, 2560)
    ]
    choosy.pump()
    assert choosy.states(ids) == ["failed", "completed"]
    assert read_failure(choosy, ids[0])[0] == "price_changed"
    # The same when a started one is paid.
    started = choosy.start(shelf.add_cart(("cup", 1), currency="KWD"))
    choosy.pump()
    with pytest.raises(Conflict, match="The total is 2560"):
        choosy.pay(started, expected_total_minor=2562)


@pytest.mark.parametrize(
    ("price_minor", "currency", "sentence"),
    [
        (24, "EUR", "0.48 EUR cannot be charged: Stripe takes 0.50 EUR and more: add something to the cart."),
        (4, "KWD", "0.008 KWD cannot be charged: Stripe takes 0.010 KWD and more: add something to the cart."),
        (500, "IQD", "1.000 IQD cannot be charged: Stripe takes no IQD: use another currency."),
        (50_000_000, "KWD", "100000.000 KWD cannot be charged: Stripe takes 99999.990 KWD at most: split the cart."),
    ],
)
@pytest.mark.parametrize("token", [None, "tok_ok"], ids=["started", "straight_through"])
def test_what_cannot_be_charged_is_refused_before_anything_is_reserved(
    choosy: Works, shelf: Shelf, engine: Engine, price_minor: int, currency: str, sentence: str, token: str | None
) -> None:
    # Given
    shelf.add_variant("cup", stock=20, price_minor=price_minor, currency=currency)
    # When
    checkout_id = choosy.start(shelf.add_cart(("cup", 2), currency=currency), token=token)
    choosy.pump()
    # Then nothing is reserved or frozen, and the bank is not called
    assert read_failure(choosy, checkout_id) == ("amount_not_chargeable", "cart_validation", f"The total of {sentence}")
    assert shelf.stock("cup") == (20, 0)
    for table in ("reservations", "price_locks", "orders", "payment_operations"):
        assert shelf.rows(f"SELECT count(*) FROM {table}") == [(0,)]
    assert read_bank(engine, checkout_id) == NOTHING


def test_a_coupon_with_a_total_below_the_least_reserves_nothing_and_is_not_used(choosy: Works, shelf: Shelf) -> None:
    shelf.add_variant("cup", stock=20, price_minor=3000, currency="EUR")
    shelf.add_coupon("ALMOST", shelf.add_promotion(percent=99), limit=1)
    checkout_id = choosy.start(shelf.add_cart(("cup", 1), currency="EUR", coupon_codes=["ALMOST"]), token="tok_ok")
    choosy.pump()
    sentence = "The total of 0.30 EUR cannot be charged: Stripe takes 0.50 EUR and more: add something to the cart."
    assert read_failure(choosy, checkout_id) == ("amount_not_chargeable", "cart_validation", sentence)
    assert shelf.rows("SELECT used FROM coupons") == [(0,)]
    for table in ("reservations", "redemptions", "price_locks"):
        assert shelf.rows(f"SELECT count(*) FROM {table}") == [(0,)]


def test_a_converted_total_below_the_least_reserves_nothing(choosy: Works, shelf: Shelf) -> None:
    shelf.add_variant("cup", stock=20, price_minor=100, currency="KWD")
    shelf.add_rate("EUR", "KWD", "0.36", observed_at=datetime.now(UTC))
    checkout_id = choosy.start(shelf.add_cart(("cup", 1), currency="EUR"), token="tok_ok")
    choosy.pump()
    sentence = "The total of 0.28 EUR cannot be charged: Stripe takes 0.50 EUR and more: add something to the cart."
    assert read_failure(choosy, checkout_id) == ("amount_not_chargeable", "cart_validation", sentence)
    assert shelf.rows("SELECT count(*) FROM reservations") == [(0,)]


def test_a_price_that_falls_below_the_least_after_phase_1_is_refused_by_phase_3(choosy: Works, shelf: Shelf) -> None:
    shelf.add_variant("cup", stock=20, price_minor=60, currency="EUR")
    checkout_id = choosy.start(shelf.add_cart(("cup", 1), currency="EUR"), token="tok_ok")
    choosy.run_phase("cart_validation")
    shelf.run("UPDATE prices SET amount_minor = 40")
    choosy.pump()
    sentence = "The total of 0.40 EUR cannot be charged: Stripe takes 0.50 EUR and more: add something to the cart."
    assert read_failure(choosy, checkout_id) == ("amount_not_chargeable", "price_lock", sentence)
    assert shelf.stock("cup") == (20, 0)


def test_the_gateway_is_not_asked_about_a_total_of_zero(choosy: Works, shelf: Shelf) -> None:
    shelf.add_promotion(percent=100, automatic=True)
    checkout_id = sell(shelf, choosy, 24, "EUR")
    assert choosy.states([checkout_id]) == ["completed"]


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("amount_too_small", "the payment provider takes more only: add something to the cart"),
        ("amount_too_large", "the payment provider takes less only: split the cart"),
        ("amount_invalid", "the payment provider cannot take it exactly: change the cart, or its currency"),
    ],
)
@pytest.mark.parametrize("straight", [True, False], ids=["straight_through", "started"])
def test_an_amount_that_the_provider_itself_refuses_is_not_blamed_on_the_card(
    engine: Engine, settings: Settings, shelf: Shelf, code: str, what: str, *, straight: bool
) -> None:
    # Given a provider with a limit that only it knows
    def refuse(verb: str, answer: Answer) -> Answer:
        return Declined(code) if verb == "open" else answer

    gateway = Spy(build_gateway(settings), replace=refuse)
    shelf.add_variant("cup", stock=5, price_minor=250)
    with build_audited(engine, settings, gateway) as works:
        # When
        checkout_id = works.start(shelf.add_cart(("cup", 2)), token="tok_ok" if straight else None)
        works.pump()
        if not straight:
            works.pay(checkout_id)
            works.pump()
        # Then no other card is needed
        assert works.states([checkout_id]) == ["failed"]
        assert read_failure(works, checkout_id) == (
            "amount_not_chargeable",
            "payment_authorization",
            f"The total of 5.00 EUR cannot be charged: {what}.",
        )
        assert shelf.stock("cup") == (5, 0)
