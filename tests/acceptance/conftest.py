"""Fixtures of the acceptance tests."""

from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.replays import INVOICES

#: Of one test with its set-up. The first of a file starts its servers and up to thirty Python processes, which takes
#: half a minute on an idle machine and two on a busy one. Each of those starts, and each wait, has a bound of its own.
TIMEOUT_SECONDS: Final = 400


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder the time that their processes take to start, unless they say otherwise."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


@pytest.fixture
def invoices(tmp_path: Path) -> Path:
    path = tmp_path / "invoices.csv"
    path.write_bytes(INVOICES.encode("cp1252"))
    return path
