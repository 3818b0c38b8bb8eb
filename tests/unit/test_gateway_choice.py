"""No shop gets the sandbox by accident: which settings start, and what is said of them."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pipeline.errors import Invalid
from pipeline.gateways.choice import describe_choice, require_choice
from pipeline.gateways.registry import build_gateway
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.operations.diagnostics import Severity, judge_gateway
from pipeline.settings import Settings, SettingsError
from scripts.local_servers.embedded import build_settings


def choose(**given: Any) -> Settings:
    """Return settings of which only these are set."""
    own: dict[str, Any] = {
        "database_url": SecretStr("postgresql://nowhere/none"),
        "redis_url": SecretStr("redis://nowhere"),
    }
    return Settings(_env_file=None, **own, **given)


LIVE, TEST, HOOK = SecretStr("sk_live_x"), SecretStr("rk_test_x"), SecretStr("whsec_x")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "No payment provider is chosen: set CHECKOUT_GATEWAY=stripe, or CHECKOUT_GATEWAY=sandbox for play money."),
        (
            {"stripe_api_key": LIVE},
            "CHECKOUT_STRIPE_API_KEY is set and CHECKOUT_GATEWAY is not: "
            "set CHECKOUT_GATEWAY=stripe, or remove CHECKOUT_STRIPE_API_KEY.",
        ),
        (
            {"stripe_webhook_secret": HOOK},
            "CHECKOUT_STRIPE_WEBHOOK_SECRET is set and CHECKOUT_GATEWAY is not: "
            "set CHECKOUT_GATEWAY=stripe, or remove CHECKOUT_STRIPE_WEBHOOK_SECRET.",
        ),
        (
            {"gateway": "sandbox", "stripe_api_key": TEST},
            "CHECKOUT_GATEWAY=sandbox takes play money and CHECKOUT_STRIPE_API_KEY is set: "
            "set CHECKOUT_GATEWAY=stripe, or remove CHECKOUT_STRIPE_API_KEY.",
        ),
        (
            {"gateway": "sandbox", "stripe_webhook_secret": HOOK},
            "CHECKOUT_GATEWAY=sandbox takes play money and CHECKOUT_STRIPE_WEBHOOK_SECRET is set: "
            "set CHECKOUT_GATEWAY=stripe, or remove CHECKOUT_STRIPE_WEBHOOK_SECRET.",
        ),
        ({"gateway": "Sandbox"}, "There is no gateway 'Sandbox': set CHECKOUT_GATEWAY to one of sandbox, stripe."),
        ({"gateway": "stripe"}, "Set CHECKOUT_STRIPE_API_KEY to Stripe's secret key (sk_... or rk_...)."),
    ],
)
def test_what_is_not_chosen_clearly_does_not_start(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        build_gateway(choose(**given))
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"gateway": "sandbox"}, "sandbox (play money: nothing is charged)"),
        ({"gateway": "sandbox", "stripe_api_key": SecretStr(" ")}, "sandbox (play money: nothing is charged)"),
        ({"gateway": "stripe", "stripe_api_key": LIVE}, "stripe (real money)"),
        ({"gateway": "stripe", "stripe_api_key": SecretStr("sk_test_x")}, "stripe (test mode: nothing is charged)"),
        ({"gateway": "stripe", "stripe_api_key": TEST}, "stripe (test mode: nothing is charged)"),
        ({"gateway": "of_others"}, "of_others (real money)"),
    ],
)
def test_what_is_chosen_is_said_with_its_money(given: dict[str, Any], words: str) -> None:
    settings = choose(**given)
    assert require_choice(settings).sentence == describe_choice(settings) == words
    found = judge_gateway(settings)
    assert (found.severity, found.sentence) == (Severity.OK, f"Payments go to {words}.")


def test_that_nothing_is_chosen_is_critical() -> None:
    found = judge_gateway(choose())
    assert (found.severity, found.count) == (Severity.CRITICAL, 1)
    assert found.sentence == "Payments go to none: set CHECKOUT_GATEWAY."


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without a setting, in a folder without a `.env`."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "REDIS_URL", "CHECKOUT_GATEWAY", "CHECKOUT_STRIPE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_database_of_our_own_takes_play_money_and_one_that_was_given_takes_nothing(
    nothing_set: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    urls = ("postgresql://here/checkout", "redis://here")
    assert build_settings(*urls).gateway == "sandbox"
    # A secret of Stripe's, or a database of somebody's, in the environment or in a file, is no place to play.
    nothing_set.setenv("CHECKOUT_STRIPE_API_KEY", "sk_live_x")
    assert build_settings(*urls).gateway == ""
    nothing_set.delenv("CHECKOUT_STRIPE_API_KEY")
    (tmp_path / ".env").write_text("DATABASE_URL=postgresql://shop/checkout\n")
    assert build_settings(*urls).gateway == ""
    (tmp_path / ".env").unlink()
    nothing_set.setenv("DATABASE_URL", "postgresql://shop/checkout")
    assert build_settings(*urls).gateway == ""
    # What is named is taken.
    nothing_set.setenv("CHECKOUT_GATEWAY", "sandbox")
    assert build_settings(*urls).gateway == "sandbox"


def test_there_is_no_secret_that_everybody_knows() -> None:
    fields = {name: field.default for name, field in Settings.model_fields.items()}
    secrets = {name: value for name, value in fields.items() if isinstance(value, SecretStr)}
    assert {name: value.get_secret_value() for name, value in secrets.items()} == {"sandbox_webhook_secret": ""}
    gateway = SandboxGateway(choose(gateway="sandbox"))
    with pytest.raises(Invalid, match="CHECKOUT_SANDBOX_WEBHOOK_SECRET is not set"):
        gateway.read_webhook(b"{}", {})
    with pytest.raises(SettingsError, match=r"^Set CHECKOUT_SANDBOX_WEBHOOK_SECRET"):
        gateway.events()
    gateway.close()
