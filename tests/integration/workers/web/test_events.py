"""`GET /events`: every event of an owner over HTTP, page by page, and waited for."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx2
import pytest

from pipeline.security import Scope
from tests.integration.workers.web.stage import BODY, Stage, pay, spin_until


@pytest.fixture
def reader(stage: Stage, cup: httpx2.Client) -> httpx2.Client:
    """A client that may read events."""
    del cup
    return stage.client(Scope.EVENTS)


def read(reader: httpx2.Client, **query: object) -> list[str]:
    """Follow the feed to its end; return the kinds of its events."""
    found: list[str] = []
    while True:
        page = reader.get("/events", params={name: str(value) for name, value in query.items()}).json()
        found += [each["kind"] for each in page["events"]]
        query["after"] = page["next_after"]
        if not page["has_more"]:
            return found


def test_the_feed_has_a_purchase_from_its_start_to_its_order(
    stage: Stage, cup: httpx2.Client, reader: httpx2.Client
) -> None:
    paid = pay(cup, {"cart": {"id": str(uuid4()), **BODY}}).json()
    spin_until(stage.is_idle, "the workers are idle")
    kinds = read(reader, limit=3)
    assert (kinds[0], kinds[-2:], kinds.count("checkout.phase_completed")) == (
        *("checkout.started", ["checkout.completed", "order.placed"]),
        7,
    )
    placed = reader.get("/events", params={"limit": 500}).json()["events"][-1]
    assert (placed["checkout_id"], placed["order_id"], placed["order_number"]) == (
        *(paid["checkout_id"], paid["order"]["id"]),
        paid["order"]["number"],
    )
    assert read(stage.client(Scope.EVENTS, owner="shop-2")) == []


def test_an_event_that_is_not_there_yet_is_waited_for(stage: Stage, cup: httpx2.Client, reader: httpx2.Client) -> None:
    after = reader.get("/events", params={"after": "now"}).json()["next_after"]
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(reader.get, "/events", params={"after": after}, headers={"Prefer": "wait=20"})
        spin_until(lambda: stage.server._context.long_polls._waiters, "it waits")
        pay(cup, {"cart": {"id": str(uuid4()), **BODY}})
        found = waiting.result().json()["events"]
    assert found[0]["kind"] == "checkout.started"


def test_a_wait_without_an_event_ends(reader: httpx2.Client) -> None:
    answer = reader.get("/events", params={"after": "now"}, headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json()["events"]) == (200, [])
    again = reader.get("/events", params={"after": answer.json()["next_after"]}, headers={"Prefer": "wait=1"})
    assert again.json() == answer.json()


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"after": "x"}, "after is no cursor of this feed"),
        ({"after": "a\x00"}, "after is no cursor of this feed"),
        ({"after": "_" * 100}, "after is no cursor of this feed"),
        ({"after": "_" * 101}, "after"),
        ({"after": "EAAAAAAAAAAAAAAAAAAAAA"}, "a cursor of another database"),
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"since": "2026-01-01"}, "since"),
    ],
)
def test_what_is_no_place_in_the_feed_is_refused(reader: httpx2.Client, query: dict[str, str], detail: str) -> None:
    answer = reader.get("/events", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
    assert detail in answer.json()["detail"]
