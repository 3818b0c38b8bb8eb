"""No shop gets the sandbox by accident: which settings start, and what is said of them."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pipeline.errors import Invalid
from pipeline.gateways.choice import describe_choice, read_choice, require_choice
from pipeline.gateways.registry import build_gateway
from pipeline.gateways.sandbox.bank import SandboxGateway
from pipeline.gateways.sandbox.settings import SandboxSettings
from pipeline.gateways.stripe.settings import StripeSettings
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


LIVE, TEST, HOOK = "sk_live_x", "rk_test_x", "whsec_x"
KEY_VARIABLE, HOOK_VARIABLE = "CHECKOUT_STRIPE_API_KEY", "CHECKOUT_STRIPE_WEBHOOK_SECRET"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without a setting, in a folder without a `.env`."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "REDIS_URL", "CHECKOUT_GATEWAY", KEY_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    read_choice.cache_clear()
    return monkeypatch


@pytest.mark.parametrize(
    ("gateway", "variables", "sentence"),
    [
        (
            "",
            {},
            "No payment provider is chosen: set CHECKOUT_GATEWAY=stripe, or CHECKOUT_GATEWAY=sandbox for play money.",
        ),
        (
            "",
            {KEY_VARIABLE: LIVE},
            "CHECKOUT_STRIPE_API_KEY is set and CHECKOUT_GATEWAY is not: "
            "set CHECKOUT_GATEWAY=stripe, or remove CHECKOUT_STRIPE_API_KEY.",
        ),
        (
            "",
            {HOOK_VARIABLE: HOOK},
            "CHECKOUT_STRIPE_WEBHOOK_SECRET is set and CHECKOUT_GATEWAY is not: "
            "set CHECKOUT_GATEWAY=stripe, or remove CHECKOUT_STRIPE_WEBHOOK_SECRET.",
        ),
        (
            "sandbox",
            {KEY_VARIABLE: TEST},
            "CHECKOUT_GATEWAY=sandbox takes play money and CHECKOUT_STRIPE_API_KEY is set: "
            "set CHECKOUT_GATEWAY=stripe, or remove CHECKOUT_STRIPE_API_KEY.",
        ),
        (
            "sandbox",
            {HOOK_VARIABLE: HOOK},
            "CHECKOUT_GATEWAY=sandbox takes play money and CHECKOUT_STRIPE_WEBHOOK_SECRET is set: "
            "set CHECKOUT_GATEWAY=stripe, or remove CHECKOUT_STRIPE_WEBHOOK_SECRET.",
        ),
        ("Sandbox", {}, "There is no gateway 'Sandbox': set CHECKOUT_GATEWAY to one of sandbox, stripe."),
        ("stripe", {}, "Set CHECKOUT_STRIPE_API_KEY to Stripe's secret key (sk_... or rk_...)."),
    ],
)
def test_what_is_not_chosen_clearly_does_not_start(
    nothing_set: pytest.MonkeyPatch, gateway: str, variables: dict[str, str], sentence: str
) -> None:
    for name, value in variables.items():
        nothing_set.setenv(name, value)
    with pytest.raises(SettingsError) as refusal:
        build_gateway(choose(gateway=gateway))
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("gateway", "key", "words"),
    [
        ("sandbox", "", "sandbox (play money: nothing is charged)"),
        ("sandbox", " ", "sandbox (play money: nothing is charged)"),
        ("stripe", LIVE, "stripe (real money)"),
        ("stripe", "sk_test_x", "stripe (test mode: nothing is charged)"),
        ("stripe", TEST, "stripe (test mode: nothing is charged)"),
        ("of_others", "", "of_others (real money)"),
    ],
)
def test_what_is_chosen_is_said_with_its_money(
    nothing_set: pytest.MonkeyPatch, gateway: str, key: str, words: str
) -> None:
    nothing_set.setenv(KEY_VARIABLE, key)
    settings = choose(gateway=gateway)
    assert require_choice(settings).sentence == describe_choice(settings) == words
    found = judge_gateway(settings)
    assert (found.severity, found.sentence) == (Severity.OK, f"Payments go to {words}.")


def test_what_is_given_in_code_asks_no_environment_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"{KEY_VARIABLE}={LIVE}\nCHECKOUT_SANDBOX_HANG_SECONDS=9\n")
    settings = choose(gateway="sandbox")
    assert SandboxSettings.read(settings).hang_seconds == 9
    with pytest.raises(SettingsError, match=f"^CHECKOUT_GATEWAY=sandbox takes play money and {KEY_VARIABLE} is set"):
        require_choice(settings)
    own = settings.with_gateway_options(latency_seconds=1)
    assert require_choice(own).name == "sandbox"
    assert (SandboxSettings.read(own).hang_seconds, SandboxSettings.read(own).latency_seconds) == (5, 1)


def test_play_money_that_is_chosen_in_code_is_meant(nothing_set: pytest.MonkeyPatch) -> None:
    nothing_set.setenv(KEY_VARIABLE, LIVE)
    settings = choose(gateway="stripe").with_gateway("sandbox")
    gateway = build_gateway(settings)
    assert (require_choice(settings).name, gateway.name) == ("sandbox", "sandbox")
    gateway.close()
    # In the environment it may be an accident.
    with pytest.raises(SettingsError, match=f"^CHECKOUT_GATEWAY=sandbox takes play money and {KEY_VARIABLE} is set"):
        require_choice(choose(gateway="sandbox"))
    with pytest.raises(SettingsError, match=f"^{KEY_VARIABLE} is set and CHECKOUT_GATEWAY is not"):
        require_choice(choose().with_gateway(""))


def test_that_nothing_is_chosen_is_critical() -> None:
    found = judge_gateway(choose())
    assert (found.severity, found.count) == (Severity.CRITICAL, 1)
    assert found.sentence == "Payments go to none: set CHECKOUT_GATEWAY."


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
    for model in (Settings, SandboxSettings, StripeSettings):
        defaults = [field.default for field in model.model_fields.values()]
        assert not any(value.get_secret_value() for value in defaults if isinstance(value, SecretStr))
    gateway = SandboxGateway(choose(gateway="sandbox"))
    with pytest.raises(Invalid, match="CHECKOUT_SANDBOX_WEBHOOK_SECRET is not set"):
        gateway.read_webhook(b"{}", {})
    with pytest.raises(SettingsError, match=r"^Set CHECKOUT_SANDBOX_WEBHOOK_SECRET"):
        gateway.events()
    gateway.close()
