"""`checkout sizing`: the arithmetic, to the last process, and what it does not reckon with."""

import json
import re
from datetime import date
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipeline.saga import get_chain
from scripts import sizing
from scripts.capacity.costs import HTTP, RUSH, Costs
from scripts.capacity.plan import Peak, make_plan
from scripts.environments.fleet import read_procfile
from scripts.terminal.output import Screen

DOCS = Path(__file__).resolve().parents[3] / "docs" / "scaling.md"
COSTS = Costs(
    date(2026, 1, 1),
    {"cart_validation": 0.7, "payment_authorization": 0.35, "payment_capture": 0.35, "web": 1.4},
    postgres_ms=0.7,
    valkey_ms=0.07,
    wal_bytes=1000,
)


def build_app() -> typer.Typer:
    """Return the command as an application."""
    app = typer.Typer()
    app.command()(sizing.main)
    return app


def test_a_peak_is_carried_by_so_much() -> None:
    # Given 2,000 a second, and calls of 0.4 s: 1,600 are in flight, and a process may have 32
    plan = make_plan(Peak(2000, 0.4), COSTS)
    # Then
    assert {name: plan.processes[name] for name in COSTS.lines_ms} == {
        "cart_validation": 2,
        "payment_authorization": 25,
        "payment_capture": 25,
        "web": 4,
    }
    assert plan.processes["sweep"] == plan.processes["scheduler"] == 1
    assert plan.calls_in_flight == 1600
    assert (round(plan.worker_cores, 9), round(plan.postgres_cores, 9), round(plan.valkey_cores, 9)) == (8, 2, 0.2)
    assert plan.connections == (2 + 25 + 25 + 7) * 5 + 4 * 8
    assert plan.worker_megabytes == (2 + 25 + 25 + 4 + 7) * 116
    assert (plan.wal_bytes_per_second, plan.cells, plan.bound_by) == (2_000_000, 1, "Valkey")


def test_each_host_has_every_process() -> None:
    plan = make_plan(Peak(1, 0.1, hosts=3), COSTS)
    assert set(plan.processes.values()) == {3}


@pytest.mark.parametrize(("per_second", "cells"), [(10_000, 1), (10_001, 2), (25_000, 3)])
def test_beyond_one_engine_there_are_cells(per_second: int, cells: int) -> None:
    assert make_plan(Peak(per_second, 0.1), COSTS).cells == cells


def test_what_ends_first_is_named() -> None:
    thrifty = Costs(COSTS.measured_on, COSTS.lines_ms, postgres_ms=70, valkey_ms=0.07, wal_bytes=1)
    assert make_plan(Peak(10, 0.1), thrifty).bound_by == "PostgreSQL"


@pytest.mark.parametrize(
    ("given", "per_second"), [("2000/s", 2000), ("2000", 2000), ("600/min", 10), ("7200/h", 2), (" 0.5/s ", 0.5)]
)
def test_a_peak_is_read(given: str, per_second: float) -> None:
    assert sizing.read_peak(given) == per_second


@pytest.mark.parametrize("given", ["", "many", "-1/s", "0/s", "1/d", "1e3/s", "100001/s", "NaN", "1,000/s", "9" * 400])
def test_another_peak_is_refused(given: str) -> None:
    result = CliRunner().invoke(build_app(), [f"--peak={given}"])
    assert result.exit_code == 2
    assert "it must be a rate such as 2000/s" in re.sub(r"[\s│]+", " ", result.output)


def test_a_path_that_does_not_exist_is_refused() -> None:
    result = CliRunner().invoke(build_app(), ["--peak", "1/s", "--over", "pigeon"])
    assert (result.exit_code, "it must be http or queue." in result.output) == (2, True)


def test_json_has_the_same_figures() -> None:
    result = CliRunner().invoke(build_app(), ["--peak", "2000/s", "--bank-ms", "400", "--over", "queue", "--json"])
    plan = make_plan(Peak(2000, 0.4), RUSH)
    found = json.loads(result.output)
    assert (found["processes"], found["connections"]) == (dict(plan.processes), plan.connections)
    assert not Screen().is_terminal or result.exit_code == 0


def test_the_document_shows_what_the_command_prints() -> None:
    printed = CliRunner().invoke(build_app(), ["--peak", "2000/s", "--bank-ms", "400"]).output
    [block] = re.findall(r"```text\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert [each.split() for each in block.splitlines()] == [each.split() for each in printed.splitlines()]


def test_every_line_has_its_cost() -> None:
    assert set(RUSH.lines_ms) == {phase.name for phase in get_chain()}
    assert set(HTTP.lines_ms) <= set(read_procfile(with_web=True))
    assert set(RUSH.lines_ms) <= set(read_procfile())


def test_the_document_has_the_costs_with_which_it_reckons() -> None:
    rows = dict(re.findall(r"^\| `?(\w+)`? \| ([\d.]+ \| [\d.]+) \|$", DOCS.read_text(), re.MULTILINE))
    for name, milliseconds in HTTP.lines_ms.items():
        assert rows[name] == f"{RUSH.lines_ms.get(name, 0):.2f} | {milliseconds:.2f}"
    assert rows["PostgreSQL"] == f"{RUSH.postgres_ms:.2f} | {HTTP.postgres_ms:.2f}"
    assert rows["Valkey"] == f"{RUSH.valkey_ms:.2f} | {HTTP.valkey_ms:.2f}"
