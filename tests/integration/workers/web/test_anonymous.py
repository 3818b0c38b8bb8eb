"""Requests without a valid API key, limited by address: guesses end, and nobody else is refused."""

from collections.abc import Iterator, Sequence
from typing import Final

import httpx2
import pytest
from sqlalchemy import Connection

from pipeline.errors import Code
from pipeline.security import Caller, Scope, create_key, find_callers, revoke_key
from pipeline.settings import Settings
from tests.integration.workers.web.counting import HALF_PAST
from tests.integration.workers.web.outages import open_web
from tests.integration.workers.web.problems import check
from tests.integration.workers.web.stage import Stage
from workers.web.protection import rate_limits

STATUS: Final = "/checkout/status"
GUESS: Final = {"Authorization": "Bearer ck_" + "a" * 12 + "_" + "b" * 43}
#: The proxy of the tests is trusted: it says who is behind it.
ELSEWHERE: Final = {"X-Forwarded-For": "203.0.113.7"}
SENTENCE: Final = 'The rate limit "anonymous" is 3 requests a minute: wait 30 seconds.'


@pytest.fixture
def edge(stage: Stage, web_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx2.Client]:
    """A client of a process that allows three requests without a valid key."""
    monkeypatch.setattr(rate_limits, "read_clock", lambda: HALF_PAST)
    with open_web(web_settings.model_copy(update={"web_anonymous_per_minute": 3})) as client:
        yield client


@pytest.mark.usefixtures("unchanged")
def test_guesses_from_one_address_end_and_cost_no_query(edge: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []

    def find(connection: Connection, tokens: Sequence[str]) -> list[Caller | None]:
        looked_up.extend(tokens)
        return find_callers(connection, tokens)

    monkeypatch.setattr("workers.web.groups.find_callers", find)
    answers = [edge.get(STATUS, headers=GUESS) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    assert [answer.headers["ratelimit"] for answer in answers[:4]] == [f'"anonymous";r={n};t=30' for n in (2, 1, 0, 0)]
    assert answers[0].headers["ratelimit-policy"] == '"anonymous";q=3;w=60'
    assert (answers[3].headers["retry-after"], len(looked_up)) == ("30", 3)
    check(answers[3], 429, "rate_limited", SENTENCE)
    # No key at all counts too, and so does every route that needs one
    assert [edge.get(path).status_code for path in (STATUS, "/admin", "/metrics")] == [429] * 3
    # ... from this address
    assert edge.get(STATUS, headers=GUESS | ELSEWHERE).status_code == 401


def test_an_address_of_ipv6_is_its_64(edge: httpx2.Client) -> None:
    def ask(address: str) -> int:
        return edge.get(STATUS, headers={"X-Forwarded-For": address}).status_code

    assert [ask(f"2001:db8::{number}") for number in range(1, 5)] == [401, 401, 401, 429]
    assert ask("2001:db8:0:1::1") == 401


def test_a_key_that_is_known_is_served_behind_an_address_that_is_not(stage: Stage, edge: httpx2.Client) -> None:
    known, other = ({"Authorization": f"Bearer {stage.token(Scope.CHECKOUT, owner=each)}"} for each in ("a", "b"))
    assert edge.get(STATUS, headers=known).status_code == 422
    assert [edge.get(STATUS, headers=GUESS).status_code for _ in range(3)] == [401, 401, 429]
    answer = edge.get(STATUS, headers=known)
    assert (answer.status_code, answer.headers["ratelimit-policy"]) == (422, '"reads";q=30000;w=60')
    # One that is new here waits until the address may ask again, or asks from another
    assert edge.get(STATUS, headers=other).status_code == 429
    assert edge.get(STATUS, headers=other | ELSEWHERE).status_code == 422
    assert edge.get(STATUS, headers=other).status_code == 422


def test_a_revoked_key_is_known_no_more(stage: Stage, edge: httpx2.Client) -> None:
    with stage.engine.begin() as connection:
        record, token = create_key(connection, owner="a", name="a", scopes=[Scope.CHECKOUT])
    headers = {"Authorization": f"Bearer {token}"}
    assert edge.get(STATUS, headers=headers).status_code == 422
    with stage.engine.begin() as connection:
        revoke_key(connection, record.id)
    # It is looked up once more, and counts from then on
    assert [edge.get(STATUS, headers=headers).status_code for _ in range(4)] == [401, 401, 401, 429]


def test_webhooks_and_health_are_open_to_an_address_above_its_limit(edge: httpx2.Client) -> None:
    assert [edge.get(STATUS).status_code for _ in range(4)] == [401, 401, 401, 429]
    answers = [edge.post("/webhooks/sandbox", json={}) for _ in range(20)]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(400, Code.WEBHOOK_INVALID.value)}
    assert "ratelimit" not in answers[0].headers
    assert edge.get("/health/checkout").status_code == 200
