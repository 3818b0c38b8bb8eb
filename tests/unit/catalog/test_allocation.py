"""Who gets which units from where."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalog.allocation import Allocation, Level, Shelf, Short, Want

ANN, BOB, CAT = UUID(int=1), UUID(int=2), UUID(int=3)
NORTH, SOUTH, WEST = 1, 2, 3
CUP, POT = 10, 20


def level(location: int, free: int, *, variant: int = CUP, unlimited: bool = False) -> Level:
    return Level(variant, location, free, unlimited)


def want(quantity: int, *, line: int = 1, variant: int = CUP) -> Want:
    return Want(line, variant, "cup" if variant == CUP else "pot", quantity)


def allocate(who: UUID, location: int, quantity: int, *, line: int = 1, variant: int = CUP) -> Allocation:
    return Allocation(who, line, variant, location, quantity)


def test_the_first_location_with_enough_serves_a_whole_line() -> None:
    shelf = Shelf([level(NORTH, 2), level(SOUTH, 3), level(WEST, 9)])

    assert shelf.serve(ANN, [want(3)]) == [allocate(ANN, SOUTH, 3)]
    assert shelf.serve(BOB, [want(3)]) == [allocate(BOB, WEST, 3)]


def test_no_location_has_enough_so_several_give_fullest_first() -> None:
    shelf = Shelf([level(NORTH, 2), level(SOUTH, 3), level(WEST, 1)])

    assert shelf.serve(ANN, [want(6)]) == [allocate(ANN, SOUTH, 3), allocate(ANN, NORTH, 2), allocate(ANN, WEST, 1)]
    assert shelf.serve(BOB, [want(1)]) == Short(1, "cup", 1, 0)


def test_a_split_leaves_alone_what_it_does_not_need() -> None:
    shelf = Shelf([level(NORTH, 2), level(SOUTH, 3), level(WEST, 1)])

    assert shelf.serve(ANN, [want(5)]) == [allocate(ANN, SOUTH, 3), allocate(ANN, NORTH, 2)]


def test_two_lines_of_one_variant_are_counted_together() -> None:
    shelf = Shelf([level(NORTH, 3)])

    assert shelf.serve(ANN, [want(2), want(2, line=2)]) == Short(2, "cup", 4, 3)
    assert shelf.serve(BOB, [want(2), want(1, line=2)]) == [allocate(BOB, NORTH, 2), allocate(BOB, NORTH, 1, line=2)]


def test_all_lines_or_none() -> None:
    shelf = Shelf([level(NORTH, 3), level(NORTH, 1, variant=POT)])

    assert shelf.serve(ANN, [want(3), want(2, line=2, variant=POT)]) == Short(2, "pot", 2, 1)
    # What Ann could not have is Bob's, whole.
    assert shelf.serve(BOB, [want(3), want(1, line=2, variant=POT)]) == [
        allocate(BOB, NORTH, 3),
        allocate(BOB, NORTH, 1, line=2, variant=POT),
    ]


def test_backorder_is_the_last_resort() -> None:
    shelf = Shelf([level(NORTH, 2, unlimited=True), level(SOUTH, 5)])

    assert shelf.serve(ANN, [want(5)]) == [allocate(ANN, SOUTH, 5)]
    assert shelf.serve(BOB, [want(3)]) == [allocate(BOB, NORTH, 3)]
    assert shelf.serve(CAT, [want(100)]) == [allocate(CAT, NORTH, 100)]


def test_a_level_that_is_oversold_gives_nothing_to_a_split() -> None:
    shelf = Shelf([level(NORTH, -4, unlimited=False), level(SOUTH, 2), level(WEST, 2)])

    assert shelf.serve(ANN, [want(4)]) == [allocate(ANN, SOUTH, 2), allocate(ANN, WEST, 2)]
    assert shelf.serve(BOB, [want(1)]) == Short(1, "cup", 1, 0)


def test_a_variant_without_stock_is_short() -> None:
    assert Shelf([]).serve(ANN, [want(1)]) == Short(1, "cup", 1, 0)


@given(
    levels=st.lists(st.integers(0, 5), min_size=1, max_size=3),
    baskets=st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3), max_size=8),
)
def test_never_more_than_there_is_and_never_a_part_of_a_basket(levels: list[int], baskets: list[list[int]]) -> None:
    shelf = Shelf(level(location, free) for location, free in enumerate(levels))
    left = sum(levels)
    taken = dict.fromkeys(range(len(levels)), 0)

    for number, quantities in enumerate(baskets):
        served = shelf.serve(UUID(int=number), [want(each, line=line) for line, each in enumerate(quantities, start=1)])

        # One variant: checkouts that fit into what is left are served, the others are not.
        assert isinstance(served, list) == (sum(quantities) <= left)
        if isinstance(served, list):
            left -= sum(quantities)
            assert sum(each.quantity for each in served) == sum(quantities)
            for each in served:
                taken[each.location_id] += each.quantity
    assert all(taken[location] <= free for location, free in enumerate(levels))
