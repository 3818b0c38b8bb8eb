"""Groups of a batch: attempts without a commit make them smaller, and no transaction has too many lines."""

from collections.abc import Sequence
from dataclasses import fields
from itertools import chain
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.checkouts.batch import LockedCheckout, split_by_attempts


def make(*attempts: int, lines: Sequence[int] = ()) -> list[LockedCheckout]:
    nothing: dict[str, Any] = dict.fromkeys((field.name for field in fields(LockedCheckout)), None)
    return [
        LockedCheckout(
            **nothing | {"id": UUID(int=number), "attempts": each, "line_count": lines[number] if lines else 1}
        )
        for number, each in enumerate(attempts)
    ]


def divide(
    checkouts: list[LockedCheckout], most_lines: int | None
) -> tuple[list[int], list[list[int]], list[list[int]]]:
    parts = split_by_attempts(checkouts, most_lines)
    return (
        [each.id.int for each in parts.now],
        [[id_.int for id_ in group] for group in parts.again],
        [[id_.int for id_ in group] for group in parts.heavy],
    )


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
@pytest.mark.parametrize("most_lines", [None, 1000])
def test_groups_by_attempts(attempts: tuple[int, ...], sizes: list[int], most_lines: int | None) -> None:
    now, again, heavy = divide(make(*attempts), most_lines)
    assert [len(group) for group in ([now] if now else [])] + [len(group) for group in again] == sizes
    assert sorted([*now, *chain(*again)]) == list(range(len(attempts)))
    assert heavy == []


@pytest.mark.parametrize(
    ("lines", "now", "again", "heavy"),
    [
        # What fits in one transaction goes in one, in the order of the ids.
        ((5, 1, 4), [0, 1, 2], [], []),
        # A large one may yield even when it is alone: another thread may work on such groups.
        ((70,), [], [], [[0]]),
        # The small ones first; the large ones by age, one at a time, all of them heavy.
        ((8, 1, 9, 2), [1, 3], [], [[0], [2]]),
        ((7, 8, 9), [], [], [[0], [1], [2]]),
        ((6, 1, 2), [1, 2], [], [[0]]),
        # Whatever has more than a whole transaction may have goes alone.
        ((70, 1, 1, 80), [1, 2], [], [[0], [3]]),
        # Many small ones are a lot of work too: the first transaction's worth goes now, the others may yield.
        ((3,) * 10, [0, 1, 2], [[9]], [[3, 4, 5], [6, 7, 8]]),
        # Empty carts weigh nothing.
        ((0,) * 50, list(range(50)), [], []),
    ],
)
def test_groups_by_lines(
    lines: tuple[int, ...], now: list[int], again: list[list[int]], heavy: list[list[int]]
) -> None:
    assert divide(make(*(0,) * len(lines), lines=lines), 10) == (now, again, heavy)


def test_large_checkouts_that_raised_before_yield_too() -> None:
    # Given three that left no trace once, and one that never ran
    checkouts = make(1, 0, 1, 1, lines=(9, 1, 1, 8))
    # Then the new one goes first, the small one next, the large ones when no message waits
    assert divide(checkouts, 10) == ([1], [[2]], [[0], [3]])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30))), st.integers(1, 20))
def test_no_checkout_is_left_out_and_no_group_is_too_large(batch: list[tuple[int, int]], most_lines: int) -> None:
    checkouts = make(*(attempts for attempts, _ in batch), lines=[lines for _, lines in batch])
    now, again, heavy = divide(checkouts, most_lines)
    groups = [*([now] if now else []), *again, *heavy]
    assert sorted(chain(*groups)) == list(range(len(checkouts)))
    assert all(group == sorted(group) for group in groups)
    assert all(len(group) == 1 or sum(batch[each][1] for each in group) <= most_lines for group in groups)
    # Of the heavy ones the oldest comes first, so that none is passed over for good.
    assert heavy == sorted(heavy)
    # Each is one transaction when it comes again.
    for group in groups:
        assert divide([checkouts[each] for each in group], None) == (group, [], [])
