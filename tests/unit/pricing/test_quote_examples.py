"""The worked examples of the guide."""

from datetime import UTC, datetime
from decimal import Decimal

from models.money import Money
from models.states import PromotionKind
from pipeline.pricing.exchange import convert, cross
from pipeline.pricing.quote import price_order
from pipeline.pricing.terms import ExchangeRate, Goods, Order, Promotion, Shipping, TaxRate
from pipeline.settings import TaxRounding


def test_vat_in_the_price_two_rates_and_a_coupon() -> None:
    given = Order(
        currency="EUR",
        goods=(
            Goods(1, 1, "kettle", "Kettle", None, 1, 3999, tax_included=True, price_source="list"),
            Goods(2, 2, "atlas", "Atlas", "books", 2, 949, tax_included=True, price_source="list"),
        ),
        shipping=Shipping("Parcel", 490, tax_included=True),
        promotions=(Promotion(1, "Welcome", PromotionKind.PERCENTAGE, percent=Decimal(10), code="WELCOME10"),),
        tax_rates=(TaxRate("VAT", Decimal("0.20")), TaxRate("VAT", Decimal("0.05"), category="books")),
    )
    quote = price_order(given)

    assert [line.discount_minor for line in quote.lines] == [400, 190]
    assert [line.total_minor for line in quote.lines] == [3599, 1708]
    assert [line.taxes[0].amount_minor for line in quote.lines] == [600, 81]
    assert (quote.shipping_minor, quote.tax_minor, quote.total_minor) == (490, 600 + 81 + 82, 5797)


def test_sales_tax_on_top_and_on_delivery() -> None:
    given = Order(
        currency="USD",
        goods=(Goods(1, 1, "lamp", "Lamp", None, 3, 1999, tax_included=False, price_source="list"),),
        shipping=Shipping("Ground", 799, tax_included=False),
        tax_rates=(
            TaxRate("State", Decimal("0.0625"), on_shipping=False),
            TaxRate("County", Decimal("0.0125")),
        ),
    )
    quote = price_order(given)

    assert [(tax.name, tax.amount_minor) for tax in quote.lines[0].taxes] == [("County", 75), ("State", 375)]
    assert quote.lines[0].total_minor == 5997 + 450
    assert (quote.shipping_minor, quote.tax_minor) == (799 + 10, 460)
    assert quote.total_minor == 7256


def test_a_currency_without_decimals() -> None:
    given = Order(
        currency="JPY",
        goods=tuple(
            Goods(line, line, f"tea-{line}", "Tea", None, 1, 95, tax_included=False, price_source="list")
            for line in (1, 2, 3)
        ),
        tax_rates=(TaxRate("Consumption tax", Decimal("0.10")),),
        tax_rounding=TaxRounding.ORDER,
    )
    quote = price_order(given)

    assert [line.tax_minor for line in quote.lines] == [10, 10, 9]
    assert (quote.total_minor, quote.rounding) == (285 + 29, "half-up, tax per order")


def test_a_currency_with_three_decimals() -> None:
    given = Order(
        currency="BHD",
        goods=(
            Goods(1, 1, "oud", "Oud", None, 1, 12500, tax_included=False, price_source="list"),
            Goods(2, 2, "cup", "Cup", None, 3, 1255, tax_included=False, price_source="list"),
        ),
        promotions=(Promotion(1, "Two dinars", PromotionKind.FIXED_AMOUNT, amount_minor=2000, currency="BHD"),),
        tax_rates=(TaxRate("VAT", Decimal("0.10")),),
    )
    quote = price_order(given)

    assert [line.discount_minor for line in quote.lines] == [1537, 463]
    assert [line.tax_minor for line in quote.lines] == [1096, 330]
    assert str(Money(quote.total_minor, quote.currency)) == "15.691 BHD"


def test_a_conversion() -> None:
    published_at = datetime(2026, 11, 23, 15, tzinfo=UTC)
    published = [
        ExchangeRate("EUR", "USD", Decimal("1.0512"), "ECB", published_at),
        ExchangeRate("EUR", "JPY", Decimal("163.25"), "ECB", published_at),
    ]
    rate = cross("USD", "JPY", published)
    assert rate is not None
    price = convert(1999, rate)

    given = Order(
        currency="JPY",
        goods=(Goods(1, 1, "lamp", "Lamp", None, 2, price, tax_included=True, price_source="converted"),),
        exchange=rate,
    )
    quote = price_order(given)

    assert (price, quote.total_minor) == (3104, 6208)
    assert (quote.base_currency, quote.exchange_rate) == ("USD", "155.2987062404871")
    assert (quote.exchange_source, quote.exchange_at) == ("ECB", "2026-11-23T15:00:00+00:00")
