"""Variants, prices and stock over HTTP: each row is done or refused for itself, each batch once."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx2
import pytest

from pipeline.security import Scope
from tests.integration.workers.web.stage import Stage, pay, put_cart

CUP: Final = {"sku": "cup", "location": "main"}


@pytest.fixture
def desk(stage: Stage) -> httpx2.Client:
    """A client that writes the catalog."""
    return stage.client(Scope.CATALOG, owner="erp")


@pytest.fixture
def shop(stage: Stage) -> httpx2.Client:
    """A client that buys, in a shop with ten cups for 5.00."""
    stage.shelf.add_variant("cup", stock=10, price_minor=500)
    return stage.client(Scope.CHECKOUT)


def change(desk: httpx2.Client, *rows: Any, key: str = "k", **others: Any) -> httpx2.Response:
    """Change stock."""
    return desk.post("/stock/changes", json={"rows": rows, **others}, headers={"Idempotency-Key": key})


def put(desk: httpx2.Client, path: str, *rows: dict[str, Any], key: str = "k") -> httpx2.Response:
    """Write variants or prices."""
    return desk.put(path, json={"rows": rows}, headers={"Idempotency-Key": key})


def price_of(shop: httpx2.Client, sku: str) -> int:
    """Return what a unit costs now, by the quote of a new checkout."""
    cart_id = put_cart(shop, (sku, 1))
    quote = shop.get("/checkout", params={"cart_id": str(cart_id)}, headers={"Prefer": "wait=8"}).json()
    shop.post(f"/checkout/{quote['checkout_id']}/cancel", json={}, headers={"Idempotency-Key": str(cart_id)})
    return int(quote["quote"]["lines"][0]["unit_price_minor"])


def test_a_shop_is_filled_and_sells(stage: Stage, desk: httpx2.Client) -> None:
    shop = stage.client(Scope.CHECKOUT)
    made = put(desk, "/variants", {"sku": "mug", "title": "A mug"}, {"sku": "pot", "title": "A pot"})
    assert (made.status_code, made.json()["done"]) == (200, 2)
    priced = put(desk, "/prices", {"sku": "mug", "currency": "EUR", "amount_minor": 700}, key="p")
    assert priced.json()["results"] == [{"row": 0, "state": "done", "sku": "mug", "currency": "EUR"}]
    stocked = change(desk, {"sku": "mug", "location": "Main", "delta": 3}, key="s", reason="delivery", reference="DN-1")
    assert stocked.json()["results"] == [
        {"row": 0, "state": "done", "sku": "mug", "location": "main", "before": 0, "on_hand": 3}
    ]

    assert pay(shop, {"cart_id": str(put_cart(shop, ("mug", 2)))}).json()["order"]["number"] > 0

    [level] = desk.get("/stock", params={"sku": "mug"}).json()["levels"]
    assert (level["on_hand"], level["held"], level["available"]) == (1, 0, 1)
    [variant] = desk.get("/variants", params={"sku": "mug"}).json()["variants"]
    assert [(each["amount_minor"], each["is_valid"]) for each in variant["prices"]] == [(700, True)]
    page = desk.get("/variants", params={"limit": 1}).json()
    assert ([each["sku"] for each in page["variants"]], page["next_after"]) == (["mug"], "mug")
    assert [each["sku"] for each in desk.get("/variants", params={"after": "mug"}).json()["variants"]] == ["pot"]
    # The ledger says who has brought them, and why.
    [row] = stage.shelf.rows("""
        SELECT m.kind, m.quantity, c.owner, c.actor, c.reason, c.reference FROM stock_movements m
        JOIN catalog_changes c ON c.id = m.change_id WHERE m.kind IN ('receive', 'adjust')""")
    key_id = stage.token(Scope.CATALOG, owner="erp")[3:15]
    assert tuple(row) == ("receive", 3, "erp", f"key:{key_id}", "delivery", "DN-1")


def test_a_batch_with_refused_rows_does_the_others(stage: Stage, shop: httpx2.Client, desk: httpx2.Client) -> None:
    answer = change(
        desk,
        {**CUP, "delta": 5},
        {**CUP, "delta": 1},
        {"sku": "cupp", "location": "main", "delta": 1},
        {"sku": "cup", "location": "mian", "delta": 1},
        {"sku": "cup", "location": "far", "set": 3},
        {"sku": "cup", "location": "main", "delta": 0},
        {"sku": "cup", "location": "main", "delta": "5"},
        "cup",
    )
    body = answer.json()
    assert (answer.status_code, body["done"], body["refused"]) == (207, 1, 7)
    assert [each["state"] for each in body["results"]] == ["done", *["refused"] * 7]
    failures = [(each["failure"]["code"], each["failure"]["message"]) for each in body["results"][1:]]
    for (code, message), (expected, words) in zip(
        failures,
        [
            ("request_invalid", "row 0 is about the same"),
            ("sku_unknown", '"cupp"'),
            ("location_unknown", 'did you mean "main"?'),
            ("request_invalid", "set needs expected"),
            ("request_invalid", "a delta of 0 changes nothing"),
            ("request_invalid", "delta"),
            ("request_invalid", ""),
        ],
        strict=True,
    ):
        assert (code, words in message) == (expected, True), (code, message)
    assert stage.shelf.stock("cup") == (15, 0)
    assert stage.shelf.rows("SELECT code FROM locations") == [("main",)]


def test_a_repeat_changes_nothing_and_another_batch_is_refused(
    stage: Stage, shop: httpx2.Client, desk: httpx2.Client
) -> None:
    first = change(desk, {**CUP, "delta": 5})
    again = change(desk, {**CUP, "delta": 5})
    assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
    assert "idempotency-replayed" not in first.headers
    other = change(desk, {**CUP, "delta": 6})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")
    assert stage.shelf.stock("cup") == (15, 0)
    # Another owner's key of the same name is another one.
    assert change(stage.client(Scope.CATALOG, owner="warehouse"), {**CUP, "delta": 5}).status_code == 200
    assert stage.shelf.stock("cup") == (20, 0)


@pytest.mark.parametrize(
    ("row", "status", "code", "facts"),
    [
        ({"set": 20, "expected": 9}, 409, "stock_changed", {"on_hand": 10, "expected": 9}),
        ({"set": 20}, 422, "request_invalid", {}),
        ({"set": 20, "delta": 1, "expected": 10}, 422, "request_invalid", {}),
        ({"delta": 1, "expected": 10}, 422, "request_invalid", {}),
        ({"delta": 2_000_000_000}, 422, "request_invalid", {}),
        ({"delta": 1.5}, 422, "request_invalid", {}),
        ({"delta": -11}, 409, "stock_reserved", {"reserved": 0, "quantity": -1}),
        ({"delta": 1, "colour": "red"}, 422, "request_invalid", {}),
    ],
)
def test_a_single_row_is_refused_as_a_problem(
    stage: Stage,
    shop: httpx2.Client,
    desk: httpx2.Client,
    row: dict[str, Any],
    status: int,
    code: str,
    facts: dict[str, int],
) -> None:
    answer = change(desk, {**CUP, **row})
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), body
    assert {name: body["facts"][name] for name in facts} == facts
    assert stage.shelf.stock("cup") == (10, 0)
    assert stage.shelf.rows("SELECT FROM catalog_changes") == []
    # Nothing was done: the key is free.
    assert change(desk, {**CUP, "set": 12, "expected": 10}).status_code == 200
    assert stage.shelf.stock("cup") == (12, 0)


@pytest.mark.parametrize("body", [{}, {"rows": []}, {"rows": [{**CUP, "delta": 1}] * 1001}, {"rows": {}}, [], "x"])
def test_a_body_that_is_no_batch_is_refused(stage: Stage, shop: httpx2.Client, desk: httpx2.Client, body: Any) -> None:
    answer = desk.post("/stock/changes", json=body, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
    assert stage.shelf.stock("cup") == (10, 0)


def test_held_units_are_never_removed(stage: Stage, shop: httpx2.Client, desk: httpx2.Client) -> None:
    cart_id = put_cart(shop, ("cup", 4))
    shop.get("/checkout", params={"cart_id": str(cart_id)}, headers={"Prefer": "wait=8"})
    refused = change(desk, {**CUP, "set": 3, "expected": 10})
    assert (refused.status_code, refused.json()["code"]) == (409, "stock_reserved")
    policy = put(desk, "/variants", {"sku": "cup", "title": "Cup", "backorder_policy": "continue"}, key="v")
    assert policy.status_code == 200
    assert change(desk, {**CUP, "set": 3, "expected": 10}).status_code == 200
    # With one unit sold beyond what is on hand, it cannot be made one that is not backordered.
    mixed = put(
        desk,
        "/variants",
        {"sku": "cup", "title": "Cup", "backorder_policy": "deny"},
        {"sku": "mug", "title": "Mug"},
        key="w",
    )
    assert (mixed.status_code, mixed.json()["results"][0]["failure"]["code"]) == (207, "stock_oversold")
    assert stage.shelf.rows("SELECT sku, backorder_policy FROM variants ORDER BY sku") == [
        ("cup", "continue"),
        ("mug", "deny"),
    ]
    assert stage.shelf.stock("cup") == (3, 4)


def test_units_go_from_one_location_to_another(stage: Stage, shop: httpx2.Client, desk: httpx2.Client) -> None:
    def transfer(to: str, quantity: int, key: str, **others: Any) -> httpx2.Response:
        row = {"sku": "cup", "from_location": "main", "to_location": to, "quantity": quantity}
        return desk.post("/stock/transfers", json={"rows": [row], **others}, headers={"Idempotency-Key": key})

    assert transfer("store", 4, "a").json()["code"] == "location_unknown"
    done = transfer("store", 4, "a", create_locations=True)
    assert done.json()["results"] == [
        {
            "row": 0,
            "state": "done",
            "sku": "cup",
            "from_location": "main",
            "from_on_hand": 6,
            "to_location": "store",
            "to_on_hand": 4,
        }
    ]
    assert transfer("store", 7, "b").json()["code"] == "stock_reserved"
    assert transfer("main", 1, "c").json()["code"] == "request_invalid"
    levels = desk.get("/stock", params={"sku": "cup"}).json()["levels"]
    assert [(each["location"], each["on_hand"]) for each in levels] == [("main", 6), ("store", 4)]


def test_prices_have_times_and_never_overlap(stage: Stage, shop: httpx2.Client, desk: httpx2.Client) -> None:
    now = datetime.now(UTC)

    def price(amount: int, key: str, begins: float | None = None, ends: float | None = None) -> httpx2.Response:
        times = {"valid_from": begins, "valid_until": ends}
        row = {name: (now + timedelta(hours=hours)).isoformat() for name, hours in times.items() if hours is not None}
        return put(desk, "/prices", {"sku": "cup", "currency": "EUR", "amount_minor": amount, **row}, key=key)

    assert price(450, "base").status_code == 200
    assert price_of(shop, "cup") == 450
    assert price(300, "sale", None, 2).status_code == 200
    assert price_of(shop, "cup") == 300
    assert price(250, "next", 5, 6).status_code == 200
    for key, begins, ends in (("a", 1.0, 3.0), ("b", 4.0, 5.5), ("c", 5.2, 5.8)):
        refused = price(100, key, begins, ends)
        assert (refused.status_code, refused.json()["code"]) == (409, "price_overlaps")
    assert price(240, "again", 5, 5.5).status_code == 200  # the same moment: the same price, replaced
    assert price(100, "past", -1, 1).json()["code"] == "request_invalid"
    # A sale that has begun is ended early, by its own beginning.
    [variant] = desk.get("/variants", params={"sku": "cup"}).json()["variants"]
    began = variant["prices"][1]["valid_from"]
    sale = {"sku": "cup", "currency": "EUR", "amount_minor": 310, "valid_from": began}
    assert put(desk, "/prices", sale, key="endless").json()["code"] == "request_invalid"
    shorter = {**sale, "valid_until": (now + timedelta(hours=1)).isoformat()}
    assert put(desk, "/prices", shorter, key="shorter").status_code == 200
    assert price_of(shop, "cup") == 310
    assert price(100, "ended", None, -1).json()["code"] == "request_invalid"
    assert price(100, "backward", 3, 2).json()["code"] == "request_invalid"
    two = [
        {"sku": "cup", "currency": "EUR", "amount_minor": 1, "valid_from": begins, "valid_until": ends}
        for begins, ends in (
            ("2100-01-01T00:00:00Z", "2100-01-03T00:00:00Z"),
            ("2100-01-02T00:00:00Z", "2100-01-04T00:00:00Z"),
        )
    ]
    both = put(desk, "/prices", *two, key="two").json()
    assert [each["state"] for each in both["results"]] == ["done", "refused"]
    [variant] = desk.get("/variants", params={"sku": "cup"}).json()["variants"]
    assert [(each["amount_minor"], each["is_valid"]) for each in variant["prices"]] == [
        (450, False),
        (310, True),
        (240, False),
        (1, False),
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"amount_minor": 0}, "amount_minor must be above 0"),
        ({"amount_minor": -1}, "amount_minor must be above 0"),
        ({"amount_minor": 4.5}, "amount_minor"),
        ({"amount_minor": "450"}, "amount_minor"),
        ({"amount_minor": 2**63}, "amount_minor"),
        ({"amount_minor": 450, "currency": "XXX"}, "currency"),
        ({"amount_minor": 450, "currency": "eur"}, "currency"),
        ({"amount_minor": 450, "tax_included": False}, "include tax: leave tax_included out"),
        ({"amount_minor": 450, "valid_from": "2100-01-01"}, "valid_from"),
        ({"amount_minor": 450, "price": 3}, "price"),
    ],
)
def test_a_wrong_price_changes_nothing(
    shop: httpx2.Client, desk: httpx2.Client, row: dict[str, Any], words: str
) -> None:
    refused = put(desk, "/prices", {"sku": "cup", "currency": "EUR", **row})
    assert (refused.status_code, refused.json()["code"]) == (422, "request_invalid")
    assert words in refused.json()["detail"]
    [variant] = desk.get("/variants", params={"sku": "cup"}).json()["variants"]
    assert [each["amount_minor"] for each in variant["prices"]] == [500]


def test_only_keys_of_the_catalog_write_it(stage: Stage, shop: httpx2.Client) -> None:
    for scope in (Scope.CHECKOUT, Scope.ORDERS, Scope.EVENTS, Scope.PRICES):
        refused = change(stage.client(scope), {**CUP, "delta": 1})
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    assert stage.shelf.stock("cup") == (10, 0)
