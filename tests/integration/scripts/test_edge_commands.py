"""`keys` and `webhooks` as an operator runs them."""

import json
import re
import stat
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import typer
from typer.testing import CliRunner, Result

from pipeline.security import Scope, find_callers
from pipeline.settings import Settings
from scripts import keys, webhooks
from scripts.up import show_key
from tests.support.harness import Shelf, Works


@pytest.fixture(autouse=True)
def _known(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the addresses of the test's servers."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("REDIS_URL", settings.redis_url.get_secret_value())


def run(app: typer.Typer, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def read(app: typer.Typer, *arguments: str) -> Any:
    result = run(app, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_key_is_made_listed_and_revoked(shelf: Shelf) -> None:
    # When
    made = run(keys.app, "create", "--owner", "shop-1", "--scope", "checkout", "--scope", "prices", "--days", "30")
    # Then
    token = made.stdout.strip()
    assert re.fullmatch(r"ck_\w{12}_\w{43}", token)
    key_id = token.split("_")[1]
    assert made.stderr == f"Key {key_id} of shop-1 for checkout, prices. It is not shown again.\n"
    with shelf.engine.connect() as connection:
        caller = find_callers(connection, [token])[0]
    assert caller is not None
    assert caller.scopes == {Scope.CHECKOUT, Scope.PRICES}
    [listed] = read(keys.app, "list")
    assert (listed["id"], listed["scopes"], listed["revoked_at"]) == (key_id, ["checkout", "prices"], None)
    assert key_id in run(keys.app, "list").stdout
    # When
    revoked = run(keys.app, "revoke", key_id)
    # Then
    assert (revoked.exit_code, revoked.stdout) == (0, f"Key {key_id} is revoked.\n")
    assert read(keys.app, "list")[0]["revoked_at"] is not None
    unknown = run(keys.app, "revoke", "nobody")
    assert (unknown.exit_code, unknown.stderr) == (1, "There is no key nobody: `checkout keys list` shows them.\n")


def test_a_key_without_an_owner_is_refused(shelf: Shelf) -> None:
    refused = run(keys.app, "create", "--owner", "")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("The request is not valid: owner is empty; ")
    assert shelf.rows("SELECT count(*) FROM api_keys") == [(0,)]


def test_an_unreachable_database_is_reported_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    for app in (keys.app, webhooks.app):
        result = run(app, "list")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("The database did not answer: ")


def test_an_endpoint_is_added_listed_and_removed(shelf: Shelf) -> None:
    # When
    url = "https://shop.example/hook"
    added = run(webhooks.app, "add", url, "--owner", "shop-1", "--event", "checkout.completed")
    # Then
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", added.stdout.strip())
    [listed] = read(webhooks.app, "list")
    assert (listed["url"], listed["owner"], listed["kinds"], listed["active"]) == (
        url,
        "shop-1",
        ["checkout.completed"],
        True,
    )
    assert "secret" not in listed
    # When
    removed = run(webhooks.app, "remove", listed["id"])
    again = run(webhooks.app, "remove", listed["id"])
    # Then
    assert (removed.exit_code, again.exit_code) == (0, 1)
    assert read(webhooks.app, "list")[0]["active"] is False
    assert read(webhooks.app, "deliveries", "--dead-lettered") == []
    assert run(webhooks.app, "replay").stdout == "0 deliveries are repeated.\n"
    assert run(webhooks.app, "replay", str(uuid4())).stdout == "0 deliveries are repeated.\n"


def test_an_endpoint_that_is_not_allowed_is_refused(shelf: Shelf) -> None:
    refused = run(webhooks.app, "add", "http://shop.example")
    sentence = "No webhook can be sent there (it is not https): name a public https address.\n"
    assert (refused.exit_code, refused.stderr) == (1, sentence)
    assert shelf.rows("SELECT count(*) FROM webhook_endpoints") == [(0,)]


def test_up_shows_a_key_and_the_same_at_its_next_start(
    settings: Settings,
    shelf: Shelf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Given servers of its own
    env = {"DATABASE_URL": settings.database_url.get_secret_value(), "REDIS_URL": "redis://none"}
    monkeypatch.delenv("DATABASE_URL")
    path = tmp_path / "api-key"
    # When it starts twice
    show_key(path, env)
    show_key(path, env)
    # Then
    lines = capsys.readouterr().out.splitlines()
    token = path.read_text().strip()
    shown = [
        f"API key (owner shop-1): {token}",
        f'curl -H "Authorization: Bearer {token}" http://127.0.0.1:8000/metrics',
    ]
    assert lines == shown * 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # When that key is revoked
    shelf.run("UPDATE api_keys SET revoked_at = now()")
    show_key(path, env)
    # Then there is another
    assert path.read_text().strip() != token
    # When the database is a given one
    monkeypatch.setenv("DATABASE_URL", env["DATABASE_URL"])
    capsys.readouterr()
    show_key(path, env)
    assert capsys.readouterr().out == "API keys: checkout keys create --owner NAME\n"


def test_events_since_a_moment_are_sent_again(works: Works, shelf: Shelf) -> None:
    # Given an order from before the endpoint
    shelf.add_variant("cup", stock=9, price_minor=250)
    works.start(shelf.add_cart(("cup", 1)), token="tok_ok")
    works.pump()
    added = run(webhooks.app, "add", "https://shop.example/hook", "--event", "order.placed")
    assert added.exit_code == 0
    # When, then
    replay = ("replay", "--since", "2026-01-01")
    assert run(webhooks.app, *replay, "--dry-run").output == "0 deliveries would be repeated, 1 would be new.\n"
    assert shelf.rows("SELECT FROM webhook_deliveries") == []
    assert run(webhooks.app, *replay, "--event", "order.cancelled").output == "0 deliveries are repeated, 0 are new.\n"
    assert run(webhooks.app, *replay).output == "0 deliveries are repeated, 1 are new.\n"
    shelf.run("UPDATE webhook_deliveries SET status = 'delivered', due_at = NULL, ended_at = now()")
    assert run(webhooks.app, *replay).output == "1 deliveries are repeated, 0 are new.\n"
    # And what does not go together is refused
    for wrong, sentence in (
        (("replay", "--dry-run"), "add --since"),
        ((*replay, str(uuid4())), "leave --since or the ids out"),
        ((*replay, "--event", "order.late_answer"), "none of the events"),
        (("replay", "--since", "soon"), "soon"),
    ):
        refused = run(webhooks.app, *wrong)
        assert refused.exit_code != 0
        assert sentence in refused.output.replace("\n", " ")


def test_an_endpoint_for_all_kinds_is_listed_as_one(shelf: Shelf) -> None:
    del shelf
    assert run(webhooks.app, "add", "https://shop.example/hook").exit_code == 0
    assert "\tall\n" in run(webhooks.app, "list").output
