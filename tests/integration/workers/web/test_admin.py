"""What operators see over HTTP, and what they may do; by key as JSON, by session as pages."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import httpx2
import pytest

from pipeline.security import Scope, create_key, revoke_key
from tests.integration.workers.web.problems import count
from tests.integration.workers.web.stage import Stage, pay, put_cart, read_status, spin_until, start

LIST: Final = "/admin/checkout-locks"
PAGE: Final = {"Accept": "text/html"}


def checkout(client: httpx2.Client, **others: Any) -> UUID:
    """Start a checkout of one cup."""
    return UUID(start(client, put_cart(client, ("cup", 1), **others)).json()["checkout_id"])


def read_state(client: httpx2.Client, checkout_id: UUID) -> str:
    """Return how a checkout stands."""
    return str(read_status(client, checkout_id=checkout_id)["state"])


def wait_for(client: httpx2.Client, checkout_id: UUID, state: str) -> None:
    """Return once it stands so."""
    spin_until(lambda: read_state(client, checkout_id) == state, state)


def read_events(stage: Stage, checkout_id: UUID, kind: str) -> list[dict[str, Any]]:
    """Return what the events of a kind have kept."""
    rows = stage.shelf.rows(
        "SELECT data FROM events WHERE checkout_id = :id AND kind = :kind", id=checkout_id, kind=kind
    )
    return [data for (data,) in rows]


def test_the_list_is_filtered_and_paged(stage: Stage, cup: httpx2.Client, desk: httpx2.Client) -> None:
    # Given
    other = stage.client(owner="shop-2")
    ids = [checkout(cup), checkout(other), checkout(cup)]
    bought = pay(cup, {"checkout_id": ids[2]}).json()
    # When
    first = desk.get(LIST, params={"limit": 2}).json()
    second = desk.get(LIST, params={"limit": 2, "before": first["next_before"]}).json()
    # Then
    assert [each["id"] for each in first["checkouts"]] == [str(ids[2]), str(ids[1])]
    assert [each["id"] for each in second["checkouts"]] == [str(ids[0])]
    assert (first["next_before"], second["next_before"]) == (str(ids[1]), None)
    newest = first["checkouts"][0]
    assert (newest["phases_completed"], newest["phases_to_undo"]) == (7, None)
    assert (newest["state"], newest["total_minor"], newest["order_number"], newest["owner"]) == (
        "completed",
        250,
        bought["order_number"],
        "shop-1",
    )

    def find(**wanted: str) -> list[str]:
        return [each["id"] for each in desk.get(LIST, params=wanted).json()["checkouts"]]

    assert find(state="awaiting_payment") == [str(ids[1]), str(ids[0])]
    assert find(owner="shop-2") == [str(ids[1])]
    assert find(cart=second["checkouts"][0]["cart_id"]) == [str(ids[0])]
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert (len(find(since=hour_ago.isoformat())), find(until=hour_ago.isoformat())) == (3, [])
    assert find(since="2100-01-01") == []
    assert len(find(until="9999-12-31T23:59:59Z", since="0001-01-01")) == 3
    assert find(until="0001-01-01T00:00:00+14:00") == []
    for wrong in ({"stat": "failed"}, {"since": "7"}, {"limit": "201"}, {"owner": ""}, {"before": "x"}):
        assert desk.get(LIST, params=wrong).status_code == 422, wrong


def test_figures_are_those_of_the_monitor(cup: httpx2.Client, desk: httpx2.Client) -> None:
    pay(cup, {"checkout_id": checkout(cup)})
    checkout(cup)
    told = desk.get(f"{LIST}/statistics", params={"hours": 1}).json()
    assert (told["hours"], told["states"]["completed"], told["states"]["awaiting_payment"]) == (1, 1, 1)
    assert (told["held_units"], told["success_rate"], len(told["steps"]), len(told["queues"])) == (1, 1.0, 8, 14)
    for hours in ("0", "9000", "x"):
        assert desk.get(f"{LIST}/statistics", params={"hours": hours}).status_code == 422


def test_everything_about_one(stage: Stage, cup: httpx2.Client, desk: httpx2.Client) -> None:
    checkout_id = checkout(cup)
    pay(cup, {"checkout_id": checkout_id})
    told = desk.get(f"{LIST}/{checkout_id}").json()
    assert told["checkout"]["state"] == "completed"
    assert [each["state"] for each in told["reservations"]] == ["committed"]
    assert [(each["kind"], each["status"]) for each in told["payment_operations"]] == [
        ("open", "succeeded"),
        ("authorize", "succeeded"),
        ("capture", "succeeded"),
    ]
    assert told["events"][0]["kind"] == "checkout.started"
    assert told["advice"][0]["sentence"].startswith("It is order ")
    assert "tok_ok" not in json.dumps(told)
    unknown = desk.get(f"{LIST}/{uuid4()}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "checkout_unknown")


def test_a_release_undoes_and_stores_the_actor_and_the_reason(
    stage: Stage, cup: httpx2.Client, desk: httpx2.Client
) -> None:
    # Given
    checkout_id = checkout(cup)
    assert stage.shelf.stock("cup") == (9, 1)
    # When
    answer = desk.post(f"{LIST}/{checkout_id}/release", json={"reason": " buyer called "})
    # Then
    assert (answer.status_code, answer.json()["changed"]) == (200, True)
    wait_for(cup, checkout_id, "cancelled")
    assert stage.shelf.stock("cup") == (9, 0)
    [kept] = read_events(stage, checkout_id, "checkout.released")
    assert kept["reason"] == "buyer called"
    assert re.fullmatch(r"test \(key [A-Za-z0-9]{12}\)", kept["actor"])
    # When again
    again = desk.post(f"{LIST}/{checkout_id}/release", json={"reason": "again"}).json()
    assert (again["changed"], again["state"]) == (False, "cancelled")
    assert len(read_events(stage, checkout_id, "checkout.released")) == 1


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501, "two\nlines", "nul\x00", None, 7])
def test_no_action_without_a_reason(stage: Stage, cup: httpx2.Client, desk: httpx2.Client, reason: object) -> None:
    checkout_id = checkout(cup)
    before = count(stage)
    for action in ("release", "retry"):
        for body in ({"reason": reason}, {}):
            answer = desk.post(f"{LIST}/{checkout_id}/{action}", json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
    assert count(stage) == before


def test_past_the_pivot_nothing_is_released(stage: Stage, cup: httpx2.Client, desk: httpx2.Client) -> None:
    # Given a payment that is being captured
    checkout_id = checkout(cup)
    pay(cup, {"checkout_id": checkout_id}, token="tok_capture_slow", prefer={})
    spin_until(lambda: stage.shelf.rows("SELECT FROM checkouts WHERE pivot_at IS NOT NULL"), "the money is asked for")
    # When
    refused = desk.post(f"{LIST}/{checkout_id}/release", json={"reason": "buyer called"})
    # Then
    assert (refused.status_code, refused.json()["code"]) == (409, "past_pivot")
    assert read_events(stage, checkout_id, "checkout.released") == []
    page = desk.get(f"{LIST}/{checkout_id}", headers=PAGE).text
    assert "it cannot be released any more" in page
    assert "<form" not in page.partition("<main")[2]
    wait_for(cup, checkout_id, "completed")


def test_what_needs_review_is_retried(stage: Stage, cup: httpx2.Client, desk: httpx2.Client) -> None:
    # Given a bank that refuses our access, and a release that is refused
    checkout_id = checkout(cup)
    pay(cup, {"checkout_id": checkout_id}, token="tok_capture_misconfigured", prefer={})
    spin_until(lambda: stage.hurry() and read_state(cup, checkout_id) == "needs_review", "a person")
    refused = desk.post(f"{LIST}/{checkout_id}/release", json={"reason": "no"})
    assert (refused.status_code, refused.json()["code"]) == (409, "needs_review")
    assert read_events(stage, checkout_id, "checkout.released") == []
    # When it accepts the API keys again
    stage.shelf.run("UPDATE payments SET token = 'tok_ok'")
    answer = desk.post(f"{LIST}/{checkout_id}/retry", json={"reason": "keys corrected"}).json()
    # Then
    assert answer["changed"] is True
    [kept] = read_events(stage, checkout_id, "checkout.retried")
    assert kept["reason"] == "keys corrected"
    wait_for(cup, checkout_id, "completed")
    again = desk.post(f"{LIST}/{checkout_id}/retry", json={"reason": "again"}).json()
    assert (again["changed"], again["message"]) == (False, "There was nothing to do: nothing was changed.")


def test_pages_say_the_same(stage: Stage, cup: httpx2.Client, browser: httpx2.Client) -> None:
    checkout_id = checkout(cup, customer="<b>Eve</b>")
    stage.shelf.force("UPDATE checkouts SET reference = '<script>' WHERE id = :id", id=checkout_id)
    # Fields that were left empty are not there
    listed = browser.get(LIST, params={"state": "", "owner": " ", "cart": "", "since": "", "until": ""})
    assert (listed.status_code, listed.headers["vary"], listed.headers["cache-control"]) == (200, "Accept", "no-store")
    assert f'href="{LIST}/{checkout_id}"' in listed.text
    opened = browser.get(f"{LIST}/{checkout_id}")
    assert 'class="loud">Payments: sandbox (play money: nothing is charged)<' in listed.text
    for page in (listed.text, opened.text):
        assert ("<script" in page, "&lt;script&gt;" in page) == (False, True)
    assert "Waiting for payment" in opened.text
    assert "<dd>3 of 7: price lock</dd>" in opened.text
    assert browser.get(f"{LIST}/statistics").status_code == 200
    none = browser.get(f"{LIST}/{uuid4()}")
    assert (none.status_code, "There is no checkout" in none.text) == (404, True)
    wrong = browser.get(LIST, params={"cart": "x"})
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, "text/html; charset=utf-8")


def test_a_form_releases_and_leads_back(stage: Stage, cup: httpx2.Client, browser: httpx2.Client) -> None:
    checkout_id = checkout(cup)
    sent = browser.post(f"{LIST}/{checkout_id}/release", data={"reason": "Grüße & more"})
    assert (sent.status_code, sent.headers["location"]) == (303, f"{LIST}/{checkout_id}?said=release")
    [kept] = read_events(stage, checkout_id, "checkout.released")
    assert kept == {"reason": "Grüße & more", "actor": f"ada (key {browser.headers['X-Key-Id']})"}
    assert "everything is being undone" in browser.get(sent.headers["location"]).text
    wait_for(cup, checkout_id, "cancelled")


def test_the_session_is_strict_and_ends_with_its_key(stage: Stage, browser: httpx2.Client) -> None:
    # Given
    [cookie] = browser.cookies.jar
    assert (cookie.path, cookie.has_nonstandard_attr("HttpOnly")) == ("/admin", True)
    assert cookie.get_nonstandard_attr("SameSite") == "strict"
    assert browser.get(LIST).status_code == 200
    # When it is changed by one character or is cut
    value = cookie.value or ""
    for forged in (value[:-1] + ("A" if value[-1] != "A" else "B"), value[:-1], ""):
        answer = httpx2.get(f"{stage.url}{LIST}", headers={**PAGE, "Cookie": f"{cookie.name}={forged}"})
        # Then there is no session: the browser is redirected to sign-in, and then to its page
        assert (answer.status_code, answer.headers["location"]) == (303, f"/admin/sign-in?next={LIST}")
    assert httpx2.get(f"{stage.url}{LIST}", headers={"Cookie": f"{cookie.name}=x"}).status_code == 401
    # When the key is revoked
    with stage.engine.begin() as connection:
        revoke_key(connection, browser.headers["X-Key-Id"])
    # Then the session is over
    assert browser.get(LIST).headers["location"] == f"/admin/sign-in?next={LIST}"


def test_signing_out_forgets(browser: httpx2.Client) -> None:
    assert browser.post("/admin/sign-out").headers["location"] == "/admin/sign-in"
    assert list(browser.cookies.jar) == []
    assert browser.get(f"{LIST}?state=failed").headers["location"] == (f"/admin/sign-in?next={LIST}%3Fstate%3Dfailed")


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://127.0.0.1:1"])
def test_forms_of_other_sites_are_refused(
    stage: Stage, cup: httpx2.Client, browser: httpx2.Client, origin: str | None
) -> None:
    checkout_id = checkout(cup)
    before = count(stage)
    browser.headers.pop("Origin")
    headers = {} if origin is None else {"Origin": origin}
    for path in (f"{LIST}/{checkout_id}/release", f"{LIST}/{checkout_id}/retry", "/admin/sign-in", "/admin/sign-out"):
        answer = browser.post(path, data={"reason": "x", "key": "k"}, headers=headers)
        assert (answer.status_code, "sent from another site" in answer.text) == (403, True), path
    assert count(stage) == before
    assert browser.get(LIST).status_code == 200


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/checkout", f"{LIST}evil", ""])
def test_signing_in_leads_nowhere_else(stage: Stage, target: str) -> None:
    with stage.engine.begin() as connection:
        _, token = create_key(connection, owner="staff", name="ada", scopes=[Scope.ADMIN])
    answer = httpx2.post(
        f"{stage.url}/admin/sign-in", data={"key": token, "next": target}, headers={"Origin": stage.url}
    )
    assert answer.headers["location"] == LIST


@pytest.mark.parametrize("scopes", [[], [Scope.CHECKOUT], [Scope.CHECKOUT, Scope.PRICES]])
def test_other_keys_do_not_sign_in(stage: Stage, scopes: list[Scope]) -> None:
    token = stage.token(*scopes) if scopes else "nothing"
    answer = httpx2.post(f"{stage.url}/admin/sign-in", data={"key": token}, headers={**PAGE, "Origin": stage.url})
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    assert "This is no valid API key with the scope admin" in answer.text
    assert token not in answer.text
