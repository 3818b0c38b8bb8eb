"""Our own adapters run on the servers of these tests."""

import pytest

from pipeline.settings import Settings


@pytest.fixture(scope="session")
def conformance_settings(run_settings: Settings) -> Settings:
    """Settings with a real database."""
    return run_settings
