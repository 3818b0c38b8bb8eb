"""A rush for the last units over HTTP, with all processes: what everybody is told, and is told again."""

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

from tests.acceptance.edge_place import Place, key, make_cart, open_place, pid_of

pytestmark = pytest.mark.acceptance

BUYERS: Final = 200
UNITS: Final = 50
#: What a repeat of the edge's must say as the first answer did.
KEPT: Final = ("content-type", "location", "preference-applied")
WRITTEN: Final = """
    SELECT (SELECT count(*) FROM carts), (SELECT count(*) FROM checkouts), (SELECT count(*) FROM orders),
           (SELECT count(*) FROM events), (SELECT count(*) FROM sandbox.entries),
           (SELECT count(*) FROM stored_responses)
"""


@dataclass(frozen=True)
class Buyer:
    """Who wants one unit: `body` names a cart that is there, or brings it along."""

    cart_id: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Rush:
    """A shop after its rush: the answers, and how long each took."""

    place: Place
    buyers: Sequence[Buyer]
    answers: Sequence[httpx2.Response]
    seconds: Sequence[float]


@pytest.fixture(scope="module")
def rushed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rush]:
    """Two hundred buyers of fifty units, all at once."""
    with open_place(tmp_path_factory.mktemp("rush") / "fleet.log") as place:
        place.shelf.add_variant("cup", stock=UNITS, price_minor=250)
        buyers = [make_buyer(is_early=number % 2 == 0) for number in range(BUYERS)]
        put_carts(place, [buyer.cart_id for buyer in buyers if "cart_id" in buyer.body])
        timed = asyncio.run(pay_all(place, buyers))
        yield Rush(place, buyers, [answer for _, answer in timed], [seconds for seconds, _ in timed])
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
    """Pay for all at once, on a connection each."""
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=place.url, headers=place.headers, timeout=60, limits=limits) as client:

        async def pay(buyer: Buyer) -> tuple[float, httpx2.Response]:
            began = time.monotonic()
            answer = await client.post("/checkout", json=buyer.body, headers=key(buyer.cart_id, wait=30))
            return time.monotonic() - began, answer

        return await asyncio.gather(*(pay(buyer) for buyer in buyers))


def assert_told_again(rushed: Rush) -> None:
    """Assert that everybody who asks again is told the same, to the byte, and that nothing happens for it."""
    before = rushed.place.shelf.rows(WRITTEN)
    again = [answer for _, answer in asyncio.run(pay_all(rushed.place, rushed.buyers))]
    assert [each.headers.get("idempotency-replayed") for each in again] == ["true"] * BUYERS
    for told, first in zip(again, rushed.answers, strict=True):
        assert (told.status_code, told.content) == (first.status_code, first.content)
        assert [told.headers.get(name) for name in KEPT] == [first.headers.get(name) for name in KEPT]
    assert rushed.place.shelf.rows(WRITTEN) == before
    assert rushed.place.shelf.stock("cup") == (0, 0)


def test_fifty_get_an_order_and_everybody_else_the_reason(rushed: Rush, record_property: Any) -> None:
    seconds = sorted(rushed.seconds)
    figures = {f"p{share}": round(seconds[BUYERS * share // 100], 3) for share in (50, 95, 99)}
    figures["max"] = round(seconds[-1], 3)
    record_property("rush_seconds", figures)
    sys.stdout.write(f"seconds until a buyer has the answer: {figures}\n")
    # Then each has one of two answers
    kinds = Counter((answer.status_code, answer.json().get("code")) for answer in rushed.answers)
    assert kinds == {(200, None): UNITS, (409, "out_of_stock"): BUYERS - UNITS}
    refused = [answer for answer in rushed.answers if answer.status_code == 409]
    assert {answer.headers["content-type"] for answer in refused} == {"application/problem+json"}
    assert all(
        answer.json()["facts"] == {"line": 1, "sku": "cup", "requested": 1, "available": 0} for answer in refused
    )
    # ... the orders are those that were told of, and there are no others
    told = {
        (answer.json()["checkout_id"], answer.json()["order_number"])
        for answer in rushed.answers
        if answer.status_code == 200
    }
    orders = rushed.place.shelf.rows(
        "SELECT CAST(checkout_id AS text), number FROM orders WHERE state = 'placed' ORDER BY number"
    )
    assert (set(orders), len({number for _, number in orders})) == (told, UNITS)
    assert rushed.place.shelf.rows("SELECT count(*) FROM orders") == [(UNITS,)]
    # ... and everything is sold, and paid once
    assert rushed.place.shelf.stock("cup") == (0, 0)
    assert rushed.place.shelf.rows("SELECT kind, count(*) FROM sandbox.entries GROUP BY 1 ORDER BY 1") == [
        ("authorize", UNITS),
        ("capture", UNITS),
    ]


def test_who_asks_again_is_told_the_same_to_the_byte(rushed: Rush) -> None:
    assert_told_again(rushed)


def test_what_was_told_outlives_the_edge_that_told_it(rushed: Rush) -> None:
    # Given
    os.kill(pid_of(rushed.place, "web.1"), signal.SIGKILL)
    rushed.place.wait_for_edge()
    # Then
    assert_told_again(rushed)
