"""How a poisoned checkout, a slow bank, huge carts and a writer of the catalog slow other checkouts: their p95.

Buyers come at a steady pace, and once a second one disturbing checkout, or thirty at one moment. Disturbing checkouts
are not counted.
"""

import threading
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import Engine, text

from pipeline.catalog.batches import PAUSE_SHARE, CatalogService
from pipeline.catalog.batches.forms import VariantBatch
from pipeline.database import TransactionRunner
from pipeline.intake import PaymentInput, StartRequest
from scripts.benchmarks.workload import CARTS, fill_carts, start_checkout, stock_variants
from scripts.environments.command_errors import CommandError
from scripts.environments.ending import Ending
from workers.bootstrap import Components

VARIANTS: Final = 1001
#: A tenth of the throughput of two cores, so that no queue builds up before a worker.
PACE_PER_SECOND: Final = 40
SECONDS: Final = 12
#: Lines of a huge cart: the real carts of the test data have up to 591.
HUGE: Final = 600
#: A burst of the largest carts that the settings allow by default, and the second in which it comes.
BURST: Final = 30
BURST_LINES: Final = 1000
BURST_SECOND: Final = 2
#: Batches of the writer of the catalog, one after another, and the rows of each.
BATCHES: Final = 100
BATCH_ROWS: Final = 1000
#: Everything is over by then; a poisoned checkout is not awaited.
PATIENCE_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.1
POISON_SKU: Final = "bench-1"


class Disturbance(StrEnum):
    """What comes once a second beside the buyers."""

    NONE = "alone"
    POISON = "poisoned"  # a phase raises on it, each time
    SLOW_BANK = "slow_bank"  # its authorisation hangs until its time-out
    HUGE_CART = "huge_cart"  # has 600 lines
    BURST = "burst"  # not once a second: thirty carts of 1,000 lines at one moment
    CATALOG = "catalog"  # not once a second: 100,000 variants are written meanwhile, those that are bought among them


# A rule that the price lock cannot know: its whole batch fails, until the checkout runs alone.
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
# Checkouts that share a coupon wait for each other's price locks: that is not measured here.
NO_COUPON: Final = text("UPDATE carts SET coupon_codes = '{}' WHERE id = ANY(CAST(:ids AS uuid[]))")
ENDED: Final = text("SELECT count(*) FROM checkouts WHERE id = ANY(CAST(:ids AS uuid[])) AND state = 'completed'")
P95: Final = text("""
    SELECT 1000 * percentile_disc(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - created_at))
    FROM checkouts WHERE id = ANY(CAST(:ids AS uuid[]))
""")
WRITTEN: Final = text("SELECT count(*) FROM variants WHERE title LIKE 'Written %'")
TOKENS: Final[Mapping[Disturbance, str]] = {Disturbance.SLOW_BANK: "tok_authorize_timeout_after"}


def prepare(components: Components, disturbance: Disturbance) -> list[UUID]:
    """Stock the variants and return the buyers' carts, none of which has the SKU that may be poisoned."""
    stock_variants(components.database, VARIANTS, PACE_PER_SECOND * SECONDS)
    carts = fill_carts(components.database, PACE_PER_SECOND * SECONDS, VARIANTS)
    with components.database.begin() as connection:
        connection.execute(text("UPDATE cart_lines SET sku = 'bench-2' WHERE sku = :sku"), {"sku": POISON_SKU})
        if disturbance is Disturbance.POISON:
            connection.execute(POISON)
    return carts


def measure(components: Components, carts: list[UUID], disturbance: Disturbance, ending: Ending) -> float:
    """Start the buyers' checkouts; return the p95 of their durations, in milliseconds."""
    ids: list[UUID] = []
    writer = threading.Thread(target=write_catalog, args=(components,), name="catalog")
    if disturbance is Disturbance.CATALOG:
        writer.start()
    began = time.monotonic()
    for number, cart_id in enumerate(carts):
        second, rest = divmod(number, PACE_PER_SECOND)
        if rest == 0 and is_time(disturbance, second):
            disturb(components, disturbance)
        ids.append(start_checkout(components, cart_id))
        ending.sleep(max(0.0, began + (number + 1) / PACE_PER_SECOND - time.monotonic()))
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while _count_ended(components.database, ids) < len(ids):
        if time.monotonic() > ends_at:
            raise CommandError(f"{disturbance}: not every buyer had an order after {PATIENCE_SECONDS:.0f} s.")
        ending.sleep(POLL_SECONDS)
    if disturbance is Disturbance.CATALOG:
        writer.join()
        with components.database.connect() as connection:
            written: int = connection.execute(WRITTEN).scalar_one()
        if written < BATCHES * BATCH_ROWS:
            raise CommandError(f"Only {written} of {BATCHES * BATCH_ROWS} variants were written.")
    with components.database.connect() as connection:
        return float(connection.execute(P95, {"ids": ids}).scalar_one())


def is_time(disturbance: Disturbance, second: int) -> bool:
    """Return whether a disturbance starts at the beginning of this second."""
    if disturbance is Disturbance.BURST:
        return second == BURST_SECOND
    return disturbance not in {Disturbance.NONE, Disturbance.CATALOG}


def write_catalog(components: Components) -> None:
    """Write the variants as an ERP does over HTTP: in batches of a thousand rows, with the pauses of the HTTP edge."""
    service = CatalogService(TransactionRunner(components.database))
    for number in range(BATCHES):
        rows = [
            {"sku": f"bench-{1 + number * BATCH_ROWS + n}", "title": f"Written {number}.{n}"} for n in range(BATCH_ROWS)
        ]
        batch = VariantBatch.model_validate({"rows": rows})
        began = time.monotonic()
        service.write(batch, owner="erp", actor="key:bench", idempotency_key=str(uuid4()))
        time.sleep(PAUSE_SHARE * (time.monotonic() - began))


def disturb(components: Components, disturbance: Disturbance) -> None:
    """Start one disturbing checkout, or the burst."""
    count, lines = {Disturbance.HUGE_CART: (1, HUGE), Disturbance.BURST: (BURST, BURST_LINES)}.get(disturbance, (1, 1))
    ids = [uuid4() for _ in range(count)]
    with components.database.begin() as connection:
        connection.execute(CARTS, {"ids": ids})
        connection.execute(LINES, {"ids": ids, "lines": lines})
        if disturbance is Disturbance.BURST:
            connection.execute(NO_COUPON, {"ids": ids})
        if disturbance is Disturbance.POISON:
            connection.execute(
                text("UPDATE cart_lines SET sku = :sku WHERE cart_id = ANY(CAST(:ids AS uuid[]))"),
                {"sku": POISON_SKU, "ids": ids},
            )
    payment = PaymentInput.model_validate({"token": TOKENS.get(disturbance, "tok_ok")})
    components.service.start_many(
        [StartRequest(owner="bench", cart_id=id_, idempotency_key=str(id_), payment=payment) for id_ in ids]
    )


def _count_ended(database: Engine, ids: list[UUID]) -> int:
    with database.connect() as connection:
        ended: int = connection.execute(ENDED, {"ids": ids}).scalar_one()
        return ended
