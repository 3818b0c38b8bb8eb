"""What a storefront shows beside a variant, from a cache where it may."""

from pipeline.security import Scope
from tests.integration.workers.web.stage import Stage


def test_a_storefront_sees_what_it_may_sell(stage: Stage) -> None:
    stage.shelf.add_variant("cup", stock=10, price_minor=500)
    shop, desk = stage.client(Scope.CHECKOUT), stage.client(Scope.CATALOG)
    old = {"rows": [{"sku": "old", "title": "Old", "active": False}]}
    assert desk.put("/variants", json=old, headers={"Idempotency-Key": "old"}).status_code == 200
    found = shop.get("/availability", params={"sku": ["cup", "old", "none"]})
    assert [(each["sku"], each["sellable"], each["available"]) for each in found.json()["variants"]] == [
        ("cup", True, 10),
        ("old", False, 0),
        ("none", False, 0),
    ]
    assert found.headers["cache-control"] == "private, max-age=2"
    same = shop.get(
        "/availability", params={"sku": ["cup", "old", "none"]}, headers={"If-None-Match": found.headers["etag"]}
    )
    assert (same.status_code, same.content) == (304, b"")
    out = {"rows": [{"sku": "cup", "location": "main", "delta": -10}]}
    assert desk.post("/stock/changes", json=out, headers={"Idempotency-Key": "out"}).status_code == 200
    sold_out = shop.get("/availability", params={"sku": "cup"}, headers={"If-None-Match": found.headers["etag"]})
    assert sold_out.json()["variants"] == [{"sku": "cup", "sellable": False, "available": 0, "backorder": False}]
    assert desk.get("/availability", params={"sku": "cup"}).status_code == 403
