"""The pause between two batches: a share of what a checkout takes anyway, and nothing for one alone."""

import pytest

from workers.broker.pace import MOST_SECONDS, Pace


@pytest.mark.parametrize(
    ("share", "ages", "pause"),
    [
        (0.2, [0.05], 0.01),
        (0.2, [0.1, 0.3, 0.2], 0.04),  # the one in the middle
        (0.2, [0.1, 3600.0, 0.1], 0.02),  # one that waited for its buyer delays nobody
        (0.2, [3600.0], MOST_SECONDS),
        (1.0, [0.05], 0.05),
        (0.0, [3600.0], 0.0),
        (0.2, [], 0.0),
    ],
)
def test_the_pause_after_a_batch(share: float, ages: list[float], pause: float) -> None:
    # Given
    now = [50.0]
    pace = Pace(share, clock=lambda: now[0])
    assert pace.left_seconds() <= 0
    # When
    pace.begin(ages)
    # Then it counts from the beginning of the batch
    assert pace.left_seconds() == pytest.approx(pause)
    now[0] += pause
    assert pace.left_seconds() == pytest.approx(0)
    now[0] += 1
    assert pace.left_seconds() == pytest.approx(-1)
