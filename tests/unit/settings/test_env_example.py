"""`.env.example` and the settings say the same."""

import re
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from pipeline.gateways.installed import list_gateways
from pipeline.gateways.settings import GatewaySettings
from pipeline.settings import Settings, name_variable

EXAMPLE = Path(__file__).resolve().parents[3] / ".env.example"
#: Those of this repository: a package of its own has its own example.
GATEWAYS: list[type[GatewaySettings]] = [
    own for own in list_gateways().values() if own.__module__.startswith("pipeline.gateways.")
]
MODELS: list[type[BaseSettings]] = [Settings, *GATEWAYS]
URLS = ["DATABASE_URL", "REDIS_URL"]


def read_example() -> dict[str, str]:
    return dict(re.findall(r"^#([A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))


def test_every_setting_is_in_the_example_and_nothing_else() -> None:
    # Given
    names = [name_variable(model, name) for model in MODELS for name in model.model_fields]
    # When
    shown = read_example()
    # Then
    assert sorted(shown) == sorted(names)


def test_the_example_taken_as_it_is_changes_no_setting(tmp_path: Path) -> None:
    # Given
    urls: dict[str, Any] = {"database_url": SecretStr("d"), "redis_url": SecretStr("r")}
    copy = tmp_path / ".env"
    # When every line is uncommented, except the two addresses and what is empty
    lines = [f"{name}={value}" for name, value in read_example().items() if value and name not in URLS]
    copy.write_text("\n".join(["DATABASE_URL=d", "REDIS_URL=r", *lines]))
    # Then
    assert Settings(_env_file=copy) == Settings(_env_file=None, **urls)
    assert [model.name for model in GATEWAYS] == ["sandbox", "stripe"]
    for model in GATEWAYS:
        assert model(_env_file=copy) == model(_env_file=None)


def test_the_example_is_all_comments() -> None:
    assert [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")] == []
