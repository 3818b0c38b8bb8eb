"""Currencies with three decimals, through the whole engine: Stripe takes two of them."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from pipeline.gateways.gateway import Verb
from pipeline.settings import Settings
from tests.integration.gateways.stripe.front import Front
from tests.integration.gateways.stripe.purse import Purse
from tests.integration.gateways.stripe.setting import choose_stripe
from tests.support.counter import read_failure
from tests.support.harness import Shelf, Works
from tests.support.workbench import build_audited


@pytest.fixture
def works(engine: Engine, settings: Settings, front: Front) -> Iterator[Works]:
    with build_audited(engine, choose_stripe(settings, front.url, base_currency="KWD")) as built:
        yield built


def test_ten_totals_of_dinars_are_all_charged(works: Works, shelf: Shelf, front: Front, purse: Purse) -> None:
    # Given totals with each last digit
    ids = []
    for digit in range(10):
        shelf.add_variant(f"cup-{digit}", stock=1, price_minor=5120 + digit, currency="KWD")
        ids.append(works.start(shelf.add_cart((f"cup-{digit}", 1), currency="KWD"), token=purse.good))
    # When
    works.pump()
    # Then
    assert works.states(ids) == ["completed"] * 10
    assert shelf.rows("SELECT DISTINCT total_minor FROM orders") == [(5120,)]
    assert {each.fields.get("amount") for each in front.seen if each.verb is Verb.OPEN} == {"5120"}


def test_what_stripe_does_not_charge_is_never_sent(works: Works, shelf: Shelf, front: Front, purse: Purse) -> None:
    shelf.add_variant("pin", stock=1, price_minor=9, currency="KWD")
    checkout_id = works.start(shelf.add_cart(("pin", 1), currency="KWD"), token=purse.good)
    works.pump()
    assert read_failure(works, checkout_id) == (
        "amount_not_chargeable",
        "cart_validation",
        "The total of 0.009 KWD cannot be charged: Stripe takes 0.010 KWD and more: add something to the cart.",
    )
    assert front.seen == []
