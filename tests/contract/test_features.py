"""Every feature and every threat names existing tests."""

import ast
import re
from collections import Counter
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
FEATURES: Final = (ROOT / "docs" / "features.md").read_text()
THREATS: Final = (ROOT / "docs" / "threats.md").read_text()
ITEM: Final = re.compile(r"^- .+?\.(?: `tests/\S+?\.py::test_\w+`)+$")
TEST: Final = re.compile(r"`(tests/\S+?\.py)::(test_\w+)`")


def find_objections(features: str) -> list[str]:
    """Return the faults of a list of features."""
    objections = []
    for line in features.splitlines():
        if not line.startswith("- "):
            continue
        if ITEM.match(line) is None:
            objections.append(f"it names no test: {line}")
        objections += [
            f"there is no {path}::{name}" for path, name in TEST.findall(line) if name not in list_tests(ROOT / path)
        ]
    return objections


def list_tests(path: Path) -> set[str]:
    """Return the tests of a file."""
    if not path.is_file():
        return set()
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_feature_is_shown_by_a_test() -> None:
    assert find_objections(FEATURES) == []
    tests = Counter(TEST.findall(FEATURES))
    assert len(tests) >= 100
    assert [name for name, times in tests.items() if times > 2] == []


def test_every_test_that_a_threat_names_exists() -> None:
    files = {path.name: list_tests(path) for path in (ROOT / "tests").rglob("test_*.py")}
    named = re.findall(r"`(?:(test_\w+\.py)(?:::)?)?(test_\w+)?`", THREATS)
    assert len([each for each in named if any(each)]) >= 12
    for file, name in named:
        assert not file or file in files, file
        assert not name or name in (files[file] if file else set().union(*files.values())), name


def test_a_missing_test_is_reported() -> None:
    path = "tests/contract/test_features.py"
    assert find_objections(f"- It flies. `{path}::test_it_flies`") == [f"there is no {path}::test_it_flies"]
    assert find_objections("- It flies. `tests/test_nowhere.py::test_it`") == [
        "there is no tests/test_nowhere.py::test_it"
    ]
    assert find_objections("- It flies.") == ["it names no test: - It flies."]
