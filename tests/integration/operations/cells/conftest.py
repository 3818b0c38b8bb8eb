"""Two cells for the tests of a file; each test finds their tables empty."""

from collections.abc import Iterator

import pytest

from pipeline.settings import Settings
from tests.integration.operations.cells.two_cells import TwoCells, make_settings, open_cell, open_databases


@pytest.fixture(scope="module")
def addresses(server_urls: tuple[str, str]) -> Iterator[tuple[str, str, str]]:
    """The databases of two cells and of their bank."""
    with open_databases(server_urls[0]) as found:
        yield found


@pytest.fixture
def cells(addresses: tuple[str, str, str], run_settings: Settings) -> Iterator[TwoCells]:
    """Two cells; the audit of both must be clean at the end."""
    a, b, bank = addresses
    with (
        open_cell(make_settings(run_settings, a, bank, "a")) as one,
        open_cell(make_settings(run_settings, b, bank, "b")) as two,
    ):
        found = TwoCells(one, two)
        found.fill()
        yield found
        one.assert_sound()
        two.assert_sound()
