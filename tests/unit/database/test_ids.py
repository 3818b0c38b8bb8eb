"""A UUIDv7 has its time in its first 48 bits: how to make the first one of a moment, and how to read its age."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from pipeline.database.ids import first_id, read_age_seconds

MADE = UUID(int=(0x0193_0000_0000 << 80) | (7 << 76) | (2 << 62) | 12345)
MADE_AT = 0x0193_0000_0000 / 1000


@pytest.mark.parametrize(
    ("id_", "now", "age_seconds"),
    [
        (MADE, MADE_AT, 0),
        (MADE, MADE_AT + 1.5, 1.5),
        (MADE, MADE_AT - 60, 0),  # its maker's clock is ahead
        (uuid4(), None, 0),  # a caller's own id says nothing
    ],
)
def test_the_age_of_an_id(id_: UUID, now: float | None, age_seconds: float) -> None:
    assert read_age_seconds(id_, now) == pytest.approx(age_seconds)


def test_an_id_that_was_just_made_is_young() -> None:
    assert 0 <= read_age_seconds(uuid7()) < 60


def test_the_first_id_of_a_moment_is_before_all_others_of_it() -> None:
    at = datetime.fromtimestamp(MADE_AT, UTC)

    assert first_id(at) <= MADE < first_id(at + timedelta(milliseconds=1))
