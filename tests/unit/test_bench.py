"""`bench`: its parts, and what there is not."""

import re

from typer.testing import CliRunner

from scripts import bench


def test_a_part_that_there_is_not_is_refused_before_anything_starts() -> None:
    result = CliRunner().invoke(bench.app, ["--only", "throughput,sideways"])
    assert result.exit_code == 2
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", result.output).split())
    assert "There is no part sideways; there are throughput, idle, units, stalls." in said


def test_every_ratio_is_of_figures_that_are_measured_in_one_part() -> None:
    for name, pair in bench.RATIOS.items():
        assert [part for part, figures in bench.PARTS.items() if set(pair) <= set(figures)], name
