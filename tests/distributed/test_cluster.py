"""Several hosts on this machine: faults under load lose nothing, and nothing of a cluster is left.

Not a part of `python3 scripts/dev.py test`, which collects no test of this folder by itself: it takes minutes, and
needs root: `python3 scripts/dev.py test tests/distributed`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from scripts.distributed.control import STATE
from scripts.distributed.network import read_namespace
from scripts.distributed.requirements import explain_missing
from scripts.environments.reaper import find_marked, mark
from scripts.local_servers.embedded import ROOT, read_state
from scripts.terminal.output import say
from tests.support.lasting import run_until

pytestmark = pytest.mark.timeout(900)

COMMAND: Final = (sys.executable, "-m", "scripts.cli", "cluster")
CHOSEN: Final = ("primary-off", "valkey-killed", "switchover")
#: Seconds are the machine's here, and are printed: `checkout cluster run` has their bounds. A loss is the engine's.
SLOW: Final = "no purchase was finished for"


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Skip where a cluster cannot run, fail there in CI; no namespace may be left at the end."""
    if (missing := explain_missing()) is not None:
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    yield
    assert list_namespaces() == set()
    assert read_state(STATE) == {}


def list_namespaces() -> set[str]:
    """Return the other network namespaces of all processes that this test run has started."""
    [name] = mark()
    return {read_namespace(pid) for pid in find_marked(name)} - {"", read_namespace("self")}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the cluster to its end."""
    return subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def describe(fault: dict[str, Any]) -> str:
    """Return the seconds of one fault in one line."""
    names = ("seconds_without_purchase", "bound_seconds", "seconds_without_commit", "seconds_until_stable")
    return ", ".join((fault["fault"], *(f"{name} {fault[name]}" for name in (*names, "load_average"))))


def wait_for_socket() -> str:
    """Return where the running cluster listens."""
    while "socket" not in (facts := read_state(STATE)):
        time.sleep(0.05)
    return str(facts["socket"])


def test_three_faults_lose_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    done = run("run", "--json", *(part for name in CHOSEN for part in ("--fault", name)))
    assert done.returncode in {0, 1}, done.stderr
    report = json.loads(done.stdout)
    with capsys.disabled():
        for line in ("", *map(describe, report["faults"])):
            say(line)
    # Everything that was acknowledged is there, once; the bank and the audit agree
    assert [each for each in report["objections"] if not each.startswith(SLOW)] == []
    names = ("commits_lost", "orders_lost", "orders_doubled", "stuck", "skipped")
    assert [[each[name] for name in names] for each in report["faults"]] == [[0, 0, 0, 0, None]] * 3
    # ... each fault was injected, and purchases went on after it
    assert [each["fault"] for each in report["faults"]] == list(CHOSEN)
    assert all(each["purchases"] > 0 and each["commits"] > 0 for each in report["faults"])


def test_a_cluster_stays_up_until_it_is_ended() -> None:
    with run_until([*COMMAND, "up"], "Inject a fault with", {}) as lasting:
        folder = Path(wait_for_socket()).parent
        assert folder.is_dir()
        # A second one is refused
        assert run("up").returncode == 2
        # A fault is injected into the first one, and healed
        done = run("fault", "switchover")
        assert done.returncode == 0, done.stderr
        assert "stable after" in done.stdout
        # It ends, and there is none any more
        assert run("down").stdout == "The cluster has ended.\n"
        printed = lasting.process.communicate(timeout=100)[0]
        assert lasting.process.wait() == 0, printed
    assert not folder.exists()
    assert run("down").stdout == "No cluster is up.\n"
    assert run("fault", "switchover").returncode == 2
