"""What others feel of a poisoned checkout, a slow bank and huge baskets: the 95th percentile of their durations.

Buyers come at a steady pace, and once a second one of those who disturb, or thirty at one moment. Whoever disturbs is
not counted.
"""

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import Engine, text

from pipeline.intake import PaymentInput, StartRequest
from scripts.benchmarks.workload import CARTS, fill_carts, start_checkout, stock_shelf
from scripts.environments.ending import Ending
from scripts.environments.obstacles import Obstacle
from workers.bootstrap import CheckoutEngine

VARIANTS: Final = 1001
#: A tenth of what two cores carry, so that what is measured is not the queue before a full worker.
PACE_PER_SECOND: Final = 40
SECONDS: Final = 12
#: Lines of a huge basket: the real baskets of the test data go up to 591.
HUGE: Final = 600
#: A crowd of the largest baskets that the settings allow by default, and the second in which it comes.
CROWD: Final = 30
CROWD_LINES: Final = 1000
CROWD_SECOND: Final = 2
#: Everything is over by then; what is poisoned is not waited for.
PATIENCE_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.1
POISON_SKU: Final = "bench-1"


class Disturbance(StrEnum):
    """Who comes once a second beside the buyers."""

    NOBODY = "alone"
    POISON = "poisoned"  # a phase raises on it, each time
    SLOW_BANK = "slow_bank"  # its authorisation hangs until it is given up
    HUGE_BASKET = "huge_basket"  # has 600 lines
    CROWD = "crowd"  # not once a second: thirty baskets of 1,000 lines at one moment


# A rule that phase 3 cannot know of: its whole batch fails, until it runs alone.
POISON: Final = text("""
    CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'poisoned' USING ERRCODE = 'check_violation'; END $$;
    CREATE TRIGGER poison BEFORE INSERT ON price_lock_lines FOR EACH ROW
        WHEN (NEW.sku = 'bench-1') EXECUTE FUNCTION poison()
""")
LINES: Final = text("""
    INSERT INTO cart_lines (cart_id, line, sku, quantity)
    SELECT id, n, 'bench-' || n + 1, 1 FROM unnest(CAST(:ids AS uuid[])) AS id, generate_series(1, :lines) AS n
""")
# Whoever shares a coupon waits for the price lock of whoever redeems it: that is not what is measured here.
NO_COUPON: Final = text("UPDATE carts SET coupon_codes = '{}' WHERE id = ANY(CAST(:ids AS uuid[]))")
ENDED: Final = text("SELECT count(*) FROM checkouts WHERE id = ANY(CAST(:ids AS uuid[])) AND state = 'completed'")
P95: Final = text("""
    SELECT 1000 * percentile_disc(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - created_at))
    FROM checkouts WHERE id = ANY(CAST(:ids AS uuid[]))
""")
TOKENS: Final[Mapping[Disturbance, str]] = {Disturbance.SLOW_BANK: "tok_authorize_timeout_after"}


def prepare(engine: CheckoutEngine, disturbance: Disturbance) -> list[UUID]:
    """Stock the shelf and return the carts of the buyers, none of which has what may be poisoned."""
    stock_shelf(engine.database, VARIANTS, PACE_PER_SECOND * SECONDS)
    carts = fill_carts(engine.database, PACE_PER_SECOND * SECONDS, VARIANTS)
    with engine.database.begin() as connection:
        connection.execute(text("UPDATE cart_lines SET sku = 'bench-2' WHERE sku = :sku"), {"sku": POISON_SKU})
        if disturbance is Disturbance.POISON:
            connection.execute(POISON)
    return carts


def measure(engine: CheckoutEngine, carts: list[UUID], disturbance: Disturbance, ending: Ending) -> float:
    """Let the buyers come and return the 95th percentile of their durations, in milliseconds."""
    ids: list[UUID] = []
    began = time.monotonic()
    for number, cart_id in enumerate(carts):
        second, rest = divmod(number, PACE_PER_SECOND)
        if rest == 0 and is_time(disturbance, second):
            disturb(engine, disturbance)
        ids.append(start_checkout(engine, cart_id))
        ending.sleep(max(0.0, began + (number + 1) / PACE_PER_SECOND - time.monotonic()))
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while _count_ended(engine.database, ids) < len(ids):
        if time.monotonic() > ends_at:
            raise Obstacle(f"{disturbance}: not every buyer had an order after {PATIENCE_SECONDS:.0f} s.")
        ending.sleep(POLL_SECONDS)
    with engine.database.connect() as connection:
        return float(connection.execute(P95, {"ids": ids}).scalar_one())


def is_time(disturbance: Disturbance, second: int) -> bool:
    """Return whether somebody disturbs at the beginning of this second."""
    if disturbance is Disturbance.CROWD:
        return second == CROWD_SECOND
    return disturbance is not Disturbance.NOBODY


def disturb(engine: CheckoutEngine, disturbance: Disturbance) -> None:
    """Start who disturbs: one, or the crowd."""
    count, lines = {Disturbance.HUGE_BASKET: (1, HUGE), Disturbance.CROWD: (CROWD, CROWD_LINES)}.get(
        disturbance, (1, 1)
    )
    ids = [uuid4() for _ in range(count)]
    with engine.database.begin() as connection:
        connection.execute(CARTS, {"ids": ids})
        connection.execute(LINES, {"ids": ids, "lines": lines})
        if disturbance is Disturbance.CROWD:
            connection.execute(NO_COUPON, {"ids": ids})
        if disturbance is Disturbance.POISON:
            connection.execute(
                text("UPDATE cart_lines SET sku = :sku WHERE cart_id = ANY(CAST(:ids AS uuid[]))"),
                {"sku": POISON_SKU, "ids": ids},
            )
    payment = PaymentInput.model_validate({"token": TOKENS.get(disturbance, "tok_ok")})
    engine.service.start_many(
        [StartRequest(owner="bench", cart_id=id_, idempotency_key=str(id_), payment=payment) for id_ in ids]
    )


def _count_ended(database: Engine, ids: list[UUID]) -> int:
    with database.connect() as connection:
        ended: int = connection.execute(ENDED, {"ids": ids}).scalar_one()
        return ended
