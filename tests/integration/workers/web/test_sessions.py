"""Signing in and out: counted, logged without the key, and over for good wherever the cookie has gone."""

from dataclasses import replace
from typing import Final

import httpx2
import pytest
from sqlalchemy import text

from pipeline.saga.retention import delete_expired
from pipeline.security import Scope, create_key, revoke_key
from pipeline.security.admin_sessions import find_session
from pipeline.settings import Settings
from tests.integration.workers.web.counting import HALF_PAST
from tests.integration.workers.web.stage import Stage, find_url, serve
from workers.web.protection import rate_limits

LIST: Final = "/admin/checkout-locks"
PAGE: Final = {"Accept": "text/html"}


def make_token(stage: Stage) -> tuple[str, str]:
    """Return the id and the token of an admin's key."""
    with stage.engine.begin() as connection:
        record, token = create_key(connection, owner="staff", name="ada", scopes=[Scope.ADMIN])
    return record.id, token


def sign_in(stage: Stage, token: str, **headers: str) -> httpx2.Response:
    """Send the form, as a browser that is at this host."""
    host = headers.get("Host", stage.url.removeprefix("http://"))
    sent = {**PAGE, "Origin": f"http://{host}", **headers}
    return httpx2.post(f"{stage.url}/admin/sign-in", data={"key": token}, headers=sent)


def read_cookie(answer: httpx2.Response) -> str:
    """Return the cookie that the response sets, as the browser sends it."""
    return answer.headers["set-cookie"].partition(";")[0]


def read_list(stage: Stage, cookie: str, **headers: str) -> int:
    """Return the response of the list to this cookie."""
    return httpx2.get(f"{stage.url}{LIST}", headers={"Cookie": cookie, **headers}).status_code


def sign_out(stage: Stage, cookie: str) -> httpx2.Response:
    """Send the form."""
    return httpx2.post(f"{stage.url}/admin/sign-out", headers={**PAGE, "Origin": stage.url, "Cookie": cookie})


def count(stage: Stage) -> int:
    """Return how many sessions there are."""
    return int(stage.shelf.row("SELECT count(*) AS n FROM admin_sessions").n)


def test_signing_out_ends_the_session_wherever_its_cookie_has_gone(stage: Stage) -> None:
    # Given two browsers of one key, and a copy of the first one's cookie
    _, token = make_token(stage)
    first, second = read_cookie(sign_in(stage, token)), read_cookie(sign_in(stage, token))
    assert (read_list(stage, first), read_list(stage, second), count(stage)) == (200, 200, 2)
    # When the first signs out
    answer = sign_out(stage, first)
    # Then its cookie is worth nothing, and the other browser's is what it was
    assert answer.headers["location"] == "/admin/sign-in"
    assert 'checkout_admin=""' in answer.headers["set-cookie"]
    assert (read_list(stage, first), read_list(stage, second), count(stage)) == (401, 200, 1)
    # When again, or without a session
    for cookie in (first, "checkout_admin=", "other=1", f"checkout_admin={'x' * 43}"):
        assert sign_out(stage, cookie).status_code == 303
    assert (read_list(stage, second), count(stage)) == (200, 1)


def test_revoking_the_key_ends_all_its_sessions(stage: Stage) -> None:
    key_id, token = make_token(stage)
    cookies = [read_cookie(sign_in(stage, token)) for _ in range(2)]
    with stage.engine.begin() as connection:
        revoke_key(connection, key_id)
    assert [read_list(stage, cookie) for cookie in cookies] == [401, 401]
    assert sign_in(stage, token).status_code == 401


def test_a_session_is_over_after_a_working_day_and_is_forgotten(stage: Stage) -> None:
    _, token = make_token(stage)
    cookie, other = read_cookie(sign_in(stage, token)), read_cookie(sign_in(stage, token))
    hours = stage.shelf.row("SELECT extract(epoch FROM max(expires_at - created_at)) / 3600 AS n FROM admin_sessions").n
    assert round(float(hours), 3) == 8
    oldest = "(SELECT token_hash FROM admin_sessions ORDER BY created_at LIMIT 1)"
    stage.shelf.run(f"UPDATE admin_sessions SET expires_at = now() WHERE token_hash = {oldest}")
    assert (read_list(stage, cookie), read_list(stage, other), count(stage)) == (401, 200, 2)
    with stage.engine.begin() as connection:
        assert delete_expired(connection, stage.settings) == 1
    assert (read_list(stage, other), count(stage)) == (200, 1)


def test_the_value_of_the_cookie_is_not_stored(stage: Stage) -> None:
    _, token = make_token(stage)
    value = read_cookie(sign_in(stage, token)).partition("=")[2]
    [(stored,)] = stage.shelf.rows("SELECT token_hash FROM admin_sessions")
    assert (len(value), len(stored), value.encode() in bytes(stored)) == (43, 32, False)
    with stage.engine.connect() as connection:
        found = find_session(connection, value)
        assert found is not None
        for wrong in (value[:-1], value + "a", value.swapcase(), bytes(stored).hex(), "", " " * 43, "é" * 43):
            assert find_session(connection, wrong) is None


