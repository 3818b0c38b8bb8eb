"""`.env.example` and the settings say the same."""

import re
from pathlib import Path

from pydantic import SecretStr

from pipeline.settings import Settings

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
URLS = ["DATABASE_URL", "REDIS_URL"]


def read_example() -> dict[str, str]:
    return dict(re.findall(r"^#([A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))


def test_every_setting_is_in_the_example_and_nothing_else() -> None:
    # Given
    names = {str(field.validation_alias or f"CHECKOUT_{name.upper()}") for name, field in Settings.model_fields.items()}
    # When
    shown = read_example()
    # Then
    assert sorted(shown) == sorted(names)


def test_the_example_taken_as_it_is_changes_no_setting(tmp_path: Path) -> None:
    # Given
    plain = Settings(_env_file=None, database_url=SecretStr("d"), redis_url=SecretStr("r"))
    copy = tmp_path / ".env"
    # When every line is uncommented, except the two addresses and what is empty
    lines = [f"{name}={value}" for name, value in read_example().items() if value and name not in URLS]
    copy.write_text("\n".join(["DATABASE_URL=d", "REDIS_URL=r", *lines]))
    # Then
    assert Settings(_env_file=copy) == plain


def test_the_example_is_all_comments() -> None:
    assert [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")] == []
