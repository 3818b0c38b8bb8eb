"""The goods and buyers of the demo, and the expected figures at the end."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection

from pipeline.carts import Cart
from pipeline.carts.cart_input import CartLine
from pipeline.catalog import PriceRow, StockRow, VariantRow, set_prices, set_stock, upsert_variants
from pipeline.intake import PaymentInput, StartRequest

OWNER: Final = "demo-shop"
CURRENCY: Final = "EUR"
ADDRESS: Final[dict[str, Any]] = {
    "name": "A buyer",
    "line1": "12 St James's Square",
    "city": "London",
    "country": "GB",
}


@dataclass(frozen=True, slots=True)
class Article:
    """A variant on sale at one location."""

    sku: str
    title: str
    price_minor: int
    units: int


KETTLE: Final = Article("kettle", "Kettle", 39_00, 12)
TEAPOT: Final = Article("teapot", "Teapot", 29_00, 40)
CUP: Final = Article("cup", "Cup", 4_50, 100)
TEA: Final = Article("tea", "Tea, 100 g", 4_50, 60)
HONEY: Final = Article("honey", "Honey, 250 g", 4_50, 30)
GOODS: Final = (KETTLE, TEAPOT, CUP, TEA, HONEY)


@dataclass(frozen=True, slots=True)
class DemoBuyer:
    """A cart and the card that pays it; without a card the checkout waits for its payment."""

    name: str
    lines: tuple[tuple[Article, int], ...]
    card: str | None = None
    ttl_seconds: int | None = None

    def build_request(self) -> StartRequest:
        """Return the request that starts this buyer's checkout, with a new cart."""
        cart = Cart(
            id=uuid4(),
            currency=CURRENCY,
            lines=[CartLine(sku=article.sku, quantity=quantity) for article, quantity in self.lines],
            shipping_address=ADDRESS,
        )
        return StartRequest(
            owner=OWNER,
            cart=cart,
            idempotency_key=f"{self.name}:start",
            payment=None if self.card is None else PaymentInput(token=self.card),
            ttl_seconds=self.ttl_seconds,
            reference=self.name,
        )


#: Each wants a kettle and two of something else at one price, so that the money is the same for any twelve of them.
RUSH: Final = tuple(
    DemoBuyer(f"buyer-{number:02}", ((KETTLE, 1), ((CUP, TEA, HONEY)[number % 3], 2)), "tok_ok")
    for number in range(1, 21)
)
NORA: Final = DemoBuyer("Nora", ((TEAPOT, 1), (HONEY, 1)), "tok_declined")
OMAR: Final = DemoBuyer("Omar", ((TEAPOT, 1), (CUP, 2)))
PIA: Final = DemoBuyer("Pia", ((TEAPOT, 2), (TEA, 3)))
QUIN: Final = DemoBuyer("Quin", ((TEAPOT, 3),), ttl_seconds=8)
#: The bank authorises at once and answers seconds later: time enough to kill the worker that waits for the answer.
RUTH: Final = DemoBuyer("Ruth", ((TEAPOT, 1), (TEA, 4)), "tok_authorize_timeout_after")
BUYERS: Final = (*RUSH, NORA, OMAR, PIA, QUIN, RUTH)


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """How many checkouts ended in each state, the total of the orders, and what came back of them."""

    checkouts: int
    completed: int
    failed: dict[str, int]
    cancelled: int
    expired: int
    orders_minor: int
    refunded_minor: int
    restocked: int


EXPECTED: Final = DemoOutcome(
    checkouts=25,
    completed=14,
    failed={"out_of_stock": 8, "payment_declined": 1},
    cancelled=1,
    expired=1,
    orders_minor=12 * 48_00 + 38_00 + 47_00,
    refunded_minor=CUP.price_minor,
    restocked=1,
)


def stock_shop(connection: Connection) -> None:
    """Put the goods on sale."""
    upsert_variants(connection, [VariantRow(each.sku, each.title) for each in GOODS])
    set_prices(connection, [PriceRow(each.sku, CURRENCY, each.price_minor) for each in GOODS])
    set_stock(connection, [StockRow(each.sku, "main", each.units) for each in GOODS])
