"""A rush for the last units over HTTP, with all processes: the responses, and the responses to repeats."""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import pytest

from tests.acceptance.edge_place import LONG_WAIT, SECONDS, Place, key, make_cart, open_place, pid_of

pytestmark = pytest.mark.acceptance

BUYERS: Final = 200
UNITS: Final = 50
#: Headers of a repeat that must equal those of the first response.
KEPT: Final = ("content-type", "location", "preference-applied")
WRITTEN: Final = """
    SELECT (SELECT count(*) FROM carts), (SELECT count(*) FROM checkouts), (SELECT count(*) FROM orders),
           (SELECT count(*) FROM events), (SELECT count(*) FROM sandbox.entries),
           (SELECT count(*) FROM stored_responses)
"""


@dataclass(frozen=True)
class Buyer:
    """A buyer of one unit: `body` names an existing cart, or contains it."""

    cart_id: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Rush:
    """An installation after its rush: the responses and their times."""

    place: Place
    buyers: Sequence[Buyer]
    responses: Sequence[httpx2.Response]
    seconds: Sequence[float]


@pytest.fixture(scope="module")
def rushed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rush]:
    """Two hundred buyers of fifty units, all at once."""
    with open_place(tmp_path_factory.mktemp("rush") / "fleet.log") as place:
        place.shelf.add_variant("cup", stock=UNITS, price_minor=250)
        buyers = [make_buyer(is_early=number % 2 == 0) for number in range(BUYERS)]
        put_carts(place, [buyer.cart_id for buyer in buyers if "cart_id" in buyer.body])
        timed = asyncio.run(pay_all(place, buyers))
        yield Rush(place, buyers, [response for _, response in timed], [seconds for seconds, _ in timed])
        place.assert_sound()


def make_buyer(*, is_early: bool) -> Buyer:
    cart = make_cart("cup")
    named: dict[str, Any] = {"cart_id": cart["id"]} if is_early else {"cart": cart}
    return Buyer(cart["id"], {**named, "payment": {"token": "tok_ok"}})


def put_carts(place: Place, ids: Sequence[str]) -> None:
    with place.client() as client:
        for cart_id in ids:
            cart = make_cart("cup")
            del cart["id"]
            assert client.put(f"/carts/{cart_id}", json=cart).status_code == 201


async def pay_all(place: Place, buyers: Sequence[Buyer]) -> list[tuple[float, httpx2.Response]]:
    """Pay for all at once, with one connection each."""
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=place.url, headers=place.headers, timeout=SECONDS, limits=limits) as client:

        async def pay(buyer: Buyer) -> tuple[float, httpx2.Response]:
            began = time.monotonic()
            response = await client.post("/checkout", json=buyer.body, headers=key(buyer.cart_id, wait=LONG_WAIT))
            return time.monotonic() - began, response

        return await asyncio.gather(*(pay(buyer) for buyer in buyers))


def assert_repeats_are_equal(rushed: Rush) -> None:
    """Assert that every repeat gets the same response, to the byte, and changes nothing."""
    before = rushed.place.shelf.rows(WRITTEN)
    again = [response for _, response in asyncio.run(pay_all(rushed.place, rushed.buyers))]
    assert [each.headers.get("idempotency-replayed") for each in again] == ["true"] * BUYERS
    for repeat, first in zip(again, rushed.responses, strict=True):
        assert (repeat.status_code, repeat.content) == (first.status_code, first.content)
        assert [repeat.headers.get(name) for name in KEPT] == [first.headers.get(name) for name in KEPT]
    assert rushed.place.shelf.rows(WRITTEN) == before
    assert rushed.place.shelf.stock("cup") == (0, 0)


def test_fifty_get_an_order_and_all_others_the_reason(rushed: Rush, record_property: Any) -> None:
    seconds = sorted(rushed.seconds)
    figures = {f"p{share}": round(seconds[BUYERS * share // 100], 3) for share in (50, 95, 99)}
    figures["max"] = round(seconds[-1], 3)
    record_property("rush_seconds", figures)
    sys.stdout.write(f"seconds until a buyer has the response: {figures}\n")
    # Then each has one of two responses
    kinds = Counter((response.status_code, response.json().get("code")) for response in rushed.responses)
    assert kinds == {(200, None): UNITS, (409, "out_of_stock"): BUYERS - UNITS}
    refused = [response for response in rushed.responses if response.status_code == 409]
    assert {response.headers["content-type"] for response in refused} == {"application/problem+json"}
    assert all(
        response.json()["facts"] == {"line": 1, "sku": "cup", "requested": 1, "available": 0} for response in refused
    )
    # ... the orders are those of the responses, and there are no others
    ordered = {
        (response.json()["checkout_id"], response.json()["order_number"])
        for response in rushed.responses
        if response.status_code == 200
    }
    orders = rushed.place.shelf.rows(
        "SELECT CAST(checkout_id AS text), number FROM orders WHERE state = 'placed' ORDER BY number"
    )
    assert (set(orders), len({number for _, number in orders})) == (ordered, UNITS)
    assert rushed.place.shelf.rows("SELECT count(*) FROM orders") == [(UNITS,)]
    # ... and everything is sold, and paid once
    assert rushed.place.shelf.stock("cup") == (0, 0)
    assert rushed.place.shelf.rows("SELECT kind, count(*) FROM sandbox.entries GROUP BY 1 ORDER BY 1") == [
        ("authorize", UNITS),
        ("capture", UNITS),
    ]


def test_a_repeat_gets_the_same_response_to_the_byte(rushed: Rush) -> None:
    assert_repeats_are_equal(rushed)


def test_stored_responses_outlive_the_edge_that_sent_them(rushed: Rush) -> None:
    # Given
    os.kill(pid_of(rushed.place, "web.1"), signal.SIGKILL)
    rushed.place.wait_for_edge()
    # Then
    assert_repeats_are_equal(rushed)
