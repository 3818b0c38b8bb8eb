"""The plot of `bench --plot`: what is drawn, escaped text, and nothing to draw."""

from xml.etree import ElementTree

import pytest

from scripts.benchmarks.svg_plot import Panel, collect, draw, find_decades, find_ticks

FIGURES = {
    "http_1_per_second": 10.0,
    "http_100_per_second": 100.0,
    "http_1_p95_ms": 50.0,
    "http_100_p95_ms": 1000.0,
    "http_floor_100_per_second": 200.0,
    "vendure_flow_16_per_second": 5.0,
    "http_1_p50_ms": 40.0,
    "http_open_p95_ms": 60.0,
    "uniform_per_second": 300.0,
}


def read_texts(svg: str) -> list[str]:
    """Return the texts of a drawing, which is well-formed."""
    return [each.text or "" for each in parse(svg).iter("{http://www.w3.org/2000/svg}text")]


def parse(svg: str) -> ElementTree.Element:
    """Return the root of a drawing."""
    return ElementTree.fromstring(svg)  # noqa: S314 (drawn here)


def test_the_figures_of_buyers_are_collected() -> None:
    assert collect(FIGURES) == [
        Panel(
            "purchases a second",
            {
                "the engine": {1: 10.0, 100: 100.0},
                "one transaction, by hand": {100: 200.0},
                "Vendure, the whole flow": {16: 5.0},
            },
        ),
        Panel("p95, milliseconds", {"the engine": {1: 50.0, 100: 1000.0}}, is_logarithmic=True),
    ]


def test_each_point_has_its_place() -> None:
    svg = draw("Title", "note", collect({"http_1_per_second": 50.0, "http_100_per_second": 100.0}))
    # The ticks of the rate are 0, 20 ... 100; buyers begin and end twelve pixels from the edges of the panel.
    assert '<polyline points="82.0,216.0 428.0,92.0"' in svg
    assert read_texts(svg) == [
        *("Title", "note", "purchases a second", "0", "20", "40", "60", "80", "100", "1", "100"),
        *("buyers at the same time", "p95, milliseconds: there are no figures.", "the engine"),
    ]


def test_numbers_of_buyers_that_are_near_stand_in_two_rows() -> None:
    svg = draw("", "", [Panel("rate", {"one": {1: 1.0, 16: 1.0, 20: 1.0, 500: 1.0}})])
    rows = {each.text: each.get("y") for each in parse(svg).iter() if each.text in {"16", "20", "500"}}
    assert rows == {"16": "358.0", "20": "372.0", "500": "358.0"}


def test_text_is_escaped() -> None:
    name = 'a <b> & "c"'
    svg = draw(name, name, [Panel(name, {name: {1: 1.0}})])
    assert read_texts(svg).count(name) == 4
    assert parse(svg).get("aria-label") == name
    assert "<b>" not in svg


def test_no_figures_are_said_to_be_none() -> None:
    assert read_texts(draw("Title", "note", collect({}))) == [
        "Title",
        "note",
        "There are no figures of buyers over HTTP.",
    ]


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [(7.0, [0, 2, 4, 6, 8]), (0.9, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (120.0, [0, 25, 50, 75, 100, 125])],
)
def test_ticks_are_round_values(highest: float, ticks: list[float]) -> None:
    assert find_ticks(highest) == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("lowest", "highest", "ticks"),
    [(9.0, 4100.0, [1, 10, 100, 1000, 10000]), (10.0, 10.0, [10, 100]), (50.0, 90.0, [10, 100])],
)
def test_decades_are_below_and_above(lowest: float, highest: float, ticks: list[float]) -> None:
    assert find_decades(lowest, highest) == ticks
