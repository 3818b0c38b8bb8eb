"""The pause between two batches: a share of what a checkout takes anyway, and nothing for one alone."""

from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from workers.broker.pace import MOST_SECONDS, Pace, read_age_seconds


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


def test_the_age_of_an_id_is_in_it() -> None:
    made = UUID(int=(0x0193_0000_0000 << 80) | (7 << 76) | (2 << 62) | 12345)
    at = 0x0193_0000_0000 / 1000

    assert read_age_seconds(str(made), at) == 0
    assert read_age_seconds(str(made), at + 1.5) == pytest.approx(1.5)
    assert read_age_seconds(str(made), at - 60) == 0  # its maker's clock is ahead
    assert read_age_seconds(str(uuid4())) == 0  # a caller's own id says nothing
    assert 0 <= read_age_seconds(str(uuid7())) < 60
