"""Folders and files have at most the sizes that CONTRIBUTING.md states."""

from pathlib import Path
from statistics import median
from typing import Final

import pytest

from tests.support.pages import ROOT

#: Entries of a folder; the root of the pipeline lists its rooms.
MOST_ENTRIES: Final = 14
MOST_ROOMS: Final = 21
MOST_LINES: Final = 300
MEDIAN_LINES: Final = 100
CODE: Final = ("models", "pipeline", "workers", "scripts", "migrations", "tests")


def list_entries(folder: Path) -> list[str]:
    """Return the entries of a folder, without `__init__.py` and caches."""
    return sorted(each.name for each in folder.iterdir() if each.name not in {"__init__.py", "__pycache__"})


def count_lines(folder: str) -> dict[str, int]:
    """Return how many lines each Python file below a folder has."""
    return {str(each): len(each.read_text().splitlines()) for each in (ROOT / folder).rglob("*.py")}


@pytest.mark.parametrize("name", ["pipeline", "workers"])
def test_a_folder_has_few_entries(name: str) -> None:
    root = ROOT / name
    folders = [root, *(each.parent for each in root.rglob("*.py"))]
    sizes = {str(each.relative_to(ROOT)): len(list_entries(each)) for each in folders}
    assert len(sizes) > 5
    assert sizes.pop("pipeline", 0) <= MOST_ROOMS
    assert {folder: size for folder, size in sizes.items() if size > MOST_ENTRIES} == {}


@pytest.mark.parametrize("folder", CODE)
def test_no_file_is_long(folder: str) -> None:
    assert {path: lines for path, lines in count_lines(folder).items() if lines > MOST_LINES} == {}


def test_half_of_the_pipelines_files_are_short() -> None:
    assert median(count_lines("pipeline").values()) < MEDIAN_LINES
