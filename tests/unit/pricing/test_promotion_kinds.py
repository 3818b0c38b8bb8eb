"""What a new kind is given, and that its name stands in no other place of the code."""

import re
from typing import Final

import pytest

from models.states import PromotionKind
from pipeline.pricing.promotions import KINDS
from pipeline.pricing.promotions.cuts import Cut, Left
from pipeline.pricing.promotions.discounts import explain_unused, find_discounts
from pipeline.pricing.terms import Promotion
from tests.factories.orders import amount_off, free_shipping, goods, order, percentage, shipping
from tests.support.pages import ROOT
from tests.unit.pricing.oracle_kinds import EXPECTED

PIPELINE: Final = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "pipeline").rglob("*.py")}


def test_every_kind_has_its_oracle() -> None:
    assert set(EXPECTED) == set(PromotionKind)


@pytest.mark.parametrize("kind", PromotionKind)
def test_the_code_names_a_kind_in_the_table_of_kinds_alone(kind: PromotionKind) -> None:
    member = re.compile(rf"\bPromotionKind\.{kind.name}\b")
    assert {path: len(member.findall(code)) for path, code in PIPELINE.items() if member.search(code)} == {
        "pipeline/pricing/promotions/__init__.py": 1
    }
    assert [path for path, code in PIPELINE.items() if f'"{kind}"' in code] == []


def test_a_kind_sees_its_lines_and_what_is_left_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a kind that only looks, after ten off the first line
    seen: list[tuple[Promotion, Left]] = []

    def look(promotion: Promotion, left: Left) -> Cut:
        seen.append((promotion, left))
        return Cut()

    monkeypatch.setitem(KINDS, PromotionKind.PERCENTAGE, look)
    lines = (goods(2, 50), goods(1, 100, 3), goods(3, 70))
    looking = percentage(2, "0", skus=frozenset({"sku-1", "sku-2"}))
    first = amount_off(1, 10, skus=frozenset({"sku-1"}))
    # When
    find_discounts(order(*lines, promotions=(first, looking), shipping=shipping(490)))
    # Then it has those that it is for, in the order of their numbers
    assert seen == [(looking, Left("EUR", {1: lines[1], 2: lines[0]}, {1: 290, 2: 50}, 490))]
    assert [list(each) for each in (seen[0][1].goods, seen[0][1].lines)] == [[1, 2], [1, 2]]


@pytest.mark.parametrize(
    ("promotion", "reason"),
    [
        (percentage(1, "0", code="TEN"), "it takes nothing off what is left to pay"),
        (amount_off(1, 0, code="TEN"), "it takes nothing off what is left to pay"),
        (amount_off(1, 5, currency="USD", code="TEN"), "it is an amount in USD, and the cart is in EUR"),
        (free_shipping(1, code="TEN"), "there is no delivery to pay for"),
    ],
    ids=["percentage", "amount", "other currency", "shipping"],
)
def test_a_kind_says_why_it_takes_nothing(promotion: Promotion, reason: str) -> None:
    assert explain_unused(order(goods(1, 100), promotions=(promotion,)), "TEN") == reason
