"""What tests of the commands share."""

from pathlib import Path

import pytest

from pipeline.settings import Settings


@pytest.fixture
def environment(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The two addresses, in a folder without a `.env`."""
    monkeypatch.chdir(tmp_path)
    addresses = {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
    }
    for name, value in addresses.items():
        monkeypatch.setenv(name, value)
    return addresses
