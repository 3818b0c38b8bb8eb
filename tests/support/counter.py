"""Cups on sale, carts with coupons, and the coupons' uses."""

from uuid import UUID

from tests.support.harness import Shelf, Works

USED_UP = 'Coupon "TEN" has been used as often as it may be: remove it.'


def add_cup(shelf: Shelf, stock: int = 10) -> None:
    shelf.add_variant("cup", stock=stock, price_minor=250, category="crockery")


def start(works: Works, shelf: Shelf, *codes: str, token: str | None = None, customer: str | None = None) -> UUID:
    """Start the checkout of four cups, 1000, with postage of 500."""
    cart_id = shelf.add_cart(("cup", 4), coupon_codes=list(codes or ("TEN",)), customer=customer, shipping_minor=500)
    return works.start(cart_id, token=token)


def used(shelf: Shelf, code: str = "TEN") -> tuple[int, int, int]:
    """Return a coupon's count of uses, its active redemptions, and its returned ones."""
    row = shelf.row(
        "SELECT used, count(r.code) FILTER (WHERE returned_at IS NULL) AS kept, count(returned_at) AS returned"
        " FROM coupons c LEFT JOIN redemptions r USING (code) WHERE code = :code GROUP BY c.code",
        code=code,
    )
    return row.used, row.kept, row.returned


def read_failure(works: Works, checkout_id: UUID) -> tuple[str, str | None, str]:
    failure = works.status(checkout_id).failure
    assert failure is not None
    return failure.code, failure.phase, failure.message


def fill(shelf: Shelf) -> UUID:
    """Fill a cart of two cups and a pot, 950 in all."""
    shelf.add_variant("cup", stock=9, price_minor=250)
    shelf.add_variant("pot", stock=9, price_minor=450)
    return shelf.add_cart(("cup", 2), ("pot", 1))


def add_free_cart(shelf: Shelf) -> UUID:
    cart_id = fill(shelf)
    shelf.add_coupon("ALL", shelf.add_promotion(title="All of it", percent=100), limit=1)
    shelf.run("UPDATE carts SET coupon_codes = '{ALL}' WHERE id = :id", id=cart_id)
    return cart_id
