"""The machine's own speed: a fixed piece of work of one core, measured before each round and after the last one.

A shared or throttled machine gets faster and slower by itself. Then only figures of the same round may be compared.
"""

import time
from collections.abc import Sequence
from typing import Final

#: Takes about 0.2 s on a core of 2020.
STEPS: Final = 3_000_000
#: Ratios of figures hold within a few percent; a speed that moves by more than a fifth is visible in all of them.
MOST_MOVED: Final = 1.2


def measure_speed() -> float:
    """Return the millions of steps a second; in elapsed time, so that other work on the machine counts."""
    began = time.perf_counter()
    total = 0
    for number in range(STEPS):
        total += number & 7
    return STEPS / 1e6 / (time.perf_counter() - began)


def compare_speeds(speeds: Sequence[float]) -> float:
    """Return the highest speed in relation to the lowest one."""
    return max(speeds) / min(speeds)


def warn(speeds: Sequence[float]) -> str | None:
    """Return a warning when the speed moved by more than a fifth."""
    if (moved := compare_speeds(speeds)) <= MOST_MOVED:
        return None
    return (
        f"The machine's speed moved by a factor of {moved:.2f} during this run, from {min(speeds):.1f} to"
        f" {max(speeds):.1f} million steps a second: read only ratios of the same round."
    )
