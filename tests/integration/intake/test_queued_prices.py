"""Prices in a queued message: accepted from a trusted upstream, rejected with a record where none is trusted."""

from collections.abc import Iterator
from typing import Any, Final
from uuid import uuid4

import pytest

from pipeline.errors import Code
from pipeline.errors.tree import SENTENCES
from pipeline.settings import IntakePrices, Settings
from tests.support.harness import ADDRESS, Shelf, Works
from workers.bootstrap import Components, build_components
from workers.intake import admit

TAX: Final = {"name": "VAT", "rate": "0.2", "amount_minor": 1}
#: Every way to name an amount: in a line, and beside the lines.
OWN: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "a price": ({"unit_price_minor": 1}, {}),
    "a price of nothing": ({"unit_price_minor": 0}, {}),
    "a discount": ({"discounts": [{"text": "Mine", "amount_minor": 1}]}, {}),
    "no discounts": ({"discounts": []}, {}),
    "a tax": ({"taxes": [TAX]}, {}),
    "no taxes": ({"taxes": []}, {}),
    "delivery": ({}, {"shipping": {"amount_minor": 0}}),
}


def make_body(line: dict[str, Any], cart: dict[str, Any]) -> dict[str, Any]:
    """Return a message that brings a cart along."""
    lines = [{"sku": "cup", "quantity": 1, **line}]
    content = {"id": str(uuid4()), "currency": "EUR", "lines": lines, "shipping_address": ADDRESS, **cart}
    return {"owner": "shop-1", "idempotency_key": str(uuid4()), "cart": content}


@pytest.fixture
def strict(works: Works, shelf: Shelf, settings: Settings) -> Iterator[Components]:
    """An engine that accepts no prices from the queue."""
    del works
    shelf.add_variant("cup", stock=9, price_minor=250)
    components = build_components(settings.model_copy(update={"intake_prices": IntakePrices.REFUSE}), "test")
    yield components
    components.close()


@pytest.mark.parametrize("own", OWN)
def test_a_message_that_names_amounts_is_refused_and_kept(strict: Components, shelf: Shelf, own: str) -> None:
    admit(strict, [make_body(*OWN[own]), make_body({}, {})])
    # The other request is started, and of this one there is only the rejection.
    assert shelf.rows("SELECT count(*) FROM checkouts") == shelf.rows("SELECT count(*) FROM carts") == [(1,)]
    assert shelf.rows("SELECT queue, code, message FROM rejected_messages") == [
        ("checkout.intake", "external_amounts_refused", SENTENCES[Code.EXTERNAL_AMOUNTS_REFUSED])
    ]


def test_a_cart_that_an_upstream_has_priced_before_is_started(strict: Components, shelf: Shelf) -> None:
    cart_id = shelf.add_cart(("cup", 1, 100))
    admit(strict, [{"owner": "shop-1", "idempotency_key": "k", "cart_id": str(cart_id)}])
    assert shelf.rows("SELECT count(*) FROM rejected_messages") == [(0,)]
    assert shelf.rows("SELECT cart_id FROM checkouts") == [(cart_id,)]


@pytest.mark.parametrize("own", OWN)
def test_by_default_an_upstream_is_trusted(works: Works, shelf: Shelf, settings: Settings, own: str) -> None:
    shelf.add_variant("cup", stock=9, price_minor=250)
    components = build_components(settings, "test")
    admit(components, [make_body(*OWN[own])])
    components.close()
    assert shelf.rows("SELECT count(*) FROM rejected_messages") == [(0,)]
    assert shelf.rows("SELECT count(*) FROM checkouts") == [(1,)]
