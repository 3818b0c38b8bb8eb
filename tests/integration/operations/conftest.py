"""Fixtures of these tests."""

from collections.abc import Iterator

import pytest

from pipeline.settings import Settings
from tests.integration.operations.months import Yard, open_yard


@pytest.fixture
def yard(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    """An engine on a database of its own, whose partitions a test may make and detach."""
    with open_yard(settings, monkeypatch) as found:
        yield found