HTTPS: Final[dict[str, tuple[dict[str, str], bool]]] = {
    "this machine": ({}, False),
    "localhost": ({"Host": "localhost:8000"}, False),
    "IPv6": ({"Host": "[::1]:8000"}, False),
    "a proxy that is trusted": ({"X-Forwarded-Proto": "https"}, True),
    "a proxy that is not": ({"Host": "shop.example"}, True),
    "an address of the network": ({"Host": "10.0.0.5:8000"}, True),
    "a name that resembles the own one": ({"Host": "localhost.evil.example"}, True),
    "another one": ({"Host": "127.0.0.1.evil.example"}, True),
}


@pytest.mark.parametrize(("headers", "secure"), HTTPS.values(), ids=HTTPS.keys())
def test_the_cookie_is_for_https_alone_everywhere_but_on_the_machine_itself(
    stage: Stage, headers: dict[str, str], *, secure: bool
) -> None:
    _, token = make_token(stage)
    answer = sign_in(stage, token, **headers)
    assert (answer.status_code, "Secure" in answer.headers["set-cookie"]) == (303, secure)
    # ... and where it came without https, the page says why the browser does not stay signed in
    page = httpx2.get(f"{stage.url}/admin/sign-in", headers={**PAGE, **headers}).text
    assert ("without https" in page) == (secure and "X-Forwarded-Proto" not in headers)


def test_attempts_are_logged_without_the_key(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    key_id, token = make_token(stage)
    sign_in(stage, token)
    sign_in(stage, token[:-1] + ("a" if token[-1] != "a" else "b"))
    sign_in(stage, "\x1b[31mnothing")
    said = capfd.readouterr().out
    assert said.count("event='sign_in.accepted'") == 1
    assert said.count("event='sign_in.refused'") == 2
    assert (said.count(f"key_id='{key_id}' client='127.0.0.1'"), "key_id=None" in said) == (2, True)
    assert (token.rpartition("_")[2][:20] in said, "\x1b" in said) == (False, False)


def test_attempts_are_limited_by_address(stage: Stage, web_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "read_clock", lambda: HALF_PAST)
    key_id, token = make_token(stage)
    with serve(web_settings.model_copy(update={"web_sign_ins_per_minute": 3})) as server:
        few = replace(stage, url=find_url(server))
        assert [sign_in(few, "wrong").status_code for _ in range(3)] == [401] * 3
        refused = sign_in(few, token)
        assert (refused.status_code, "At most 3 sign-in attempts" in refused.text, count(stage)) == (429, True, 0)
        # ... and as JSON, with when to come again
        told = httpx2.post(f"{few.url}/admin/sign-in", data={"key": token}, headers={"Origin": few.url})
        assert (told.status_code, told.json()["code"]) == (429, "sign_ins_limited")
        assert (told.headers["retry-after"], told.json()["facts"]) == ("30", {"limit": 3, "seconds": 30})
        # ... while others may, each behind the proxy with an address of their own
        assert sign_in(few, token, **{"X-Forwarded-For": "203.0.113.7"}).status_code == 303
    with stage.engine.connect() as connection:
        found = connection.execute(text("SELECT key_id FROM admin_sessions")).scalars().all()
    assert found == [key_id]


def test_attempts_of_all_addresses_are_limited_and_one_alone_cannot_use_them_up(
    stage: Stage, web_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "read_clock", lambda: HALF_PAST)
    monkeypatch.setattr(rate_limits, "SIGN_IN_CLIENTS", 3)
    with serve(web_settings.model_copy(update={"web_sign_ins_per_minute": 1})) as server:
        few = replace(stage, url=find_url(server))
        assert [sign_in(few, "wrong").status_code for _ in range(9)] == [401] + [429] * 8
        others = [sign_in(few, "wrong", **{"X-Forwarded-For": f"203.0.113.{number}"}) for number in range(3)]
    assert [answer.status_code for answer in others] == [401, 401, 429]
    assert "At most 3 sign-in attempts" in others[2].text


@pytest.mark.parametrize("body", [b"key=" + b"a" * 20_000, b"key=a&" * 2000, b"a&" * 8000])
def test_a_form_is_bounded(stage: Stage, body: bytes) -> None:
    headers = {"Origin": stage.url, "Content-Type": "application/x-www-form-urlencoded"}
    answer = httpx2.post(f"{stage.url}/admin/sign-in", content=body, headers=headers)
    expected = (413, "body_too_large") if len(body) > 16384 else (422, "request_invalid")
    assert (answer.status_code, answer.json()["code"]) == expected
    assert count(stage) == 0
