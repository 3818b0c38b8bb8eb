"""Every former name of a setting is read for one release, with one line of warning that names the new one."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from pydantic import SecretStr

from pipeline.settings import Settings, TaxRatesEnded
from pipeline.settings.former_names import FORMER_NAMES, WITHOUT_CURRENCY, _warned

VALUES: Final = {"poll_interval_seconds": "0.25"}
NETWORKS: Final = {"outbound_webhook_private_networks": "10.0.0.0/8"}


@pytest.fixture(autouse=True)
def _urls(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DATABASE_URL", "postgresql://x")
    monkeypatch.setenv("REDIS_URL", "redis://x")
    monkeypatch.delenv("CHECKOUT_BASE_CURRENCY", raising=False)
    _warned.clear()
    yield
    _warned.clear()


def read(env_file: Path | None = None) -> tuple[Settings, list[str]]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        settings = Settings(_env_file=env_file)
    assert {each.category for each in seen} <= {FutureWarning}
    return settings, [str(each.message) for each in seen]


def choose_value(name: str) -> str:
    return (VALUES | NETWORKS).get(name, "7")


@pytest.mark.parametrize(("former", "name"), FORMER_NAMES.items())
def test_a_former_name_sets_the_setting_with_one_warning(
    former: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    value = choose_value(name)
    monkeypatch.setenv(f"CHECKOUT_{former.upper()}", value)
    shown = f"=EUR:{value}" if former in WITHOUT_CURRENCY else ""
    expected = f"EUR:{value}" if former in WITHOUT_CURRENCY else value
    # When
    settings, warned = read()
    # Then
    found = getattr(settings, name)
    found = found.get_secret_value() if isinstance(found, SecretStr) else found
    assert found == type(found)(expected)
    assert warned == [
        f"CHECKOUT_{former.upper()} is the former name of a setting: set CHECKOUT_{name.upper()}{shown} instead."
    ]
    assert former not in Settings.model_fields


def test_a_former_name_is_read_from_a_file_too_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "env").write_text("CHECKOUT_STALL_SECONDS=8\nCHECKOUT_TICK_SECONDS=9\n")
    monkeypatch.setenv("CHECKOUT_STALL_SECONDS", "3")
    settings, warned = read(tmp_path / "env")
    assert (settings.redeliver_after_seconds, settings.sweep_interval_seconds, len(warned)) == (3, 9, 2)


def test_the_new_name_wins_and_the_warning_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # The new name stands in the weaker place: it wins even so.
    (tmp_path / "env").write_text("CHECKOUT_REDELIVER_AFTER_SECONDS=8\n")
    monkeypatch.setenv("CHECKOUT_STALL_SECONDS", "3")
    settings, warned = read(tmp_path / "env")
    assert settings.redeliver_after_seconds == 8
    assert warned == [
        "CHECKOUT_STALL_SECONDS is the former name of a setting: set CHECKOUT_REDELIVER_AFTER_SECONDS instead."
        " It is ignored, because the new name is set too."
    ]


def test_a_process_warns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKOUT_STALL_SECONDS", "3")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for _ in range(3):
            Settings(_env_file=None)
    assert len(seen) == 1


def test_an_amount_keeps_those_of_other_currencies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKOUT_BASE_CURRENCY", "USD")
    monkeypatch.setenv("CHECKOUT_MAX_TOTAL_MINOR", "500")
    settings, [warned] = read()
    assert settings.total_caps == {"EUR": 99_999_999, "USD": 500}
    assert "set CHECKOUT_MAX_TOTALS=EUR:99999999,USD:500 instead" in warned


def test_a_former_value_is_read_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKOUT_TAX_RATES_ENDED", "tell")
    settings, warned = read()
    assert settings.tax_rates_ended is TaxRatesEnded.REPORT
    assert warned == ["CHECKOUT_TAX_RATES_ENDED=tell is a former value: set report instead."]
