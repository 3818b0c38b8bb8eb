"""The format of the monitor's figures."""

import pytest

from workers.overview import format_seconds


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (None, "-"),
        (0, "0.00s"),
        (0.414, "0.41s"),
        (9.99, "9.99s"),
        (12.4, "12s"),
        (59.4, "59s"),
        (59.7, "1m00s"),
        (60, "1m00s"),
        (200, "3m20s"),
        (3599, "59m59s"),
        (7500, "2h05m"),
        (360_000, "100h00m"),
    ],
)
def test_times_are_one_short_word(seconds: float | None, written: str) -> None:
    assert format_seconds(seconds) == written
