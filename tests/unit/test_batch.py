"""Who goes on together: what leaves no trace takes ever fewer along."""

from dataclasses import fields
from uuid import UUID

import pytest

from pipeline.batch import Member, part


def make(*attempts: int) -> list[Member]:
    nothing = dict.fromkeys((field.name for field in fields(Member)), None)
    return [Member(**nothing | {"id": UUID(int=number), "attempts": each}) for number, each in enumerate(attempts)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("attempts", "sizes"),
    [
        ((), []),
        ((0,) * 64, [64]),
        ((4,), [1]),
        ((1,) * 16, [16]),
        ((1,) * 40, [16, 16, 8]),
        ((2,) * 6, [4, 2]),
        ((3, 4, 9), [1, 1, 1]),
        ((0, 3, 0, 1, 2, 0), [3, 1, 1, 1]),
    ],
)
def test_groups_by_attempts(attempts: tuple[int, ...], sizes: list[int]) -> None:
    members = make(*attempts)
    now, again = part(members)
    assert [len(group) for group in ([now] if now else [])] + [len(group) for group in again] == sizes
    assert sorted([each.id for each in now] + [id_ for group in again for id_ in group]) == [
        each.id for each in members
    ]


def test_a_group_goes_on_whole_when_it_comes_again() -> None:
    members = make(*(1,) * 40)
    _, again = part(members)
    for group in again:
        assert part([each for each in members if each.id in group])[1] == []
