"""Rate limits by what they protect: reads and writes of a key, sign-ins of an address."""

from typing import Any, Final
from uuid import uuid4

import pytest
from fastapi import APIRouter

from pipeline.security import Scope
from pipeline.settings import Settings
from tests.integration.workers.web.counting import HALF_PAST, AtOnce, open_process
from tests.integration.workers.web.outages import NO_REDIS, open_web
from tests.integration.workers.web.problems import check
from tests.integration.workers.web.stage import BODY, Stage
from workers.web.protection import rate_limits
from workers.web.protection.authentication import OpenRoute
from workers.web.protection.policies import Policy, policy_of

#: What each route does. A new route has to choose.
ROUTES: Final = {
    ("GET", "/checkout"): Policy.WRITES,
    ("POST", "/checkout"): Policy.WRITES,
    ("GET", "/checkout/status"): Policy.READS,
    ("POST", "/checkout/cancel"): Policy.WRITES,
    ("PUT", "/carts/{cart_id}"): Policy.WRITES,
    ("GET", "/carts/{cart_id}"): Policy.READS,
    ("GET", "/orders"): Policy.READS,
    ("GET", "/orders/{order_id}"): Policy.READS,
    ("GET", "/orders/{order_id}/changes/{change_id}"): Policy.READS,
    ("POST", "/orders/{order_id}/cancel"): Policy.WRITES,
    ("POST", "/orders/{order_id}/refunds"): Policy.WRITES,
    ("POST", "/orders/{order_id}/restocks"): Policy.WRITES,
    ("POST", "/orders/{order_id}/fulfillments"): Policy.WRITES,
    ("GET", "/events"): Policy.READS,
    ("GET", "/variants"): Policy.READS,
    ("PUT", "/variants"): Policy.WRITES,
    ("PUT", "/prices"): Policy.WRITES,
    ("GET", "/stock"): Policy.READS,
    ("POST", "/stock/changes"): Policy.WRITES,
    ("POST", "/stock/transfers"): Policy.WRITES,
    ("GET", "/availability"): Policy.READS,
    ("POST", "/webhooks/{gateway}"): None,
    ("GET", "/health/checkout"): None,
    ("GET", "/metrics"): Policy.READS,
    ("GET", "/admin"): Policy.READS,
    ("GET", "/admin/checkout-locks"): Policy.READS,
    ("GET", "/admin/checkout-locks/statistics"): Policy.READS,
    ("GET", "/admin/checkout-locks/{checkout_id}"): Policy.READS,
    ("POST", "/admin/checkout-locks/{checkout_id}/release"): Policy.WRITES,
    ("POST", "/admin/checkout-locks/{checkout_id}/retry"): Policy.WRITES,
    ("GET", "/admin/orders"): Policy.READS,
    ("GET", "/admin/orders/{order_id}"): Policy.READS,
    ("POST", "/admin/orders/{order_id}/settle"): Policy.WRITES,
    ("POST", "/admin/orders/{order_id}/{action}"): Policy.WRITES,
    ("GET", "/admin/sign-in"): Policy.ANONYMOUS,
    ("POST", "/admin/sign-in"): Policy.SIGN_INS,
    ("POST", "/admin/sign-out"): Policy.ANONYMOUS,
}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that is set by hand."""
    now = [HALF_PAST]
    monkeypatch.setattr(rate_limits, "read_clock", lambda: now[0])
    return now


def test_every_route_has_chosen_its_limit(stage: Stage) -> None:
    app: Any = stage.server.config.app
    chosen = {(method, route.path): policy_of(route.endpoint) for route in app.state.routes for method in route.methods}
    assert chosen == ROUTES


def test_a_route_without_a_limit_does_not_start() -> None:
    async def look() -> None:
        """Return nothing."""

    router = APIRouter(route_class=OpenRoute)
    with pytest.raises(TypeError, match=r"look has no rate limit: mark it with limited_as\."):
        router.get("/look")(look)


@pytest.mark.usefixtures("unchanged")
def test_reads_use_up_no_writes(stage: Stage, web_settings: Settings) -> None:
    few = web_settings.model_copy(update={"web_reads_per_minute": 2, "web_writes_per_minute": 3})
    headers = {"Authorization": f"Bearer {stage.token(Scope.CHECKOUT)}"}
    unknown_id = {"cart_id": str(uuid4())}
    with open_web(few) as client:
        reads = [client.get("/checkout/status", params=unknown_id, headers=headers) for _ in range(3)]
        # A start is a write, whatever its method is
        writes = [client.get("/checkout", params=unknown_id, headers=headers) for _ in range(3)]
        refused = client.put(f"/carts/{uuid4()}", json=BODY, headers=headers)
    assert [answer.status_code for answer in reads] == [404, 404, 429]
    assert [answer.headers["ratelimit"] for answer in reads] == [f'"reads";r={left};t=30' for left in (1, 0, 0)]
    assert [answer.headers["ratelimit"] for answer in writes] == [f'"writes";r={left};t=30' for left in (2, 1, 0)]
    assert {answer.status_code for answer in writes} == {404}
    assert refused.headers["ratelimit-policy"] == '"writes";q=3;w=60'
    assert refused.headers["retry-after"] == "30"
    check(refused, 429, "rate_limited", 'The rate limit "writes" is 3 requests a minute: wait 30 seconds.')
    assert refused.json()["facts"] == {"policy": "writes", "limit": 3, "seconds": 30}


@pytest.mark.usefixtures("unchanged")
def test_without_redis_a_process_keeps_the_limit_alone(stage: Stage, web_settings: Settings) -> None:
    few = web_settings.model_copy(update={"web_reads_per_minute": 3})
    headers = {"Authorization": f"Bearer {stage.token(Scope.CHECKOUT)}"}
    with open_web(few, redis=NO_REDIS) as client:
        answers = [client.get(f"/carts/{uuid4()}", headers=headers) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 429, 429]


def test_a_burst_of_a_whole_minute_is_exactly_the_limit(redis_url: str, clock: list[float]) -> None:
    # With a thread that reports, as in production
    process = open_process(redis_url, writes=400, reads=100)
    assert (process.send(1000), process.send(1000, client="another")) == (400, 400)
    assert process.send(1000, policy=Policy.READS) == 100
    clock[0] += 29.9
    assert (process.send(), process.limits.count(Policy.WRITES, "key").reset_seconds) == (0, 1)
    clock[0] += 0.1
    assert (process.limits.count(Policy.WRITES, "key").reset_seconds, process.send(1000)) == (60, 399)
    process.close()


def test_no_more_clients_are_kept_than_the_bound(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "MAX_CLIENTS", 3)
    process = open_process(redis_url, AtOnce(), anonymous=10_000)
    for client in ("a", "b", "b", "c", "d"):
        process.send(client=client, policy=Policy.ANONYMOUS)
    # The first one is forgotten, and its place is taken by the last.
    left = [process.limits.count(Policy.ANONYMOUS, client).left for client in ("b", "c", "d", "a")]
    assert left == [9_997, 9_998, 9_998, 9_999]
    process.close()
