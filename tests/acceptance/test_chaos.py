"""`chaos`: faults of every kind while buyers buy, and builds that are broken on purpose are detected."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import pytest
from rich.console import Console

from scripts import chaos
from scripts.environments.ending import Ending
from scripts.environments.fleet import read_procfile
from scripts.faults.care import SHARES, Care, choose_care
from scripts.faults.faults import KINDS, plan_faults
from scripts.faults.load import plan_buyers
from scripts.faults.order_verification import NEEDED
from scripts.faults.verification import Verdict
from scripts.local_servers.embedded import ROOT
from tests.support import commands

pytestmark = pytest.mark.acceptance

#: Enough buyers for each of the sixteen faults, and between them. The CI workflow runs two thousand, with the defaults.
CHECKOUTS: Final = 250
#: Buyers of a broken build: six of them cancel or have a bad card. And how long each wait for an end may last.
BUILD_CHECKOUTS: Final = 80
BUILD_SECONDS: Final = 8.0
#: Counts of orders' changes that are zero.
FAULTLESS: Final = ("lost", "stuck", "needs_review", "mismatched", "gave_up", "at_bank")
#: Lines of the Procfile whose queues buyers do not wait for.
QUIET: Final = ("resolve", "webhooks", "order_changes", "deliveries", "sweep")
#: Shorter times, in the proportions of the defaults, so that recovery from each fault is faster.
TIMES: Final = {
    "CHECKOUT_REDELIVER_AFTER_SECONDS": "1.5",
    "CHECKOUT_HEARTBEAT_SECONDS": "3",
    "CHECKOUT_SWEEP_INTERVAL_SECONDS": "0.5",
    "CHECKOUT_GATEWAY_TIMEOUT_SECONDS": "2",
    "CHECKOUT_SANDBOX_HANG_SECONDS": "2",
    "CHECKOUT_GATEWAY_LEASE_SECONDS": "3",
}


@pytest.mark.timeout(300)
def test_nothing_is_lost_whatever_breaks() -> None:
    command = [sys.executable, "-m", "scripts.chaos", "--checkouts", str(CHECKOUTS), "--seed", "1", "--json"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **TIMES}, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode in {0, 1}, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, report["objections"]) == (0, []), done.stderr
    assert report["checkouts"] >= CHECKOUTS
    assert report["completed"] >= 0.6 * report["checkouts"]
    assert [report[name] for name in ("lost", "stuck", "needs_review", "audit_violations")] == [0, 0, 0, 0]
    assert set(report["faults"]) == set(KINDS)
    orders = report["orders"]
    assert [orders[name] for name in FAULTLESS] == [0] * len(FAULTLESS)
    assert orders["asked"] > orders["refused"] > 0
    assert sum(orders["states"].values()) >= orders["asked"] - orders["refused"]
    assert {f"{kind} done" for kind in NEEDED} <= set(orders["states"])
    assert report["recovery_p95_seconds"] is not None


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("build", "fault", "times", "broken"),
    [
        ("build_without_release", "kill_worker", 4, "undone_holds_no_stock"),
        ("build_without_guard", "duplicate_messages", 1, "one_ending_event"),
    ],
)
def test_a_broken_build_is_detected(
    build: str, fault: str, times: int, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict, objections = run_build(build, fault, times, monkeypatch)
    assert any(broken in each for each in objections), objections
    assert verdict.audit_violations > 0


# A worker that gets its message too early waits for the row, or finds it unchanged and gets another message: all
# invariants hold, and only the listener at the queues detects it, which sees some of many.
@pytest.mark.timeout(200)
def test_a_build_that_sends_before_it_commits_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict, objections = run_build("build_too_eager", "kill_worker", 4, monkeypatch, checkouts=120)
    assert verdict.early > 0
    assert any("before the commit that it follows" in each for each in objections), objections
    assert verdict.audit_violations == 0


# What was refunded twice looks like a refund that was made in the bank's dashboard, and is adopted: the engine's books
# agree with the bank's, and only the comparison of each key with the bank detects it.
@pytest.mark.timeout(200)
def test_a_build_that_refunds_twice_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict, objections = run_build("build_that_refunds_twice", "kill_worker", 4, monkeypatch)
    assert verdict.orders.at_bank > 0
    assert any("a refund at the bank is one that the engine knows" in each for each in objections), objections


def run_build(
    build: str, fault: str, times: int, monkeypatch: pytest.MonkeyPatch, *, checkouts: int = BUILD_CHECKOUTS
) -> tuple[Verdict, list[str]]:
    for name, value in TIMES.items():
        monkeypatch.setenv(name, value)
    new = f"tests.acceptance.broken_build:{build}"
    # Messages that come to a wrong queue meet a phase in its own process; other defects are in every process.
    shared = QUIET if fault == "duplicate_messages" else [name for name in read_procfile() if name != "scheduler"]
    lines = {name: line.replace("workers.main:build_broker", new) for name, line in share_worker(shared).items()}
    monkeypatch.setattr("scripts.faults.place.read_procfile", lambda **_: lines)
    # No assertion needs a run that ends: the audit finds the defect in what there is.
    monkeypatch.setattr(chaos, "END_SECONDS", BUILD_SECONDS)
    monkeypatch.setattr("scripts.faults.verification.RECOVERY_SECONDS", BUILD_SECONDS)
    with Ending() as ending:
        verdict, injected, _ = chaos.run_seed(checkouts, 1, (fault,), ending, Console(quiet=True))
    assert len(injected) == times
    return verdict, chaos.find_objections(verdict, {"faults": {fault: times}}, (fault,))


def share_worker(names: Sequence[str]) -> dict[str, str]:
    """Return the Procfile with one worker for the queues of these lines."""
    lines = read_procfile(with_web=True)
    queues = " ".join(lines[name].split(" -Q ")[1].split()[0] for name in names)
    shared = lines["intake"].replace("checkout.intake", queues).replace(" -t 2 ", f" -t {len(names)} ")
    return {name: line for name, line in lines.items() if name not in names} | {"shared": shared}


def test_a_seed_is_a_plan() -> None:
    assert plan_buyers(7, 50) == plan_buyers(7, 50) != plan_buyers(8, 50)
    plan = plan_faults(7, KINDS, 1000, rounds=2)
    assert plan == plan_faults(7, KINDS, 1000, rounds=2) != plan_faults(8, KINDS, 1000, rounds=2)
    assert {kind for _, kind in plan} == set(KINDS) - {"gateway"}
    customers = [f"customer-{number}" for number in range(CHECKOUTS)]
    cared = [choose_care(1, each) for each in customers]
    assert cared == [choose_care(1, each) for each in customers] != [choose_care(2, each) for each in customers]
    assert {care for care, _ in cared} == set(SHARES) == set(Care)


def test_an_unknown_fault_is_refused() -> None:
    command = [sys.executable, "-m", "scripts.chaos", "--faults", "earthquake"]
    done = commands.run(command, cwd=ROOT, env=os.environ, timeout=200)
    assert done.returncode == 2
    assert "There is no fault earthquake" in done.stderr.replace("\n", " ").replace("│", "")
