"""The example shop bounds its cookie and its forms as the HTTP edge does."""

import time

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from pipeline.settings import Settings
from scripts.example_shop.edge import EngineClient
from scripts.example_shop.web import MAX_FORM_BYTES
from scripts.shop import build_shop

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def shop() -> TestClient:
    """The shop without an engine: a request that reaches the engine fails."""
    settings = Settings(
        _env_file=None, database_url=SecretStr("postgresql://x"), redis_url=SecretStr("redis://x"), gateway="sandbox"
    )
    return TestClient(build_shop(EngineClient("http://127.0.0.1:1", "ck_test"), settings))


@pytest.mark.parametrize(
    ("body", "status"), [(b"a=" + b"b" * MAX_FORM_BYTES, 413), (b"a=b&" * 21, 422), (b"a=" * 9000, 413)], ids=range(3)
)
def test_a_form_is_bounded(shop: TestClient, body: bytes, status: int) -> None:
    assert shop.post("/cart", content=body, headers=FORM).status_code == status


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[", "testserver"])
def test_a_form_of_another_site_is_refused_whatever_its_origin_is(shop: TestClient, origin: str) -> None:
    assert shop.post("/cart", content=b"sku=cup", headers={**FORM, "origin": origin}).status_code == 403


def test_a_quoted_cookie_costs_no_more_than_none(shop: TestClient) -> None:
    def cost(cookie: str) -> float:
        costs = []
        for _ in range(3):
            began = time.process_time()
            assert shop.post("/cart", content=b"a=b&" * 21, headers={**FORM, "cookie": cookie}).status_code == 422
            costs.append(time.process_time() - began)
        return min(costs)

    assert cost('cart="' + '\\"' * 7000 + '"') < 5 * cost("cart=x") + 0.005
