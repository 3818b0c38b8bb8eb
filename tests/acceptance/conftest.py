"""Fixtures of the acceptance tests."""

from pathlib import Path

import pytest

from tests.acceptance.replays import INVOICES


@pytest.fixture
def invoices(tmp_path: Path) -> Path:
    path = tmp_path / "invoices.csv"
    path.write_bytes(INVOICES.encode("cp1252"))
    return path
