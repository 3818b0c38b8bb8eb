"""Promotions as they are read from their rows."""

from dataclasses import fields, replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from models.names import PROMOTION_COLUMNS
from models.pricing import PromotionRecord
from models.states import PromotionKind
from pipeline.pricing.loader import read_promotion
from pipeline.pricing.terms import Promotion, to_fields


def test_a_promotion_has_the_columns_that_are_read_and_the_code_of_its_coupon() -> None:
    assert {each.name for each in fields(Promotion)} == {*PROMOTION_COLUMNS, "code"}
    assert len(PROMOTION_COLUMNS) >= 11


def test_every_column_of_a_promotion_is_read_or_says_whether_it_is_valid() -> None:
    validity = {"automatic", "starts_at", "ends_at", "active"}
    columns = [each.name for each in PromotionRecord.__table__.columns]
    assert list(PROMOTION_COLUMNS) == [name for name in columns if name not in validity]


def test_a_promotion_is_its_row() -> None:
    # A column that another kind needs is null here.
    row: Any = SimpleNamespace(**dict.fromkeys(PROMOTION_COLUMNS))
    vars(row).update(
        id=3,
        title="Spring",
        kind="percentage",
        percent=Decimal(5),
        amount_minor=None,
        currency="EUR",
        minimum_minor=7,
        skus=["a"],
        categories=["b", "c"],
        priority=9,
        combines=False,
        code="SPRING",
    )
    promotion = Promotion(
        id=3,
        title="Spring",
        kind=PromotionKind.PERCENTAGE,
        percent=Decimal(5),
        amount_minor=None,
        currency="EUR",
        minimum_minor=7,
        skus=frozenset({"a"}),
        categories=frozenset({"b", "c"}),
        priority=9,
        combines=False,
        code="SPRING",
    )
    assert read_promotion(row, "USD") == promotion
    # A minimum without a currency is in the shop's own; without a minimum there is nothing to have one.
    row.currency = None
    assert read_promotion(row, "USD") == replace(promotion, currency="USD")
    row.minimum_minor = 0
    assert read_promotion(row, "USD") == replace(promotion, currency=None, minimum_minor=0)


def test_what_is_no_part_of_a_quote_is_not_written_as_one() -> None:
    with pytest.raises(TypeError, match=r"^object is no part of a quote$"):
        to_fields(object())
