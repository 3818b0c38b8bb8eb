"""Settings that are an amount for each currency."""

from typing import Any

import pytest
from pydantic import SecretStr

from pipeline.settings import SettingsError, read_settings
from tests.unit.pricing.test_build_order import SETTINGS

URLS: dict[str, Any] = {"_env_file": None, "database_url": SecretStr("d"), "redis_url": SecretStr("r")}


def test_the_defaults() -> None:
    assert SETTINGS.total_caps == {"EUR": 99_999_999}
    assert SETTINGS.drift_tolerances == {}


@pytest.mark.parametrize("name", ["max_totals", "price_drift_tolerances"])
def test_what_cannot_be_read_says_what_to_set(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"^Set CHECKOUT_{name.upper()}: .*'5000' is not an ISO 4217 currency"):
        read_settings(**URLS, **{name: "5000"})
