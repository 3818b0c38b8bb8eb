"""The supervisor restarts ended processes with back-off, and leaves no descendant behind."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pipeline.settings import Settings
from scripts.environments.supervisor import Supervisor, build_env

#: A master with a child that ignores SIGTERM, as a dramatiq child outlives its master.
FAMILY = (
    "import signal, subprocess, sys, time;"
    "child = subprocess.Popen([sys.executable, '-c', 'import signal, time;"
    'signal.signal(signal.SIGTERM, signal.SIG_IGN); print("ready", flush=True); time.sleep(60)\']);'
    "print('child', child.pid, flush=True); time.sleep(60)"
)


class Printed:
    """Records the processes' output."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))


def wait_for(is_so: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.fixture
def family(tmp_path: Path) -> str:
    path = tmp_path / "family.py"
    path.write_text(FAMILY)
    return f"{sys.executable} {path}"


def read_child(printed: Printed) -> int:
    return int(next(line for _, line in printed.lines if line.startswith("child")).split()[1])


def test_units_are_named_and_counted_and_their_lines_come_out() -> None:
    # Given
    printed = Printed()
    lines = {"a": f"{sys.executable} -c 'print(1, flush=True); import time; time.sleep(60)'", "b": "sleep 60"}
    # When
    with Supervisor(os.environ, printed) as supervisor:
        supervisor.start(lines, {"b": 2})
        names = list(supervisor.pids())
        wait_for(lambda: printed.lines == [("a.1", "1")])
        leaders = [os.getpgid(pid) == pid for pid in supervisor.pids().values()]
    # Then
    assert names == ["a.1", "b.1", "b.2"]
    assert leaders == [True, True, True]
    assert supervisor.pids() == {}


def test_a_process_that_ends_is_started_again() -> None:
    # Given
    printed = Printed()
    with Supervisor(os.environ, printed) as supervisor:
        supervisor.start({"a": "sleep 60", "b": "sleep 60"}, {"a": 2})
        before = supervisor.pids()
        # When
        signalled = supervisor.kill("a.1", signal.SIGKILL)
        wait_for(lambda: supervisor.restarts == 1)
        after = supervisor.pids()
    # Then only that one is new
    assert signalled == 1
    assert {name for name in before if before[name] != after[name]} == {"a.1"}
    assert printed.lines == [("a.1", "ended with -9; starting again in 0.5 s")]


def test_a_process_that_keeps_ending_is_restarted_with_back_off() -> None:
    # Given
    printed = Printed()
    # When
    with Supervisor(os.environ, printed) as supervisor:
        supervisor.start({"a": "false"})
        wait_for(lambda: len(printed.lines) == 3)
    # Then
    assert printed.lines == [
        ("a.1", "ended with 1; starting again in 0.5 s"),
        ("a.1", "ended with 1; starting again in 1 s"),
        ("a.1", "ended with 1; starting again in 2 s"),
    ]


def test_kill_by_name_reaches_every_unit_of_the_line() -> None:
    with Supervisor(os.environ, Printed()) as supervisor:
        supervisor.start({"a": "sleep 60", "b": "sleep 60"}, {"a": 3})
        assert supervisor.kill("a", signal.SIGKILL) == 3
        assert supervisor.kill("c", signal.SIGKILL) == 0


def test_stop_ends_descendants_too(family: str) -> None:
    # Given a child that ignores SIGTERM and outlives its master
    printed = Printed()
    supervisor = Supervisor(os.environ, printed, grace_seconds=5)
    supervisor.start({"a": family})
    wait_for(lambda: ("a.1", "ready") in printed.lines)
    child, master = read_child(printed), supervisor.pids()["a.1"]
    # When
    supervisor.stop()
    supervisor.stop()
    # Then
    assert is_gone(master)
    wait_for(lambda: is_gone(child))


def test_the_orphans_of_a_killed_master_are_ended(family: str) -> None:
    # Given
    printed = Printed()
    with Supervisor(os.environ, printed, grace_seconds=1) as supervisor:
        supervisor.start({"a": family})
        wait_for(lambda: ("a.1", "ready") in printed.lines)
        child = read_child(printed)
        # When the master alone is killed
        os.kill(supervisor.pids()["a.1"], signal.SIGKILL)
        # Then
        wait_for(lambda: is_gone(child))


def test_suspended_and_stubborn_processes_are_ended_within_the_grace_period() -> None:
    # Given
    stubborn = f"{sys.executable} -c 'import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(60)'"
    printed = Printed()
    supervisor = Supervisor({**os.environ, "PYTHONUNBUFFERED": "1"}, printed, grace_seconds=0.5)
    supervisor.start({"a": stubborn, "b": "sleep 60"})
    wait_for(lambda: ("a.1", "1") in printed.lines)
    pids = supervisor.pids()
    supervisor.kill("b", signal.SIGSTOP)
    # When
    supervisor.stop()
    # Then
    assert [is_gone(pid) for pid in pids.values()] == [True, True]


def test_the_environment_of_a_process_has_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    given = Settings(
        _env_file=None, database_url=SecretStr("d"), redis_url=SecretStr("r"), ttl_minutes=7, retry_seconds=0.05
    )
    monkeypatch.setenv("CHECKOUT_BATCH_SIZE", "1")
    # When
    env = build_env(given)
    # Then
    assert env["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert Settings(_env_file=None) == given


def test_the_environment_of_a_process_has_the_gateways_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given the sandbox, and a secret of another provider in the environment
    urls: dict[str, Any] = {"database_url": SecretStr("d"), "redis_url": SecretStr("r")}
    given = Settings(_env_file=None, **urls).with_gateway("sandbox", fault_seed=7, webhook_secret=SecretStr("whsec_x"))
    monkeypatch.setenv("CHECKOUT_STRIPE_API_KEY", "sk_live_x")
    # When
    env = build_env(given)
    # Then
    own = {name: value for name, value in env.items() if name.startswith(("CHECKOUT_SANDBOX_", "CHECKOUT_STRIPE_"))}
    assert own == {
        "CHECKOUT_SANDBOX_LATENCY_SECONDS": "0.0",
        "CHECKOUT_SANDBOX_HANG_SECONDS": "5.0",
        "CHECKOUT_SANDBOX_FAULT_RATE": "0.0",
        "CHECKOUT_SANDBOX_FAULT_SEED": "7",
        "CHECKOUT_SANDBOX_AUTHORIZATION_SECONDS": "604800.0",
        "CHECKOUT_SANDBOX_WEBHOOK_SECRET": "whsec_x",
        # Empty, so that a `.env` file beside the process cannot set them.
        "CHECKOUT_STRIPE_API_KEY": "",
        "CHECKOUT_STRIPE_WEBHOOK_SECRET": "",
    }
