"""Scripts that need phases of a kind ask the chain: another list of phases is one change."""

from typing import Any, cast

import pytest

from pipeline.saga import CHAIN
from pipeline.saga.chain import link
from scripts.benchmarks.rounds import BANK_SECONDS, UNITS_SIZE, measure_units
from scripts.benchmarks.runner import BenchmarkRunner
from scripts.demonstration.story import choose_victim
from scripts.faults.place import choose_twins


class CountingRunner:
    """A runner that runs nothing: it counts its rounds, and records how many units each phase would have."""

    def __init__(self) -> None:
        self.rounds: list[dict[str, Any]] = []

    def measure_rate(self, **given: Any) -> float:
        self.rounds.append(given)
        return float(len(self.rounds))


def read_scales() -> list[dict[str, int]]:
    """Return the units of each round of the benchmark."""
    runner = CountingRunner()
    assert list(measure_units(cast("BenchmarkRunner", runner))) == [
        ("units_1_per_second", 1.0),
        ("units_2_per_second", 2.0),
    ]
    assert {(each["size"], each["bank_seconds"]) for each in runner.rounds} == {(UNITS_SIZE, BANK_SECONDS)}
    return [each["scale"] for each in runner.rounds]


def test_they_choose_by_what_a_phase_does() -> None:
    assert choose_twins() == {"inventory_reservation": 2, "payment_authorization": 2, "payment_capture": 2}
    assert choose_victim() == "payment_authorization"
    assert read_scales() == [{"payment_authorization": n, "payment_capture": n} for n in (1, 2)]


def test_of_another_chain_they_choose_other_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    by_name = {phase.name: phase for phase in CHAIN}
    names = ("cart_validation", "order_creation", "payment_capture", "stock_commit")
    monkeypatch.setattr("pipeline.saga.chain.CHAIN", link(*(by_name[name] for name in names)))
    assert choose_twins() == {"order_creation": 2, "payment_capture": 2}
    assert choose_victim() == "payment_capture"
    assert read_scales() == [{"payment_capture": 1}, {"payment_capture": 2}]
