"""Every failure is named at the end of a run, with a command that repeats it."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest

from tests.support.repeating import HINT, SECTION, build_commands

ROOT: Final = Path(__file__).resolve().parents[3]
BIN: Final = Path(sys.executable).parent

#: Of one run of pytest, which takes 2 s on an idle machine; a set-up and a test are two.
TIMEOUT_SECONDS: Final = 150
pytestmark = pytest.mark.timeout(2 * TIMEOUT_SECONDS + 20)

#: Another project with this plugin.
CONFTEST: Final = """
from hypothesis import settings

pytest_plugins = ["tests.support.forking", "tests.support.repeating"]
settings.register_profile("printing", print_blob=True, database=None)
settings.load_profile("printing")
"""
SETTINGS: Final = f"""
[project]
name = "copy"

[tool.pytest]
strict = true
addopts = ["-ra", "--import-mode=importlib", "-p", "no:schemathesis", "-p", "no:anyio"]
pythonpath = [".", "{ROOT}"]
"""
#: Tests that fail with numbers from a seed.
FAILING: Final = """
import random

import pytest
from hypothesis import Phase, given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

UNSHRUNK = settings(phases=[Phase.generate])


@pytest.mark.parametrize("given", ["it's [x] \\"$HOME\\" `id` \\\\ a::b; é"])
def test_number(given):
    assert random.random() == 2


@pytest.fixture
def broken():
    assert random.random() == 3


def test_without_its_fixture(broken):
    pass


@pytest.fixture
def torn():
    yield
    assert random.random() == 4


def test_that_fails_twice(torn):
    assert random.random() == 5


@UNSHRUNK
@given(st.lists(st.integers(0, 2**64), min_size=5))
def test_example(numbers):
    assert sum(numbers) < 2**30


class Machine(RuleBasedStateMachine):
    @rule(numbers=st.lists(st.integers(0, 2**64), min_size=5))
    def draw(self, numbers):
        assert sum(numbers) < 2**30


def test_machine():
    class Here(Machine):
        pass

    run_state_machine_as_test(Here, settings=UNSHRUNK)


def test_that_passes():
    pass
"""
#: A number that a test has failed with.
FAILED: Final = re.compile(r"assert ([\d.]+) (?:== \d|< \()")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with failing tests, the tool, and this environment as its own."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("scripts", "cases", ".venv"):
        (folder / name).mkdir()
    for name in ("dev.py", "command_table.py", "constraints.txt"):
        shutil.copy(ROOT / "scripts" / name, folder / "scripts" / name)
    (folder / ".venv" / "bin").symlink_to(BIN)
    (folder / "pyproject.toml").write_text(SETTINGS)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "cases" / "test_failing.py").write_text(FAILING)
    (folder / "cases" / "test_broken.py").write_text("import nothing_of_this_name\n")
    stamp = runpy.run_path(str(folder / "scripts" / "dev.py"))["name_inputs"]()
    (folder / ".venv" / ".installed").write_text(stamp)
    return folder


def type_line(project: Path, line: str) -> str:
    """Run a command line at the root; return its output."""
    outer = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST_")}
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=project,
        env={**outer, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode in {1, 2}, done.stdout
    return done.stdout


def read_commands(output: str) -> list[str]:
    """Return the commands of the section; it is the last one, and pytest's closing line ends the output."""
    head, _, tail = output.partition(f" {SECTION} ")
    assert "short test summary info" in head
    _, *lines, closing = tail.splitlines()
    assert re.fullmatch(r"=+ .*\d (failed|error).* in [\d.]+s =+", closing)
    return lines[: lines.index(HINT)]


@pytest.fixture(scope="module")
def output(project: Path) -> str:
    """The output of a run on two workers."""
    return type_line(project, "python3 scripts/dev.py test --workers 2 cases/test_failing.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "failures"),
    [
        ("test_number", 1),
        ("test_without_its_fixture", 1),
        ("test_that_fails_twice", 2),
        ("test_example", 1),
        ("test_machine", 1),
    ],
)
def test_a_failure_is_repeated_by_its_command(project: Path, output: str, name: str, failures: int) -> None:
    commands = read_commands(output)
    assert len(commands) == 5
    [line] = [command for command in commands if f"::{name}" in command]
    # When
    again = type_line(project, line)
    # Then this failure is repeated alone, with the same numbers
    numbers = set(FAILED.findall(again))
    assert len(numbers) == failures
    assert numbers <= set(FAILED.findall(output))
    assert read_commands(again) == [line]


@pytest.mark.slow
def test_without_its_seed_and_its_example_nothing_is_repeated(project: Path, output: str) -> None:
    numbers = FAILED.findall(type_line(project, "python3 scripts/dev.py test cases/test_failing.py"))
    assert len(set(numbers)) == 6
    assert not set(numbers) & set(FAILED.findall(output))


@pytest.mark.slow
def test_a_file_that_cannot_be_read_is_named(project: Path) -> None:
    [line] = read_commands(type_line(project, "python3 scripts/dev.py test --workers 2 cases/test_broken.py"))
    assert re.fullmatch(r"python3 scripts/dev.py test cases/test_broken.py --randomly-seed=\d+", line)
    again = type_line(project, line)
    assert "No module named 'nothing_of_this_name'" in again
    assert read_commands(again) == [line]


def test_this_run_has_the_plugin(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.has_plugin("tests.support.repeating")


def build(*names: str, **options: object) -> list[str]:
    """Return the commands for these names, with these options of pytest."""
    return build_commands([SimpleNamespace(nodeid=name) for name in names], SimpleNamespace(**options))


def test_a_test_is_named_once_and_quoted_for_a_shell() -> None:
    assert build("tests/a.py::b", "tests/a.py::c[it's]", "tests/a.py::b", randomly_seed=7) == [
        "python3 scripts/dev.py test tests/a.py::b --randomly-seed=7",
        """python3 scripts/dev.py test 'tests/a.py::c[it'"'"'s]' --randomly-seed=7""",
    ]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"randomly_seed": 7, "hypothesis_seed": "8"}, "--randomly-seed=7 --hypothesis-seed=8"),
        ({"hypothesis_seed": None}, "-p no:randomly"),
        ({"randomly_seed": 7, "fuzz": 150, "fuzz_seed": 0}, "--randomly-seed=7"),
        ({"randomly_seed": 7, "fuzz": 20, "fuzz_seed": 3}, "--randomly-seed=7 --fuzz=20 --fuzz-seed=3"),
    ],
)
def test_what_was_given_is_repeated(options: dict[str, object], shown: str) -> None:
    assert build("a.py::b", **options) == [f"python3 scripts/dev.py test a.py::b {shown}"]


def test_an_adapter_that_was_given_is_repeated() -> None:
    [line] = build("pipeline/x.py::test_y[a-b::c]", randomly_seed=7, gateway="package.module:build")
    assert line == "python3 scripts/dev.py test --gateway package.module:build -k test_y --randomly-seed=7"
