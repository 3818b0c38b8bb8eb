"""The reaper: marked processes are ended in any state, with their descendants, and no others."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from scripts.environments.reaper import Reaper, end_marked, find_marked
from scripts.local_servers.embedded import ROOT

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)
#: Starts a child that has no environment at all.
PARENT = (
    "import subprocess, time; child = subprocess.Popen(['/bin/sleep', '60'], env={}, start_new_session=True);"
    "print(child.pid, flush=True); time.sleep(60)"
)
#: Starts a process, has a folder, and is killed by force.
VICTIM = (
    "import os, pathlib, subprocess, sys; from scripts.environments.reaper import discard, mark;"
    "discard(pathlib.Path(sys.argv[1]));"
    "child = subprocess.Popen(['sleep', '60'], env={**os.environ, **mark()}, start_new_session=True);"
    "print(child.pid, flush=True); os.kill(os.getpid(), 9)"
)


def start(code: str, name: str) -> subprocess.Popen[str]:
    """Start Python on this code, with a mark."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, name: "1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_stubborn_suspended_and_unmarked_descendants_are_ended_and_no_others() -> None:
    # Given
    name = f"REAPED_WITH_{uuid4().hex}"
    stopped = subprocess.Popen(["sleep", "60"], env={**os.environ, name: "1"})
    with start(STUBBORN, name) as stubborn, start(PARENT, name) as parent, start(STUBBORN, "OTHER") as other:
        child = int(read_line(parent))
        assert (read_line(stubborn), read_line(other)) == ("ready", "ready")
        stopped.send_signal(signal.SIGSTOP)
        assert set(find_marked(name)) == {stopped.pid, stubborn.pid, parent.pid, child}
        # When the parent is killed in the end, its child with it
        parent.send_signal(signal.SIGSTOP)
        end_marked(name, grace_seconds=0)
        # Then
        assert [each.wait(10) for each in (stopped, stubborn, parent)] == [-9, -9, -9]
        assert find_marked(name) == {}
        assert is_gone(child)
        assert other.poll() is None
        other.kill()


def test_a_request_to_end_comes_first() -> None:
    # Given
    name = f"REAPED_WITH_{uuid4().hex}"
    stopped = subprocess.Popen(["sleep", "60"], env={**os.environ, name: "1"})
    stopped.send_signal(signal.SIGSTOP)
    # When
    end_marked(name)
    # Then
    assert stopped.wait(10) == -signal.SIGTERM


def test_the_children_of_a_killed_process_are_ended(tmp_path: Path) -> None:
    # Given
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "file").touch()
    # When
    done = subprocess.run(
        [sys.executable, "-c", VICTIM, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    # Then
    assert done.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while folder.exists() or not is_gone(int(done.stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_reaper_is_replaced_and_knows_the_folders(tmp_path: Path) -> None:
    # Given
    reaper = Reaper()
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    reaper.add(first)
    before = reaper.ensure_running()
    os.kill(before, signal.SIGKILL)
    while not is_gone(before):
        time.sleep(0.01)
    # When
    reaper.add(second)
    after = reaper.ensure_running()
    reaper.release()
    # Then
    assert after != before
    assert not first.exists()
    assert not second.exists()
