"""The recipes name the kinds of promotions that there are."""

from models.names import PROMOTION_COLUMNS
from models.states import PromotionKind
from tests.support.promotion_kinds import read_kinds


def test_every_kind_of_promotion_stands_in_the_table() -> None:
    kinds = read_kinds()
    assert list(kinds) == list(PromotionKind)
    named = [column for columns in kinds.values() for column in columns]
    assert [column for column in named if column not in PROMOTION_COLUMNS] == []
    assert kinds[PromotionKind.FIXED_AMOUNT] == ["amount_minor", "currency"]
