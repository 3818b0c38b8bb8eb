"""A price lock is what was hashed, adds up, and has its coupons."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection

from pipeline.audit.price_lock_hash import DOUBTFUL
from pipeline.database.ids import ALL_IDS, IdRange
from pipeline.database.invariant import Invariant
from pipeline.pricing import hash_quote, read_quotes

#: Price locks verified at once: a few megabytes.
CHUNK: Final = 1000


def find_forged(connection: Connection, ids: IdRange | None = None) -> Iterator[dict[str, Any]]:
    """Find price locks with rows that differ from their hash. `none`: from before such hashes.

    PostgreSQL writes and hashes nearly all of them; those that it does not write as Python does are verified here.
    """
    doubtful = list(connection.execute(DOUBTFUL, (ids or ALL_IDS).bound).scalars())
    for start in range(0, len(doubtful), CHUNK):
        for checkout_id, (quote, stored) in read_quotes(connection, doubtful[start : start + CHUNK]).items():
            if hash_quote(quote) != stored:
                yield {"checkout_id": checkout_id, "stored": stored, "computed": hash_quote(quote)}


LOCKS: Final = (
    Invariant(
        "price_lock_is_unforged",
        "A price lock hashes to what was stored with it.",
        search=find_forged,
        by_checkout=True,
    ),
    Invariant(
        "price_lock_adds_up",
        "The amounts of a price lock are the sums of its lines and of shipping.",
        """
        SELECT p.checkout_id, p.total_minor, p.tax_minor, coalesce(l.total_minor, 0) AS lines_minor
        FROM price_locks p
        LEFT JOIN (SELECT checkout_id, sum(total_minor) AS total_minor, sum(subtotal_minor) AS subtotal_minor,
                          sum(tax_minor) AS tax_minor, sum(discount_minor) AS discount_minor
                   FROM price_lock_lines GROUP BY checkout_id) l USING (checkout_id)
        WHERE (p.shipping_minor = coalesce(CAST(p.shipping ->> 'total_minor' AS bigint), 0)
               AND p.subtotal_minor = coalesce(l.subtotal_minor, 0)
               AND p.total_minor = coalesce(l.total_minor, 0) + p.shipping_minor
               AND p.tax_minor = coalesce(l.tax_minor, 0) + coalesce(CAST(p.shipping ->> 'tax_minor' AS bigint), 0)
               AND p.discount_minor = coalesce(l.discount_minor, 0)
                   + coalesce(CAST(p.shipping ->> 'discount_minor' AS bigint), 0)) IS NOT TRUE
        """,
        by_checkout=True,
    ),
    Invariant(
        "coupon_uses_are_redemptions",
        "The uses of a coupon are its redemptions in force, and not more than its limit.",
        """
        SELECT c.code, c.used, c.usage_limit, count(r.code) AS redemptions
        FROM coupons c LEFT JOIN redemptions r ON r.code = c.code AND r.returned_at IS NULL
        GROUP BY c.code HAVING c.used <> count(r.code) OR c.used > c.usage_limit
        """,
    ),
    Invariant(
        "undone_returns_coupons",
        "A checkout that failed, was cancelled or expired holds no coupon use.",
        """
        SELECT c.id AS checkout_id, c.state, r.code FROM checkouts c JOIN redemptions r ON r.checkout_id = c.id
        WHERE c.state IN ('failed', 'cancelled', 'expired') AND r.returned_at IS NULL
        """,
        by_checkout=True,
    ),
)
