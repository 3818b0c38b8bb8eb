"""Coupons: found, checked and redeemed in one transaction with the price lock, returned by its undo.

The coupons' rows are locked in the order of their codes; a check constraint keeps their counters within the limit. The
last use goes to the transaction that locks first.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from pipeline.carts import Basket
from pipeline.checkouts import Rejected
from pipeline.checkouts.locks import lock_coupons, read_coupons
from pipeline.errors import Code
from pipeline.errors.wording import quote
from pipeline.pricing.loader import read_promotion
from pipeline.pricing.terms import Promotion

CUSTOMERS: Final = text("""
    SELECT code, customer, count(*) AS uses FROM redemptions
    WHERE code = ANY(CAST(:codes AS text[])) AND customer = ANY(CAST(:customers AS text[])) AND returned_at IS NULL
    GROUP BY code, customer
""")

REDEEM: Final = text("""
    WITH redeemed AS (
        INSERT INTO redemptions (checkout_id, code, promotion_id, customer)
        SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:codes AS text[]), CAST(:promotions AS bigint[]),
                             CAST(:customers AS text[]))
        RETURNING code
    )
    UPDATE coupons c SET used = c.used + r.uses
    FROM (SELECT code, count(*) AS uses FROM redeemed GROUP BY code) r WHERE c.code = r.code
""")

HELD: Final = text("""
    SELECT DISTINCT code FROM redemptions WHERE checkout_id = ANY(CAST(:ids AS uuid[])) AND returned_at IS NULL
""")

RETURN_USES: Final = text("""
    WITH returned AS (
        UPDATE redemptions SET returned_at = now()
        WHERE checkout_id = ANY(CAST(:ids AS uuid[])) AND returned_at IS NULL
        RETURNING code
    )
    UPDATE coupons c SET used = c.used - r.uses
    FROM (SELECT code, count(*) AS uses FROM returned GROUP BY code) r WHERE c.code = r.code
""")


class CouponBook:
    """The coupons of a batch, locked, and counted as they are granted."""

    def __init__(
        self, connection: Connection, baskets: Iterable[Basket], base_currency: str, *, lock: bool = True
    ) -> None:
        """Lock every coupon that these carts name and count the uses of their customers.

        Without `lock` they are only read, for a price without obligation: nothing may be granted then.
        """
        with_coupons = [basket for basket in baskets if basket.coupon_codes]
        codes = sorted({code for basket in with_coupons for code in basket.coupon_codes})
        self._connection = connection
        read = lock_coupons if lock else read_coupons
        self._coupons = {row.code: row for row in read(connection, codes)} if codes else {}
        self._promotions = {code: read_promotion(row, base_currency) for code, row in self._coupons.items()}
        self._used = {code: row.used for code, row in self._coupons.items()}
        self._by_customer: Counter[tuple[str, str]] = Counter()
        customers = sorted({basket.customer for basket in with_coupons if basket.customer is not None})
        if codes and customers:
            for row in connection.execute(CUSTOMERS, {"codes": codes, "customers": customers}):
                self._by_customer[row.code, row.customer] = row.uses
        self._granted: list[tuple[UUID, str, int, str | None]] = []

    @property
    def promotions(self) -> Collection[Promotion]:
        """The promotions of all coupons of the batch."""
        return self._promotions.values()

    def find(self, basket: Basket) -> list[Promotion] | Rejected:
        """Return the promotions of this cart's coupons, or why one of them cannot be used.

        A promotion counts once: of two codes for it, the second in the cart is refused.
        """
        code_by_promotion: dict[int, str] = {}
        promotions = []
        for code in basket.coupon_codes:
            row = self._coupons.get(code)
            if row is None or not row.valid:
                return Rejected(Code.COUPON_UNKNOWN, {"code": code})
            if row.usage_limit is not None and self._used[code] >= row.usage_limit:
                return Rejected(Code.COUPON_USED_UP, {"code": code})
            if row.per_customer_limit is not None:
                if basket.customer is None:
                    return Rejected(Code.COUPON_NEEDS_CUSTOMER, {"code": code})
                if self._by_customer[code, basket.customer] >= row.per_customer_limit:
                    return Rejected(Code.COUPON_USED_UP, {"code": code})
            promotion = self._promotions[code]
            if (first := code_by_promotion.setdefault(promotion.id, code)) != code:
                reason = f"it brings the same promotion as coupon {quote(first)}, which is used once"
                return Rejected(Code.COUPON_NOT_APPLICABLE, {"code": code, "reason": reason})
            promotions.append(promotion)
        return promotions

    def grant(self, checkout_id: UUID, basket: Basket) -> None:
        """Count a use of each of this cart's coupons."""
        for code in basket.coupon_codes:
            self._used[code] += 1
            if basket.customer is not None:
                self._by_customer[code, basket.customer] += 1
            self._granted.append((checkout_id, code, self._promotions[code].id, basket.customer))

    def redeem(self) -> None:
        """Store the granted uses."""
        if self._granted:
            ids, codes, promotions, customers = (list(each) for each in zip(*self._granted, strict=True))
            given = {"ids": ids, "codes": codes, "promotions": promotions, "customers": customers}
            self._connection.execute(REDEEM, given)


def return_coupons(connection: Connection, ids: Sequence[UUID]) -> None:
    """Return the coupon uses of these checkouts, if they have any."""
    codes = sorted(connection.execute(HELD, {"ids": list(ids)}).scalars())
    if codes:
        lock_coupons(connection, codes)
        connection.execute(RETURN_USES, {"ids": list(ids)})
