"""`bench`: its parts, ratios and copies."""

import re
from uuid import UUID

import pytest
from typer.testing import CliRunner

from models.money import Money
from models.states import PaymentStatus
from pipeline.gateways.gateway import Call, Succeeded
from scripts import bench
from scripts.benchmarks.bank import AgreeingBank
from scripts.benchmarks.buyers import Plan
from scripts.benchmarks.copies import Spread, vary
from scripts.benchmarks.over_http import summarize


def test_an_unknown_part_is_refused_before_anything_starts() -> None:
    result = CliRunner().invoke(bench.app, ["--only", "throughput,sideways"])
    assert result.exit_code == 2
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", result.output).split())
    assert f"There is no part sideways; there are {', '.join(bench.PARTS)}." in said


def test_the_json_report_has_these_ratios() -> None:
    names = "vs_empty_chain vs_dramatiq vs_celery vs_dbos_steps hot_vs_uniform idle_vs_empty_chain growth"
    names += " sweep_growth monitor_growth memory_growth"
    assert set(names.split()) <= set(bench.RATIOS)


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


def test_a_round_over_http_is_told_in_milliseconds_for_each_purchase() -> None:
    plan = Plan(port=1, api_key="k", purchases=4, variants=1, buyers=2)
    report = {"seconds": 2.0, "milliseconds": [40.0, 10.0, 30.0, 20.0], "others": {}}
    used = {
        "web": 0.04,
        "postgres": 0.02,
        "price_lock": 0.01,
        "payment_capture": 0.008,
        "sweep": 0.002,
        "commits": 52.0,
    }
    assert dict(summarize(plan, report, used)) == {
        "per_second": 2.0,
        "p50_ms": 30.0,
        "p95_ms": 40.0,
        "p99_ms": 40.0,
        "commits": 13.0,
        "cpu_ms": pytest.approx(20.0),
        "web_cpu_ms": 10.0,
        "postgres_cpu_ms": 5.0,
        "valkey_cpu_ms": 0.0,
        "calling_cpu_ms": 2.0,
        "phases_cpu_ms": 2.5,
    }
