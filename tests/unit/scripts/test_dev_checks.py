"""The checks and tests that `scripts/dev.py` runs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts import dev

ROOT = Path(dev.__file__).resolve().parents[1]
#: Outputs of the checks in the environment of these tests; `mypy` and `lint-imports` fail.
SCRIPTS = {
    "mypy": "echo models/money.py:1: wrong; sleep 0.2; echo 1 error; exit 3",
    "lint-imports": "echo an import goes up >&2; kill -TERM $$",
    **dict.fromkeys(("python", "deptry", "ruff"), 'echo "$(basename $0) $*"'),
}


class Pytest:
    """Records the commands that this process would become."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []

    def __call__(self, command: Sequence[str]) -> int:
        self.seen.append([Path(command[0]).name, *command[1:]])
        return 5


def write(folder: Path, name: str, script: str = "") -> None:
    """Write a command."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The commands of an environment."""
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name, script in SCRIPTS.items():
        write(folder, name, script)
    monkeypatch.setattr(dev, "prepare", lambda: None)
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    monkeypatch.setattr(dev, "BIN", folder)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def tests(commands: Path, monkeypatch: pytest.MonkeyPatch) -> Pytest:
    """The runs of pytest."""
    found = Pytest()
    monkeypatch.setattr(dev, "become", found)
    return found


@pytest.mark.parametrize("arguments", [["lint"], ["test"]])
def test_every_check_runs_and_every_failure_is_shown(
    tests: Pytest, capfd: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    # When
    code = dev.main(arguments)
    # Then the exit code is that of the first in the list, and no test has run
    assert (code, tests.seen) == (3, [])
    out, err = capfd.readouterr()
    assert "models/money.py:1: wrong\n1 error\n" in out
    printed = ["1 error", "an import goes up", "deptry .", "models/money.py:1: wrong"]
    assert sorted(out.splitlines()) == [
        *printed,
        *("python -m scripts.security", "ruff check .", "ruff format --check ."),
    ]
    named, *commands, failed = err.splitlines()
    assert named == "Running side by side: " + ", ".join(" ".join(each) for each in dev.CHECKS)
    assert sorted(commands) == sorted(f"$ .venv/bin/{' '.join(each)}" for each in dev.CHECKS)
    assert failed == "Failed: mypy, lint-imports"


def test_a_killed_check_has_failed(commands: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(commands, "mypy")
    assert dev.main(["lint"]) == 143
    assert capfd.readouterr().err.splitlines()[-1] == "Failed: lint-imports"


def test_the_tests_run_after_the_checks(
    commands: Path, tests: Pytest, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    monkeypatch.setattr(dev, "count_cores", lambda: 4)
    for name in ("mypy", "lint-imports"):
        write(commands, name)
    # Then
    assert dev.main(["test"]) == 5
    shown = capfd.readouterr().err.splitlines()[1:]
    assert sorted(shown) == sorted(f"$ .venv/bin/{' '.join(each)}" for each in dev.CHECKS)
    assert tests.seen == [["pytest", "--workers", "8"]]


@pytest.mark.parametrize("others", [[], ["-x"]])
def test_the_quick_tests_run_beside_their_checks(
    commands: Path, capfd: pytest.CaptureFixture[str], others: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given tests that fail, and end before a check
    monkeypatch.setattr(dev, "count_cores", lambda: 4)
    write(commands, "pytest", 'echo "tests: $*"; touch ended; exit 5')
    write(commands, "mypy", "while ! test -e ended; do sleep 0.01; done; echo no error")
    write(commands, "lint-imports")
    # Then
    assert dev.main(["test", "--quick", *others]) == 5
    out, err = capfd.readouterr()
    line = " ".join(["--workers", "4", *dev.QUICK_TESTS, *others])
    assert {f"tests: {line}", "no error"} <= set(out.splitlines())
    assert f"$ .venv/bin/pytest {line.replace('not slow', repr('not slow'))}" in err.splitlines()
    assert err.splitlines()[-1] == f"Failed: pytest {line}"


def test_the_quick_run_is_a_part_of_the_whole_one() -> None:
    assert [each[:2] for each in dev.QUICK_CHECKS] == [
        *(("mypy",), ("ruff", "check")),
        *(("lint-imports",), ("ruff", "format")),
    ]
    paths = dev.QUICK_TESTS[: dev.QUICK_TESTS.index("-m")]
    assert len(paths) == 3
    assert all((ROOT / path).exists() for path in paths)


@pytest.mark.parametrize(("cores", "count"), [(range(1), 1), (range(2), 2), (range(4, 7), 3), (range(64), 64)])
def test_the_cores_are_those_that_this_process_may_use(
    monkeypatch: pytest.MonkeyPatch, cores: range, count: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cores), raising=False)
    assert dev.count_cores() == count


@pytest.mark.parametrize(("wanted", "workers"), [(1, "2"), (2, "2"), (3, "3"), (15, "15"), (16, "15"), (96, "15")])
def test_tests_are_spread_over_two_to_fifteen_workers(wanted: int, workers: str) -> None:
    assert dev.spread_tests(wanted) == ["--workers", workers]


def test_without_affinity_every_core_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert dev.count_cores() == 8
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert dev.count_cores() == 1


def test_arguments_of_test_go_to_pytest_alone(tests: Pytest, capfd: pytest.CaptureFixture[str]) -> None:
    assert dev.main(["test", "-k", "lock"]) == 5
    assert tests.seen == [["pytest", "-k", "lock"]]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_a_signal_ends_every_check_quietly(tmp_path: Path, signum: signal.Signals) -> None:
    # Given a check that lasts
    for name in SCRIPTS:
        write(tmp_path, name)
    write(tmp_path, "mypy", ': > "${0%/*}/ready"; exec sleep 60')
    code = (
        "import pathlib; from scripts import dev; dev.prepare = lambda: None;"
        f"dev.BIN = pathlib.Path({str(tmp_path)!r}); raise SystemExit(dev.main(['test']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while not (tmp_path / "ready").exists():
            assert process.poll() is None
            time.sleep(0.01)
        # When a terminal signals the whole group, or a supervisor the process
        (os.killpg if signum == signal.SIGINT else os.kill)(process.pid, signum)
        _, error = process.communicate(timeout=40)
    # Then
    assert process.returncode == 128 + signum
    assert [line for line in error.splitlines() if not line.startswith(("$ ", "Running side by side: "))] == []
    # ... and the group is empty
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
