"""Tests that run in forked workers are reported as those of one process are."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[3]
#: Of one run of pytest, which takes 1 s on an idle machine.
TIMEOUT_SECONDS: Final = 100

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * TIMEOUT_SECONDS)]

#: Another project with this plugin. Its fixtures write what they do into a file.
CONFTEST: Final = """
import os
from pathlib import Path
import pytest

pytest_plugins = ["tests.support.forking"]
LOG = Path(__file__).parent / "log"

def log(line):
    with LOG.open("a") as file:
        file.write(f"{line} {os.getpid()}\\n")

log("collected")

@pytest.fixture(scope="session")
def server():
    log("server starts")
    yield
    log("server ends")

@pytest.fixture(scope="module")
def shared(server):
    log("shared starts")
    yield
    log("shared ends")
"""
SETTINGS: Final = f"""
[tool.pytest]
strict = true
addopts = ["-ra", "--import-mode=importlib", "-p", "no:schemathesis", "-p", "no:anyio", "-p", "no:cacheprovider"]
pythonpath = [".", "{ROOT}"]
"""
OF_ALL_KINDS: Final = """
import warnings
import pytest
from conftest import log

def test_passes(shared, tmp_path):
    log(f"folder {tmp_path}")

def test_fails(shared):
    print("this was printed")
    assert 1 == 2

@pytest.mark.skip(reason="not here")
def test_skipped(): ...

@pytest.mark.xfail(strict=True, reason="it is known")
def test_expected():
    assert False

@pytest.fixture
def torn():
    yield
    raise ValueError("in the end of a fixture")

def test_with_an_error(torn): ...

def test_warns():
    warnings.warn("old", DeprecationWarning)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for name in ("test_a.py", "test_b.py", "test_c.py"):
        (tmp_path / name).write_text(OF_ALL_KINDS)
    return tmp_path


def build_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-p", "no:randomly", *arguments]


def build_env() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


def run(project: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        build_command(*arguments),
        cwd=project,
        env=build_env(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def read_log(project: Path) -> list[tuple[str, str]]:
    """Return what was done, each with the process that did it."""
    lines = (project / "log").read_text().splitlines()
    return [(line.rpartition(" ")[0], line.rpartition(" ")[2]) for line in lines]


def list_results(output: str) -> list[str]:
    """Return the lines of the summary and of the failures, in an order that does not depend on workers."""
    lines = re.findall(
        r"^(?:FAILED|ERROR|SKIPPED|XFAIL|E  |this was|.*DeprecationWarning: old).*$", output, re.MULTILINE
    )
    return sorted(re.sub(r"^ +", "", line).replace("UserWarning: ", "") for line in lines)


def test_results_are_those_of_one_process(project: Path) -> None:
    alone, forked = run(project), run(project, "--workers", "2")
    # Then
    assert (alone[0], forked[0]) == (1, 1)
    assert list_results(forked[1]) == list_results(alone[1])
    assert len(list_results(alone[1])) > 20
    for code, output in (alone, forked):
        closing = output.splitlines()[-1]
        assert code == 1
        assert re.search(r"3 failed, 9 passed, 3 skipped, 3 xfailed, 3 warnings, 3 errors in", closing), closing


def test_everything_is_collected_once_and_a_file_stays_on_one_worker(project: Path) -> None:
    place = project / "folders"
    run(project, "--workers", "2", "--basetemp", str(place))
    done = read_log(project)
    pids = {pid for what, pid in done if what == "server starts"}
    # Then two workers began and ended what a session shares, and what a file shares once a file
    assert [what for what, _ in done].count("collected") == 1
    assert len(pids) == 2
    for what, count in (("server starts", 2), ("server ends", 2), ("shared starts", 3), ("shared ends", 3)):
        assert [each for each, _ in done].count(what) == count, what
    folders = {Path(what.removeprefix("folder ")) for what, _ in done if what.startswith("folder")}
    assert len(folders) == 3
    assert {each.parent for each in folders} == {place / f"worker-{number}" for number in range(2)}
    # and each in its order
    for pid in pids:
        own = [what for what, each in done if each == pid]
        assert (own[0], own[-1]) == ("server starts", "server ends")


def test_a_test_that_ends_its_worker_fails_and_the_others_run(project: Path) -> None:
    for name in ("test_a.py", "test_b.py", "test_c.py"):
        (project / name).write_text(
            "import os, signal\ndef test_before(): ...\ndef test_dies():\n    os.kill(os.getpid(), signal.SIGKILL)\n"
            "def test_after(server): ...\n"
        )
    code, output = run(project, "--workers", "2")
    assert code == 1
    assert output.count("The worker of this test has ended with -9.") >= 3
    assert sorted(re.findall(r"^FAILED (\S+)", output, re.MULTILINE)) == [
        *("test_a.py::test_dies", "test_b.py::test_dies", "test_c.py::test_dies"),
    ]
    assert "3 failed, 6 passed in" in output.splitlines()[-1]


def test_no_file_is_begun_after_too_many_failures(project: Path) -> None:
    code, output = run(project, "--workers", "1", "--maxfail", "1")
    # Then only the file that was running went on
    assert code == 1
    assert re.search(r"stopping after \d failures", output)
    assert [what for what, _ in read_log(project)].count("shared starts") == 1


def test_a_file_that_cannot_be_imported_ends_the_run_before_a_test(project: Path) -> None:
    (project / "test_b.py").write_text("import nothing_of_this_name\n")
    code, output = run(project, "--workers", "2")
    assert code == 2
    assert "1 error during collection" in output
    assert [what for what, _ in read_log(project)] == ["collected"]


@pytest.mark.parametrize(
    ("send", "signum", "code", "ended"),
    [
        (os.kill, signal.SIGINT, 2, 2),
        (os.killpg, signal.SIGINT, 2, 2),  # as a terminal does
        (os.kill, signal.SIGTERM, -15, 0),
        (os.kill, signal.SIGKILL, -9, 0),
    ],
)
def test_workers_end_with_the_first_process(
    project: Path, send: Callable[[int, int], None], signum: int, code: int, ended: int
) -> None:
    # Given a worker in the middle of a test
    for name in ("test_a.py", "test_b.py", "test_c.py"):
        (project / name).write_text("import time\ndef test_lasts(shared):\n    time.sleep(300)\n")
    process = subprocess.Popen(
        build_command("--workers", "2"),
        cwd=project,
        env=build_env(),
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not (project / "log").exists() or [what for what, _ in read_log(project)].count("shared starts") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # When
    send(process.pid, signum)
    process.communicate(timeout=TIMEOUT_SECONDS)
    # Then
    assert process.returncode == code
    pids = {int(pid) for what, pid in read_log(project) if what == "server starts"}
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [what for what, _ in read_log(project)].count("server ends") == ended
