"""Draws rates and durations against the number of buyers, as one SVG that loads nothing from outside.

Two panels stand side by side: purchases a second, and p95. Buyers have a logarithmic axis, since a run measures 1, 20,
100 and 500 of them, and so have durations, which grow with the buyers.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

#: The figures that are drawn, by name: what served the buyers, how many there were, what was measured.
FIGURE: Final = re.compile(r"(?P<served>[a-z_]+?)_(?P<buyers>\d+)_(?P<what>per_second|p95_ms)")
LABELS: Final[Mapping[str, str]] = {
    "http": "the engine",
    "http_two_steps": "the engine, in two steps",
    "http_floor": "one transaction, by hand",
    "vendure_flow": "Vendure, the whole flow",
    "vendure_completing": "Vendure, completing calls",
}
#: Colours that remain distinct for colour-blind readers (Okabe and Ito), darkest first.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a5c00", "#333333")
WIDTH, HEIGHT = 960, 430
TOP, BOTTOM, PANEL, GAP = 92.0, 340.0, 370.0, 100.0
LEFT: Final = 70.0
TICKS: Final = 5
#: Numbers of buyers that are nearer to each other stand in two rows.
NEAR: Final = 22.0

Points = dict[int, float]


@dataclass(frozen=True, slots=True)
class Panel:
    """One drawing: its heading, and the points of each series by the number of buyers."""

    heading: str
    series: Mapping[str, Points]
    is_logarithmic: bool = False


def collect(medians: Mapping[str, float]) -> list[Panel]:
    """Return both panels from the figures of a run."""
    found: dict[str, dict[str, Points]] = {"per_second": {}, "p95_ms": {}}
    for name, value in medians.items():
        if (match := FIGURE.fullmatch(name)) and match["served"] in LABELS:
            label = LABELS[match["served"]]
            found[match["what"]].setdefault(label, {})[int(match["buyers"])] = value
    rates, durations = found["per_second"], found["p95_ms"]
    return [Panel("purchases a second", rates), Panel("p95, milliseconds", durations, is_logarithmic=True)]


def draw(title: str, note: str, panels: Sequence[Panel]) -> str:
    """Return the SVG; where there is no point at all, it says so."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.series))
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        f' role="img" aria-label="{escape(title)}" font-family="sans-serif" font-size="13" fill="#222">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _write(LEFT, 30, title, 'font-size="18" font-weight="bold"'),
        _write(LEFT, 50, note, 'fill="#555"'),
    ]
    if not names:
        parts.append(_write(LEFT, 120, "There are no figures of buyers over HTTP."))
    for number, panel in enumerate(panels if names else ()):
        parts += _draw_panel(panel, LEFT + number * (PANEL + GAP), colours)
    parts += _draw_legend(colours)
    return "\n".join((*parts, "</svg>", ""))


def find_ticks(highest: float) -> list[float]:
    """Return round values from zero to at least `highest`, which is above zero."""
    rough = highest / TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    return [step * number for number in range(math.ceil(highest / step) + 1)]


def find_decades(lowest: float, highest: float) -> list[float]:
    """Return the powers of ten from below `lowest` to above `highest`, two at least."""
    first = math.floor(math.log10(lowest))
    return [10.0**power for power in range(first, max(first + 1, math.ceil(math.log10(highest))) + 1)]


def _draw_panel(panel: Panel, left: float, colours: Mapping[str, str]) -> list[str]:
    points = [point for series in panel.series.values() for point in series.items()]
    if not points:
        return [_write(left, TOP, f"{panel.heading}: there are no figures.")]
    values = [value for _, value in points]
    scale: Callable[[float], float] = math.log10 if panel.is_logarithmic else float
    ticks = find_decades(min(values), max(values)) if panel.is_logarithmic else find_ticks(max(values))
    numbers = sorted({buyers for buyers, _ in points})
    low, high = math.log10(numbers[0]), math.log10(numbers[-1])

    def place(buyers: int, value: float) -> tuple[float, float]:
        share = 0.5 if low == high else (math.log10(buyers) - low) / (high - low)
        height = (scale(value) - scale(ticks[0])) / (scale(ticks[-1]) - scale(ticks[0]))
        return left + 12 + share * (PANEL - 24), BOTTOM - height * (BOTTOM - TOP)

    parts = [_write(left, TOP - 14, panel.heading, 'font-weight="bold"')]
    for tick in ticks:
        y = place(numbers[0], tick)[1]
        parts.append(f'<path d="M{left:.1f} {y:.1f}h{PANEL}" stroke="#ddd"/>')
        parts.append(_write(left - 8, y + 4, f"{tick:,.10g}", 'text-anchor="end"'))
    parts.append(f'<path d="M{left:.1f} {TOP}V{BOTTOM}h{PANEL}" stroke="#222" fill="none"/>')
    last, row = -NEAR, 0
    for buyers in numbers:
        x = place(buyers, ticks[0])[0]
        last, row = x, 1 - row if x - last < NEAR else 0
        parts.append(f'<path d="M{x:.1f} {BOTTOM}v5" stroke="#222"/>')
        parts.append(_write(x, BOTTOM + 18 + 14 * row, str(buyers), 'text-anchor="middle"'))
    parts.append(_write(left + PANEL / 2, BOTTOM + 48, "buyers at the same time", 'text-anchor="middle"'))
    for name, series in panel.series.items():
        places = [place(buyers, series[buyers]) for buyers in sorted(series)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{line}" stroke="{colours[name]}" stroke-width="2.5" fill="none"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colours[name]}"/>' for x, y in places]
    return parts


def _draw_legend(colours: Mapping[str, str]) -> list[str]:
    parts, x = [], LEFT
    for name, colour in colours.items():
        parts.append(f'<circle cx="{x + 6:.1f}" cy="{HEIGHT - 18}" r="5" fill="{colour}"/>')
        parts.append(_write(x + 16, HEIGHT - 14, name))
        x += 34 + 6.6 * len(name)
    return parts


def _write(x: float, y: float, content: str, look: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{" " * bool(look)}{look}>{escape(content)}</text>'
