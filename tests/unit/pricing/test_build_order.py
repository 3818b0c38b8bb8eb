"""What decides a cart's quote, put together from the cart and the terms of the day."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from pipeline.carts import Basket
from pipeline.checkouts import Rejected
from pipeline.errors import Code
from pipeline.pricing.loader import Terms, build_order
from pipeline.pricing.terms import GivenTax, Goods, Order, Shipping
from pipeline.settings import Settings
from tests.factories import baskets
from tests.factories.orders import exchange, vat

SETTINGS = Settings(_env_file=None, database_url=SecretStr("postgresql://"), redis_url=SecretStr("redis://"))
NOW = datetime(2026, 11, 28, 15, tzinfo=UTC)
TERMS = Terms(automatic=(), tax_rates={}, exchange=(), now=NOW)
LINE = replace(baskets.CUP, category="kitchen", list_tax_included=False)
BASKET = replace(
    baskets.BASKET,
    shipping_address={"country": "GB", "region": "ENG"},
    billing_address={"country": "DE"},
    tax_id="GB980780684",
    shipping_minor=490,
    shipping_title="Courier",
    shipping_tax_included=False,
    lines=[LINE],
)


def build(basket: Basket = BASKET, terms: Terms = TERMS, **settings: Any) -> Order:
    built = build_order(basket, terms, (), SETTINGS.model_copy(update=settings))
    assert isinstance(built, Order)
    return built


def test_everything_of_the_cart_is_in_the_order() -> None:
    assert build() == Order(
        currency="EUR",
        goods=(Goods(1, 10, "cup", "The cup", "kitchen", 2, 250, False, "list"),),  # noqa: FBT003 - as it is stored
        shipping=Shipping("Courier", 490, tax_included=False),
        tax_id="GB980780684",
        shipping_address={"country": "GB", "region": "ENG"},
        billing_address={"country": "DE"},
    )


def test_a_line_without_a_title_goes_by_its_sku_and_delivery_by_its_name() -> None:
    built = build(replace(BASKET, shipping_title=None, lines=[replace(LINE, title=None)]))

    assert built.goods[0].title == "cup"
    assert built.shipping is not None
    assert built.shipping.title == "Shipping"


@pytest.mark.parametrize("included", [True, False])
@pytest.mark.parametrize("usual", [True, False])
def test_whether_tax_is_in_the_price_is_as_given_or_as_usual(*, included: bool, usual: bool) -> None:
    given = replace(BASKET, shipping_tax_included=included, lines=[replace(LINE, list_tax_included=included)])
    silent = replace(BASKET, shipping_tax_included=None, lines=[replace(LINE, list_tax_included=None)])

    for basket, expected in ((given, included), (silent, usual)):
        built = build(basket, prices_include_tax=usual)
        assert built.shipping is not None
        assert (built.goods[0].tax_included, built.shipping.tax_included) == (expected, expected)


def test_the_taxes_of_delivery_are_read_as_they_were_given() -> None:
    given = [{"name": "VAT", "rate": "0.2", "amount_minor": 82}]
    built = build(replace(BASKET, shipping_taxes=given))

    assert built.shipping is not None
    assert built.shipping.taxes is not None
    assert [(each.name, str(each.rate), each.amount_minor) for each in built.shipping.taxes] == [("VAT", "0.2", 82)]
    assert all(isinstance(each, GivenTax) for each in built.shipping.taxes)


def test_only_rates_of_the_country_and_of_its_region_apply() -> None:
    here, region, elsewhere = vat("0.2"), vat("0.05", region="ENG"), vat("0.07", region="SCT")
    terms = replace(TERMS, tax_rates={"GB": (here, region, elsewhere), "DE": (vat("0.19"),)})

    assert build(terms=terms).tax_rates == (here, replace(region, closeness=1))
    assert build(replace(BASKET, shipping_address=None), terms).tax_rates == ()


@pytest.mark.parametrize(("late_seconds", "price_minor"), [(0, 275), (1, None)])
def test_a_rate_lasts_exactly_as_long_as_the_settings_say(late_seconds: int, price_minor: int | None) -> None:
    rate = exchange("EUR", "USD", "1.1")
    terms = replace(TERMS, exchange=(rate,), now=rate.observed_at + timedelta(hours=48, seconds=late_seconds))

    built = build_order(
        replace(BASKET, currency="USD"), terms, (), SETTINGS.model_copy(update={"rate_max_age_hours": 48})
    )

    if price_minor is None:
        facts = {"base": "EUR", "quote": "USD", "observed_at": rate.observed_at.isoformat()}
        assert built == Rejected(Code.EXCHANGE_RATE_STALE, facts)
    else:
        assert isinstance(built, Order)
        assert (built.goods[0].unit_price_minor, built.exchange) == (price_minor, rate)


def test_a_line_that_has_lost_its_variant_is_refused() -> None:
    built = build_order(replace(BASKET, lines=[replace(LINE, variant_id=None)]), TERMS, (), SETTINGS)

    assert built == Rejected(Code.VARIANT_UNKNOWN, {"line": 1, "sku": "cup"})
