"""Bad input: a stable code, one helpful sentence, and nothing changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from models.money import MAX_MINOR
from pipeline.errors import NotFound
from pipeline.settings import Settings
from tests.support.harness import ADDRESS, Shelf, Works
from tests.support.workbench import NOTHING, Snapshot, build_audited, read_bank, take_snapshot

CART_ID = "0190a000-0000-7000-8000-000000000001"


@dataclass(frozen=True)
class Bad:
    """A cart that cannot be sold, and what is said about it."""

    code: str
    sentence: str
    lines: tuple[tuple[str, int] | tuple[str, int, int], ...] = (("cup", 1),)
    currency: str = "EUR"
    line_currency: str | None = None
    address: Mapping[str, Any] | None = field(default_factory=lambda: ADDRESS)


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in ADDRESS.items() if key != name}


def quantity(number: int) -> Bad:
    return Bad(
        "quantity_invalid",
        f'Line 1 asks for {number} of "cup": ask for at least 1 and at most 100000.',
        (("cup", number),),
    )


def incomplete(reason: str, address: Mapping[str, Any]) -> Bad:
    sentence = f"The shipping address cannot be used ({reason}): correct it."
    return Bad("address_missing", sentence, address=address)


#: What a start changes of a cart all the same.
OWN = ("updated_at", "lock_version")

TOO_MUCH = "The total is larger than any amount that can be charged: split the cart."

BAD_CARTS = {
    "no lines": Bad("cart_empty", "The cart has no lines: add something to it first.", ()),
    "too many lines": Bad(
        "cart_too_large",
        "The cart has 1001 lines and at most 1000 may be bought at once: split it.",
        (("cup", 1),) * 1001,
    ),
    "quantity 0": quantity(0),
    "quantity -1": quantity(-1),
    "quantity too large": quantity(100_001),
    "quantity absurd": quantity(2**31 - 1),
    "quantity absurdly negative": quantity(-(2**31)),
    "second line wrong": Bad(
        "quantity_invalid",
        'Line 2 asks for 0 of "cup": ask for at least 1 and at most 100000.',
        (("cup", 1), ("cup", 0)),
    ),
    "unknown variant": Bad(
        "variant_unknown", 'Line 1 names "mug", which is not in the catalog: remove the line.', (("mug", 1),)
    ),
    "inactive variant": Bad(
        "variant_inactive", 'Line 1 names "old", which is not sold any more: remove the line.', (("old", 1),)
    ),
    "no price": Bad(
        "price_missing",
        'Line 1: "raw" has no price in USD: add one, or remove the line.',
        (("raw", 1),),
        currency="USD",
    ),
    "mixed currencies": Bad(
        "currency_mixed",
        "Line 1 is priced in USD and the cart is in EUR: use one currency.",
        (("cup", 1, 100),),
        line_currency="USD",
    ),
    "unknown currency": Bad(
        "currency_unknown", '"ZZZ" is not an ISO 4217 currency with a minor unit: use one such as EUR.', currency="ZZZ"
    ),
    "gold": Bad(
        "currency_unknown", '"XAU" is not an ISO 4217 currency with a minor unit: use one such as EUR.', currency="XAU"
    ),
    "lower case currency": Bad(
        "currency_unknown", '"eur" is not an ISO 4217 currency with a minor unit: use one such as EUR.', currency="eur"
    ),
    "negative external price": Bad(
        "price_invalid", "Line 1: -5 is not a price: send zero or more minor units.", (("cup", 1, -5),)
    ),
    "one line over bigint": Bad("total_too_large", TOO_MUCH, (("cup", 2, MAX_MINOR),)),
    "all lines over bigint": Bad("total_too_large", TOO_MUCH, (("cup", 1, MAX_MINOR), ("pot", 1, 1))),
    "no address": Bad(
        "address_missing",
        "The cart has no shipping address: add one.",
        address=None,
    ),
    "empty address": incomplete("name is missing", {}),
    "address without a name": incomplete("name is missing", without("name")),
    "address without a city": incomplete("city is missing", without("city")),
    "address with an empty line": incomplete("line1 is empty", {**ADDRESS, "line1": ""}),
    "address with a country's name": incomplete(
        "country: 'England' is no country of ISO 3166: use two letters such as DE", {**ADDRESS, "country": "England"}
    ),
    "more than there is": Bad(
        "out_of_stock", 'Of "cup", 6 were asked for and 5 are left: ask for fewer.', (("cup", 6),)
    ),
    "more than there is, over two lines": Bad(
        "out_of_stock", 'Of "cup", 6 were asked for and 5 are left: ask for fewer.', (("cup", 3), ("cup", 3))
    ),
    "never stocked": Bad("out_of_stock", '"air" is sold out: remove it.', (("air", 1),)),
}


def fill(shelf: Shelf) -> None:
    shelf.add_variant("cup", stock=5, price_minor=250)
    shelf.add_variant("pot", stock=5, price_minor=250)
    shelf.add_variant("old", stock=5, active=False)
    shelf.add_variant("air", stock={})
    shelf.add_variant("raw", stock=5, price_minor=None)


def leave_out(rows: Snapshot, *tables: str) -> Snapshot:
    return {table: lines for table, lines in rows.items() if table not in tables}


@pytest.mark.parametrize("paying", [False, True], ids=["started", "straight_through"])
@pytest.mark.parametrize("bad", BAD_CARTS.values(), ids=BAD_CARTS.keys())
def test_a_cart_that_cannot_be_sold(works: Works, shelf: Shelf, engine: Engine, bad: Bad, *, paying: bool) -> None:
    # Given
    fill(shelf)
    cart_id = shelf.add_cart(*bad.lines, currency=bad.currency, address=bad.address, line_currency=bad.line_currency)
    before = take_snapshot(engine, without=OWN)
    # When
    checkout_id = works.start(cart_id, token="tok_ok" if paying else None)
    works.pump()
    # Then
    status = works.status(checkout_id)
    assert status.state == "failed"
    assert status.failure is not None
    assert (status.failure.code, status.failure.phase) == (bad.code, "cart_validation")
    assert status.failure.message == bad.sentence
    # Then but for its own trail nothing has changed: no stock held, no order, no payment at the bank
    trail = ("checkouts", "checkout_lines", "idempotency_keys", "events", "payments")
    assert leave_out(take_snapshot(engine, without=OWN), *trail) == leave_out(before, *trail)
    assert read_bank(engine, checkout_id) == NOTHING
    # Then the cart may be changed
    shelf.run("UPDATE carts SET currency = 'EUR' WHERE id = :id", id=cart_id)
    shelf.run("DELETE FROM cart_lines WHERE cart_id = :id", id=cart_id)


def test_an_unknown_cart_is_refused_on_input(works: Works, engine: Engine) -> None:
    # Given
    before = take_snapshot(engine)
    # When
    with pytest.raises(NotFound) as refusal:
        works.start(UUID(CART_ID))
    # Then
    assert refusal.value.code == "cart_unknown"
    assert str(refusal.value) == f"There is no cart {CART_ID}: create it first, then start its checkout."
    assert take_snapshot(engine) == before
    assert works.line.sent == []


def test_a_bad_cart_in_a_batch_fails_alone(works: Works, shelf: Shelf) -> None:
    # Given
    fill(shelf)
    ids = [works.start(shelf.add_cart(("cup", number)), token="tok_ok") for number in (1, 0, 1, 99, 1)]
    # When
    assert works.run_phase("cart_validation") == 5
    works.pump()
    # Then
    assert works.states(ids) == ["completed", "failed", "completed", "failed", "completed"]
    assert shelf.stock("cup") == (2, 0)


def test_a_basket_of_600_lines_completes(works: Works, shelf: Shelf) -> None:
    # Given
    for number in range(600):
        shelf.add_variant(f"sku-{number:03}", stock=number + 1, price_minor=number)
    # When
    lines = [(f"sku-{number:03}", number + 1) for number in range(600)]
    checkout_id = works.start(shelf.add_cart(*lines), token="tok_ok")
    works.pump()
    # Then
    status = works.status(checkout_id)
    assert (status.state, status.total_minor) == ("completed", sum(n * (n + 1) for n in range(600)))
    assert shelf.rows("SELECT count(*), sum(quantity) FROM order_lines") == [(600, 180_300)]
    assert shelf.rows("SELECT DISTINCT on_hand, reserved FROM stock_levels") == [(0, 0)]


def test_the_largest_total_that_can_be_stored_can_be_bought(engine: Engine, settings: Settings, shelf: Shelf) -> None:
    # Given
    fill(shelf)
    with build_audited(engine, settings.model_copy(update={"max_totals": f"EUR:{MAX_MINOR}"})) as works:
        # When
        checkout_id = works.start(shelf.add_cart(("cup", 1, MAX_MINOR)), token="tok_ok")
        works.pump()
        # Then
        assert works.states([checkout_id]) == ["completed"]
    assert shelf.rows("SELECT total_minor FROM orders") == [(MAX_MINOR,)]


def test_texts_of_any_kind_are_kept_as_they_came(works: Works, shelf: Shelf) -> None:
    # Given
    fill(shelf)
    odd = "Robert'); DROP TABLE carts;-- {brace} %s :name \u202e😀"
    # When
    checkout_id = works.start(
        shelf.add_cart(("cup", 1), address={**ADDRESS, "name": odd}), token="tok_ok", owner=odd, reference=odd
    )
    works.pump()
    # Then
    assert works.states([checkout_id]) == ["completed"]
    assert shelf.rows("SELECT owner, reference, shipping_address ->> 'name' FROM orders") == [(odd, odd, odd)]
    # When something is wrong with it, its sentence shows it unchanged
    other = works.start(shelf.add_cart(("a {sku} %s", 1)), idempotency_key=str(uuid4()))
    works.pump()
    failure = works.status(other).failure
    assert failure is not None
    assert failure.message == 'Line 1 names "a {sku} %s", which is not in the catalog: remove the line.'
