"""Every feature names a test, and the test is there."""

import ast
import re
from collections import Counter
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
FEATURES: Final = (ROOT / "docs" / "features.md").read_text()
ITEM: Final = re.compile(r"^- (?P<what>.+?\.) `(?P<path>tests/\S+?\.py)::(?P<name>test_\w+)`$")


def object_to(features: str) -> list[str]:
    """Return what is wrong with a list of features."""
    objections = []
    for line in features.splitlines():
        if not line.startswith("- "):
            continue
        found = ITEM.match(line)
        if found is None:
            objections.append(f"it names no test: {line}")
        elif found["name"] not in list_tests(ROOT / found["path"]):
            objections.append(f"there is no {found['path']}::{found['name']}")
    return objections


def list_tests(path: Path) -> set[str]:
    """Return the tests of a file."""
    if not path.is_file():
        return set()
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_feature_is_shown_by_a_test() -> None:
    assert object_to(FEATURES) == []
    tests = Counter(found["name"] for line in FEATURES.splitlines() if (found := ITEM.match(line)))
    assert len(tests) >= 80
    assert [name for name, times in tests.items() if times > 2] == []


def test_a_test_that_is_not_there_is_told() -> None:
    path = "tests/contract/test_features.py"
    assert object_to(f"- It flies. `{path}::test_it_flies`") == [f"there is no {path}::test_it_flies"]
    assert object_to("- It flies. `tests/test_nowhere.py::test_it`") == ["there is no tests/test_nowhere.py::test_it"]
    assert object_to("- It flies.") == ["it names no test: - It flies."]
