"""The demo's verdicts: each is a yes only for the figures that the buyers' stories lead to."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import scripts.demo
from pipeline.audit import AuditReport, Violation
from pipeline.audit.report import list_invariants
from pipeline.operations.statistics import list_queues
from pipeline.settings import Settings
from scripts.demonstration.buyers import BUYERS, EXPECTED, GOODS, KETTLE, RUSH
from scripts.demonstration.figures import DemoFigures, DemoStock, check_figures
from scripts.demonstration.story import Cancellation, Kill, Stuck
from scripts.environments.command_errors import CommandError
from scripts.environments.ending import Ended
from scripts.environments.fleet import read_procfile
from tests.support.command_lines import parse

FIGURES = DemoFigures(
    outcome=EXPECTED,
    other_states={},
    stock=(DemoStock("kettle", 12, 12, 0, 0), DemoStock("cup", 100, 16, 84, 0)),
    held_minor=656_50,
    pending_minor=0,
    orders=14,
    locked_carts=0,
    held_reservations=0,
    rejected_messages=0,
)
REPORT = AuditReport(violations=(), checked=list_invariants(), skipped=(), needs_review=0)
CANCELLATION = Cancellation(cart_was_locked=True, cart_is_open=True)
KILL = Kill(worker="payment_authorization", killed=1, in_flight=True, restarts=1, authorizations=1, charges=1)


def find_wrong(
    figures: DemoFigures = FIGURES,
    report: AuditReport = REPORT,
    cancellation: Cancellation = CANCELLATION,
    kill: Kill = KILL,
) -> list[str]:
    return [each.about for each in check_figures(figures, report, cancellation, kill) if not each.holds]


def test_the_expected_figures_are_all_right() -> None:
    assert find_wrong() == []
    assert [each.about for each in check_figures(FIGURES, REPORT, CANCELLATION, KILL)] == [
        *("checkouts", "completed", "failed", "cancelled", "expired", "kettles", "stock conserved", "money = orders"),
        *("one of two cups", "killed worker", "locks left", "audit"),
    ]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"outcome": replace(EXPECTED, checkouts=26)}, ["checkouts"]),
        ({"other_states": {"running": 1}}, ["checkouts"]),
        ({"outcome": replace(EXPECTED, completed=13)}, ["completed", "money = orders"]),
        ({"outcome": replace(EXPECTED, failed={"out_of_stock": 9})}, ["failed"]),
        ({"outcome": replace(EXPECTED, cancelled=0)}, ["cancelled"]),
        ({"outcome": replace(EXPECTED, expired=0)}, ["expired"]),
        ({"stock": (DemoStock("kettle", 12, 13, -1, 0),)}, ["kettles"]),
        ({"stock": (DemoStock("kettle", 12, 11, 1, 0),)}, ["kettles"]),
        ({"stock": (DemoStock("kettle", 12, 12, 0, 0), DemoStock("cup", 100, 16, 83, 0))}, ["stock conserved"]),
        ({"stock": (DemoStock("kettle", 12, 12, 0, 0), DemoStock("cup", 100, 16, 84, 2))}, ["stock conserved"]),
        ({"outcome": replace(EXPECTED, restocked=0)}, ["one of two cups"]),
        ({"outcome": replace(EXPECTED, refunded_minor=9_00)}, ["money = orders", "one of two cups"]),
        ({"held_minor": 662_00}, ["money = orders"]),
        ({"pending_minor": 1}, ["money = orders"]),
        ({"orders": 15}, ["money = orders"]),
        ({"locked_carts": 1}, ["locks left"]),
        ({"held_reservations": 1}, ["locks left"]),
        ({"rejected_messages": 1}, ["audit"]),
    ],
)
def test_a_wrong_figure_is_reported(change: dict[str, Any], wrong: list[str]) -> None:
    assert find_wrong(figures=replace(FIGURES, **change)) == wrong


def test_a_violation_an_open_cart_and_a_failed_kill_are_reported() -> None:
    violation = Violation("stock_is_ledger", "The ledger explains the stock.", 1, ())
    assert find_wrong(report=replace(REPORT, violations=(violation,))) == ["audit"]
    assert find_wrong(report=replace(REPORT, skipped=list_invariants()[:1])) == ["audit"]
    assert find_wrong(cancellation=Cancellation(cart_was_locked=False, cart_is_open=True)) == ["locks left"]
    for change in ({"killed": 0}, {"in_flight": False}, {"restarts": 0}, {"charges": 2}, {"authorizations": 2}):
        assert find_wrong(kill=replace(KILL, **change)) == ["killed worker"]


def test_the_buyers_add_up() -> None:
    assert (len(BUYERS), len(RUSH), KETTLE.units) == (EXPECTED.checkouts, 20, 12)
    assert {sum(article.price_minor * count for article, count in buyer.lines) for buyer in RUSH} == {48_00}
    for article in GOODS[1:]:  # only kettles run short, whichever buyers get them
        assert sum(count for buyer in BUYERS for each, count in buyer.lines if each == article) <= article.units


def test_the_demo_runs_every_queue_and_kills_a_worker_that_has_one() -> None:
    lines = scripts.demo.group_lines(read_procfile())
    queues = [word for line in lines.values() for word in line.split() if word.startswith("checkout.")]
    assert sorted(queues) == sorted(list_queues())
    assert [word for word in lines["payment_authorization"].split() if word in list_queues()] == [
        "checkout.payment_authorization"
    ]


def test_settings_of_this_machine_change_nothing(settings: Settings) -> None:
    odd = settings.model_copy(update={"max_lines": 1, "payment_attempts": 1, "sweep_interval_seconds": 99.0})
    found = scripts.demo.set_times(odd)
    assert (found.max_lines, found.payment_attempts, found.sweep_interval_seconds) == (1000, 3, 0.5)
    assert (found.database_url, found.redis_url) == (settings.database_url, settings.redis_url)
    assert found.gateway_timeout_seconds < found.gateway_lease_seconds


def test_the_next_commands_exist() -> None:
    for command, _ in scripts.demo.NEXT:
        assert command.startswith(f"checkout {parse(command, whole=True)}")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [({"ok": True}, 0), ({"ok": False}, 1), (Stuck("no"), 1), (CommandError("no"), 2), (Ended(2), 130)],
)
def test_exit_codes(monkeypatch: pytest.MonkeyPatch, outcome: Any, code: int) -> None:
    def run(*_args: object, **_options: object) -> dict[str, Any]:
        if isinstance(outcome, Exception):
            raise outcome
        return dict(outcome)

    monkeypatch.setattr(scripts.demo, "run", run)
    assert CliRunner().invoke(scripts.demo.app, []).exit_code == code


def test_keep_needs_a_server_to_keep_the_database_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # where no `.env` is
    done = CliRunner().invoke(scripts.demo.app, ["--keep"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "--keep keeps the database on a server of yours: set DATABASE_URL first.\n"
