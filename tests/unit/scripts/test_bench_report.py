"""The report of `bench`: ratios of the same round, and the machine's speed."""

import pytest

from scripts.benchmarks.machine_speed import compare_speeds, measure_speed, warn
from scripts.benchmarks.report import RATIOS, Report


def test_a_ratio_is_that_of_figures_of_one_round() -> None:
    # Given a machine that is four times as slow in the second of two rounds
    report = Report(speeds=[10.0, 9.0, 2.5])
    for uniform, http in ((400.0, 100.0), (100.0, 25.0)):
        report.rounds.append({})
        report.add("uniform_per_second", uniform)
        report.add("http_100_per_second", http)
    # When
    told = report.to_json()
    # Then
    assert told["figures"] == {"uniform_per_second": [400.0, 100.0], "http_100_per_second": [100.0, 25.0]}
    assert told["medians"] == {"uniform_per_second": 250.0, "http_100_per_second": 62.5}
    assert told["ratios"] == {"http_100_vs_backlog": 0.25}
    assert told["ratios_by_round"] == {"http_100_vs_backlog": [0.25, 0.25]}
    assert told["machine_speed"] == [10.0, 9.0, 2.5]
    assert told["machine_speed_moved"] == 4.0
    assert (told["idle_p50_ms"], told["audit_violations"]) == (None, 0)


def test_a_figure_that_two_parts_measure_counts_with_its_median() -> None:
    report = Report(rounds=[{}], speeds=[1.0])
    for value in (300.0, 500.0):
        report.add("uniform_per_second", value)
    report.add("http_100_per_second", 100.0)
    assert report.ratios == {"http_100_vs_backlog": [0.25]}
    assert report.medians["uniform_per_second"] == 400.0


def test_a_round_without_one_of_both_figures_has_no_ratio() -> None:
    report = Report(rounds=[{"http_100_per_second": [100.0]}, {"uniform_per_second": [400.0]}])
    assert report.ratios == {}


def test_the_ratios_of_http_have_these_figures() -> None:
    assert {name: RATIOS[name] for name in RATIOS if name.startswith("http_")} == {
        "http_100_vs_backlog": ("http_100_per_second", "uniform_per_second"),
        **{f"http_{n}_vs_floor": (f"http_{n}_per_second", f"http_floor_{n}_per_second") for n in (1, 20, 100, 500)},
        "http_16_vs_vendure_flow": ("http_16_per_second", "vendure_flow_16_per_second"),
        "http_16_vs_vendure_completing": ("http_16_per_second", "vendure_completing_16_per_second"),
    }


@pytest.mark.parametrize("speeds", [[10.0], [10.0, 12.0], [12.0, 11.0, 10.0]])
def test_a_speed_that_moves_by_a_fifth_is_no_warning(speeds: list[float]) -> None:
    assert warn(speeds) is None


def test_a_speed_that_moves_by_more_is_a_warning() -> None:
    assert compare_speeds([10.0, 12.5, 11.0]) == 1.25
    assert warn([10.0, 12.5, 11.0]) == (
        "The machine's speed moved by a factor of 1.25 during this run, from 10.0 to 12.5 million steps a second:"
        " read only ratios of the same round."
    )


def test_the_speed_is_measured() -> None:
    assert measure_speed() > 0
