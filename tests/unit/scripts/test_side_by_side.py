"""Commands that run side by side."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from scripts.environments.side_by_side import run_side_by_side

ROOT = Path(__file__).resolve().parents[3]
#: A busy machine may take its time.
BOUND_SECONDS = 30

#: Runs the commands given as arguments.
PROGRAM = """
import os, pathlib, sys
from scripts.environments import side_by_side
side_by_side.GRACE_SECONDS = 0.5
try:
    side_by_side.run_side_by_side(
        [["/bin/sh", "-c", line] for line in sys.argv[1:]],
        most=2, show=print, folder=pathlib.Path("."), environment=os.environ,
    )
except side_by_side.Ended as ended:
    raise SystemExit(ended.code)
"""


def run(folder: Path, *lines: str, most: int) -> tuple[list[int], list[str]]:
    """Run lines of a shell; return their exit codes, and the lines in the order in which they have ended."""
    shown: list[str] = []
    codes = run_side_by_side(
        [["/bin/sh", "-c", line] for line in lines],
        most=most,
        show=lambda command: shown.append(command[2]),
        folder=folder,
        environment=os.environ,
    )
    return codes, shown


def wait_for(name: str) -> str:
    """Return a line that waits for a file."""
    return f"until test -e {name}; do sleep 0.01; done"


def test_they_run_at_the_same_time_and_each_prints_in_one_piece(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Given two commands that wait for each other
    first = f"echo 1; touch first; {wait_for('second')}; echo 2"
    second = f"{wait_for('first')}; echo 3; touch second; sleep 0.3; echo 4 >&2; exit 7"
    # Then
    assert run(tmp_path, first, second, most=2) == ([0, 7], [first, second])
    assert capfd.readouterr() == ("1\n2\n3\n4\n", "")


def test_no_more_than_the_given_number_run_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = 'test -z "$(ls)" || echo beside $(ls); touch $$; sleep 0.1; rm $$'
    assert run(tmp_path, *[line] * 4, most=1) == ([0, 0, 0, 0], [line] * 4)
    assert capfd.readouterr().out == ""
    # ... and four run at once where four may: each waits for the others
    line = 'touch $$; until test "$(ls | wc -l)" = 4; do sleep 0.02; done'
    assert run(tmp_path, *[line] * 4, most=4) == ([0, 0, 0, 0], [line] * 4)


def test_the_codes_have_the_order_of_the_commands(tmp_path: Path) -> None:
    lines = ["sleep 0.3; exit 1", "exit 2", "kill -TERM $$", "exit 4"]
    codes, shown = run(tmp_path, *lines, most=3)
    assert codes == [1, 2, -signal.SIGTERM, 4]
    assert sorted(shown) == sorted(lines)


def test_a_long_output_stops_no_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x", most=1)[0] == [0]
    assert capfd.readouterr().out == "x" * 3_000_000


def test_a_command_that_does_not_exist_ends_the_others(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run_side_by_side(
            [["/bin/sh", "-c", "echo $$ > pid; exec sleep 60"], ["/nowhere/mypy"]],
            most=2,
            show=lambda _: None,
            folder=tmp_path,
            environment=os.environ,
        )
    assert find("sleep 60", str(tmp_path)) == []


def find(part: str, mark: str) -> list[str]:
    """Return the running processes with this in their command line, and the mark in folder or environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if part in line and (
                mark.encode() in (place / "environ").read_bytes() or mark in str((place / "cwd").readlink())
            ):
                found.append(line)
        except OSError:  # it has just ended, or belongs to another account
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the processes are found in Linux's /proc")
@pytest.mark.parametrize(
    "signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda each: each.name
)
def test_a_signal_ends_all_and_what_they_have_started(tmp_path: Path, signum: signal.Signals) -> None:
    # Given a command that ignores signals, one with a process of its own, and one that waits for its turn
    trap = "" if signum == signal.SIGKILL else "trap '' TERM INT HUP; "
    stubborn = f"{trap}touch stubborn; while :; do sleep 0.1; done"
    mother = "sleep 61 & touch mother; wait"
    mark = uuid4().hex
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, stubborn, mother, "touch third"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MARK": mark},
        stdout=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + BOUND_SECONDS
        while not ((tmp_path / "stubborn").exists() and (tmp_path / "mother").exists()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # When
        process.send_signal(signum)
        code = process.wait(BOUND_SECONDS)
    # Then
    assert code == (-signum if signum == signal.SIGKILL else 128 + signum)
    while left := find("", mark):
        # Only after SIGKILL somebody else has to do it.
        assert signum == signal.SIGKILL, left
        assert time.monotonic() < deadline + BOUND_SECONDS, left
        time.sleep(0.05)
    assert not (tmp_path / "third").exists()
