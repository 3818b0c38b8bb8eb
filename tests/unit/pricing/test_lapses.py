"""Which rates are missed by a cart when they have ended, or have not begun."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.pricing.taxes.lapses import find_lapsed
from pipeline.pricing.terms import LapsedRate, TaxRate
from tests.factories.orders import vat

ENDED = LapsedRate("VAT", None, None, on_shipping=True, ended=True)
PLANNED = replace(ENDED, ended=False)
PST = replace(ENDED, name="PST", region="BC")
FOOD = replace(ENDED, category="food")


def find(
    *valid: TaxRate, lapsed: tuple[LapsedRate, ...], region: str | None = None, category: str | None = None, **ship: Any
) -> list[LapsedRate]:
    return list(find_lapsed(valid, lapsed, () if region is None else (region,), [category], **{"ships": False, **ship}))


def test_a_country_whose_rates_have_ended_or_not_begun_is_missed() -> None:
    assert find(lapsed=(ENDED,)) == [ENDED]
    assert find(lapsed=(PLANNED,)) == [PLANNED]
    assert find(lapsed=(ENDED, PLANNED)) == [ENDED, PLANNED]
    assert find(lapsed=()) == []


@pytest.mark.parametrize("valid", [vat("0.2"), vat("0"), vat("0.1", name="GST")])
def test_another_rate_of_the_country_stands_in_and_so_does_one_of_zero(valid: TaxRate) -> None:
    assert find(valid, lapsed=(ENDED, PLANNED, FOOD), category="food") == []


def test_a_region_stands_in_for_itself_only() -> None:
    gst, qst = vat("0.05", name="GST"), vat("0.1", name="QST", region="QC")
    # The country's rate still holds, the province's is gone.
    assert find(gst, lapsed=(PST,), region="BC") == [PST]
    # Elsewhere it was never due.
    assert find(gst, qst, lapsed=(PST,), region="QC") == []
    assert find(gst, qst, lapsed=(PST,)) == []
    # And the other way round.
    assert find(qst, lapsed=(ENDED,), region="QC") == [ENDED]
    # One of another name in its place is a reform.
    assert find(gst, vat("0.13", name="HST", region="BC"), lapsed=(PST,), region="BC") == []


def test_what_is_planned_beside_others_is_not_late() -> None:
    assert find(vat("0.2"), lapsed=(replace(PLANNED, name="Sugar tax", category="sweets"),), category="sweets") == []
    assert find(vat("0.2"), lapsed=(replace(PLANNED, region="BC"),), region="BC") == []


def test_a_category_with_a_rate_of_its_own() -> None:
    # Nothing else taxes food.
    assert find(vat("0.05", category="books"), lapsed=(FOOD,), category="food") == [FOOD]
    # What is not food was never taxed by it.
    assert find(lapsed=(FOOD,), category="tools") == []
    assert find(lapsed=(FOOD,)) == []


def test_delivery_that_was_taxed() -> None:
    freight = replace(ENDED, name="Freight")
    goods_only = vat("0.2", on_shipping=False)
    assert find(goods_only, lapsed=(freight,), ships=True) == [freight]
    assert find(goods_only, lapsed=(freight,), ships=False) == []
    # Decided: the same tax, without delivery now; another one on delivery; or only planned.
    assert find(goods_only, lapsed=(ENDED,), ships=True) == []
    assert find(goods_only, vat("0.1", name="Post"), lapsed=(freight,), ships=True) == []
    assert find(goods_only, lapsed=(replace(freight, ended=False),), ships=True) == []
