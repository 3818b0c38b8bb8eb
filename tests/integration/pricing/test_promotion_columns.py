"""The schema demands of each kind of promotion the columns that docs/recipes.md names, and bounds them."""

from typing import Any, Final

import pytest
from sqlalchemy.exc import IntegrityError

from tests.support.harness import Shelf
from tests.support.promotion_kinds import read_kinds

KINDS: Final = read_kinds()
CASES: Final = [(kind, columns, left_out) for kind, columns in KINDS.items() for left_out in columns]
#: A column, the value beyond its bound, and the constraint that refuses it.
BEYOND: Final = [
    ("percent", "-0.0001", "percent"),
    ("percent", "100.0001", "percent"),
    ("amount_minor", -1, "amounts"),
    ("minimum_minor", -1, "amounts"),
]


def fill(columns: list[str]) -> dict[str, Any]:
    """Return a value for each column that all of them accept."""
    return {column: "EUR" if column == "currency" else 10 for column in columns}


@pytest.mark.parametrize(("kind", "columns"), KINDS.items())
def test_a_promotion_needs_no_other_columns(shelf: Shelf, kind: str, columns: list[str]) -> None:
    shelf.add_promotion(kind, **fill(columns))
    assert shelf.rows("SELECT kind FROM promotions") == [(kind,)]


@pytest.mark.parametrize("kind", ["percentages", "Percentage", " percentage", "", "two_for_one"])
def test_a_kind_that_the_engine_does_not_know_is_refused(shelf: Shelf, kind: str) -> None:
    """Else one mistyped automatic promotion would fail every checkout when its price is locked."""
    with pytest.raises(IntegrityError, match='violates check constraint "promotions_kind_check"'):
        shelf.add_promotion(kind, percent=10)
    assert shelf.rows("SELECT count(*) FROM promotions") == [(0,)]


@pytest.mark.parametrize(("kind", "columns", "left_out"), CASES)
def test_a_promotion_without_its_column_is_refused(shelf: Shelf, kind: str, columns: list[str], left_out: str) -> None:
    with pytest.raises(IntegrityError, match=r'violates check constraint "promotions_\w+_check"'):
        shelf.add_promotion(kind, **fill([each for each in columns if each != left_out]))
    assert shelf.rows("SELECT count(*) FROM promotions") == [(0,)]


@pytest.mark.parametrize(("column", "value", "constraint"), BEYOND)
def test_a_value_beyond_the_bound_of_its_column_is_refused(
    shelf: Shelf, column: str, value: Any, constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=f'violates check constraint "promotions_{constraint}_check"'):
        shelf.add_promotion("free_shipping", **{column: value})
    assert shelf.rows("SELECT count(*) FROM promotions") == [(0,)]
