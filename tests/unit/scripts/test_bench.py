"""`bench`: its parts, ratios and copies."""

import re
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner

from models.money import Money
from models.states import PaymentStatus
from pipeline.gateways.gateway import Call, Succeeded
from scripts import bench
from scripts.benchmarks.bank import AgreeingBank
from scripts.benchmarks.copies import Spread, vary
from scripts.benchmarks.http_round import summarize_durations, summarize_processes
from scripts.benchmarks.over_http import QUICK_PURCHASES, list_kinds
from scripts.benchmarks.report import RATIOS


def test_an_unknown_part_is_refused_before_anything_starts() -> None:
    result = CliRunner().invoke(bench.app, ["--only", "throughput,sideways"])
    assert result.exit_code == 2
    sentence = f"There is no part sideways; there are {', '.join(bench.PARTS)}."
    assert sentence in read_sentence(result.output)


def test_the_json_report_has_these_ratios() -> None:
    names = "vs_empty_chain vs_dramatiq vs_celery vs_dbos_steps hot_vs_uniform idle_vs_empty_chain growth"
    names += " sweep_growth monitor_growth memory_growth"
    assert set(names.split()) <= set(RATIOS)


def test_a_copy_differs_in_its_ids_and_its_times_alone() -> None:
    def spell(table: str, column: str, kind: str) -> str:
        return vary(table, column, kind, f"t.{column}", "copy")

    assert spell("orders", "id", "uuid").startswith("CAST('00000000-0000-7000-8000-'")
    assert spell("events", "checkout_id", "uuid").startswith("CAST('c0000000-0000-7000-8000-'")
    assert spell("order_lines", "order_id", "uuid").startswith("CAST('00000000-0000-7000-8000-'")
    assert spell("events", "at", "timestamp with time zone") == "t.at - copy * interval '30000 ms'"
    id_ = vary("events", "checkout_id", "uuid", "", "2", Spread(0x0193_0000_0000, 500))
    millis = f"lpad(to_hex({0x0193_0000_0000} - CAST(2 AS bigint) * 500), 12, '0')"
    assert id_ == f"CAST({millis} || '7c008000' || lpad(to_hex(2), 12, '0') AS uuid)"
    key = spell("payment_operations", "idempotency_key", "text")
    assert key.startswith("CAST('c0000000-")
    assert key.endswith(" || substr(t.idempotency_key, 37)")
    assert spell("orders", "total_minor", "bigint") == "t.total_minor"
    assert spell("checkouts", "reference", "text") == "t.reference"
    assert spell("payments", "reference", "text") == "t.reference || '-' || copy"


def test_a_bank_that_agrees_names_its_object_after_the_checkout() -> None:
    bank = AgreeingBank()
    call = Call(checkout_id=UUID(int=1), key="k", amount=Money(5, "EUR"), token="t", reference=None)
    agreed = f"agreed_{UUID(int=1)}"
    assert bank.open(call) == Succeeded(agreed, PaymentStatus.OPEN)
    assert bank.authorize(call) == Succeeded(agreed, PaymentStatus.AUTHORIZED)
    assert bank.capture(call) == Succeeded(agreed, PaymentStatus.CAPTURED)


def test_the_durations_of_a_round_are_ranked() -> None:
    report = {"seconds": 2.0, "milliseconds": [40.0, 10.0, 30.0, 20.0], "others": {}}
    assert dict(summarize_durations(report)) == {"per_second": 2.0, "p50_ms": 30.0, "p95_ms": 40.0, "p99_ms": 40.0}


def test_processor_time_is_in_milliseconds_for_each_purchase() -> None:
    used = {"web": 0.04, "postgres": 0.02, "price_lock": 0.01, "payment_capture": 0.008, "sweep": 0.002}
    assert dict(summarize_processes(used, 4, list_kinds())) == {
        "cpu_ms": pytest.approx(20.0),
        "web_cpu_ms": 10.0,
        "postgres_cpu_ms": 5.0,
        "valkey_cpu_ms": 0.0,
        "calling_cpu_ms": 2.0,
        "phases_cpu_ms": 2.5,
    }


def test_a_quick_run_is_one_small_round_with_buyers_over_http() -> None:
    none = {"only": None, "rounds": None, "size": None}
    assert bench.choose(**none, is_quick=False) == bench.Choice(["throughput", "idle"], 3, 3000, is_quick=False)
    assert bench.choose(**none, is_quick=True) == bench.Choice(["throughput", "idle", "http"], 1, 500, is_quick=True)
    assert list(QUICK_PURCHASES) == [1, 20]


def test_what_is_given_precedes_what_is_quick() -> None:
    chosen = bench.choose(only="http, idle", rounds=2, size=10, is_quick=True)
    assert chosen == bench.Choice(["http", "idle"], 2, 10, is_quick=True)


@pytest.mark.parametrize(
    ("only", "place", "sentence"),
    [
        ("idle", "plot.svg", "--plot draws what these parts measure: http"),
        ("http", "missing/plot.svg", "--plot needs a file in a folder that exists"),
        ("http", ".", "--plot needs a file in a folder that exists"),
    ],
)
def test_a_plot_that_cannot_be_is_refused_before_anything_starts(
    only: str, place: str, sentence: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(bench.app, ["--only", only, "--plot", str(tmp_path / place)])
    assert result.exit_code == 2
    assert sentence in read_sentence(result.output)
    assert list(tmp_path.iterdir()) == []


def read_sentence(output: str) -> str:
    """Return what typer has put into a box."""
    return " ".join(re.sub("[│╭╮╰╯─]", " ", output).split())
