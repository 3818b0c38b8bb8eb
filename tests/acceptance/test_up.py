"""`up`, started as a user starts it: everything runs, everything ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from scripts.local_servers.embedded import find_urls, read_state

pytestmark = pytest.mark.acceptance

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start_up(tmp_path: Path, local_folder: Path) -> Iterator[Start]:
    """Start `up` on a Procfile of these lines; killed at the end if it still runs."""
    running: list[subprocess.Popen[str]] = []

    def start(lines: str, *arguments: str) -> subprocess.Popen[str]:
        (tmp_path / "Procfile").write_text(lines)
        options = ["--procfile", str(tmp_path / "Procfile"), "--local", str(local_folder), *arguments]
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "scripts.up", *options],
                cwd=tmp_path,  # where no `.env` is
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    """Return the lines up to the first that contains this. The time limit of the test bounds the wait."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if wanted in line:
            return lines
    pytest.fail(f"It ended without {wanted!r}: {lines}")


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_up_serves_restarts_and_leaves_nothing_behind(
    start_up: Start, tmp_path: Path, local_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    monkeypatch.chdir(tmp_path)
    state = local_folder / "servers.json"
    code = 'import os; print("pid", os.getpid(), os.environ["REDIS_URL"]); import time; time.sleep(300)'
    process = start_up(f"# two lines\nalpha: python -c '{code}'\nbeta: sleep 300\n", "--scale", "beta=2")
    # When
    lines = read_until(process, "pid")
    # Then other commands find its servers, and its processes have the addresses
    urls = find_urls(state)
    assert urls is not None
    assert f"DATABASE_URL={urls[0]}" in lines
    label, _, printed = lines[-1].partition("| ")
    first = int(printed.split()[1])
    assert (label.strip(), printed) == ("alpha.1", f"pid {first} {urls[1]}")
    with psycopg.connect(urls[0]) as connection:
        assert connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone() == (True,)
    # When a process is killed
    os.kill(first, signal.SIGKILL)
    again = read_until(process, "pid")
    # Then it is restarted
    assert again[0].endswith("| ended with -9; starting again in 0.5 s")
    second = int(again[-1].partition("| ")[2].split()[1])
    owner = int(read_state(state)["pid"])
    # When
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=100)
    # Then
    assert (process.returncode, rest) == (0, "Ending; running batches are finished first.\n")
    assert [is_gone(pid) for pid in (second, owner)] == [True, True]
    assert find_urls(state) is None


def test_up_runs_the_named_lines_alone(start_up: Start) -> None:
    # Given
    process = start_up("alpha: python -c 'print(1)'\nbeta: python -c 'print(2)'\n", "--only", "beta")
    # When
    lines = read_until(process, "| ended with 0")
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=100)
    # Then
    assert next(line for line in lines if "|" in line).endswith("| 2")
    assert "alpha" not in "\n".join(lines) + rest
    assert process.returncode == 0


@pytest.mark.parametrize("arguments", [["--only", "gamma"], ["--scale", "gamma=2"], ["--scale", "alpha=many"]])
def test_a_name_that_is_not_in_the_procfile_is_refused_before_anything_starts(
    start_up: Start, local_folder: Path, arguments: list[str]
) -> None:
    process = start_up("alpha: sleep 300\n", *arguments)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "alpha" in output
    assert read_state(local_folder / "servers.json") == {}
    assert "DATABASE_URL=" not in output


def test_an_invalid_setting_is_reported_in_one_sentence(
    start_up: Start, monkeypatch: pytest.MonkeyPatch, local_folder: Path
) -> None:
    # Given
    monkeypatch.setenv("CHECKOUT_TTL_MINUTES", "many")
    # When
    process = start_up("alpha: sleep 300\n")
    output, _ = process.communicate(timeout=100)
    # Then, with the servers stopped again
    assert process.returncode == 1
    assert output.splitlines()[-1] == ("A setting is not valid: ttl_minutes must be a whole number.")
    assert read_state(local_folder / "servers.json") == {}


def test_what_the_gateway_lacks_is_said_once_and_no_process_is_started(
    start_up: Start, local_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    monkeypatch.setenv("CHECKOUT_GATEWAY", "stripe")
    # When
    process = start_up("one: python -m workers.scheduler\ntwo: python -m workers.scheduler\n")
    output, _ = process.communicate(timeout=60)
    # Then
    assert process.returncode == 1
    assert output.count("CHECKOUT_STRIPE_API_KEY") == 1
    assert output.splitlines()[-1] == "Set CHECKOUT_STRIPE_API_KEY to Stripe's secret key (sk_... or rk_...)."
    assert read_state(local_folder / "servers.json") == {}
