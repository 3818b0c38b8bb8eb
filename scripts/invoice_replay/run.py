"""Runs invoices through worker processes: stocks variants, sends a message for each invoice, reads the outcome."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

from dramatiq import Message
from sqlalchemy import Connection, Engine, text

from models.money import MAX_MINOR
from models.states import TERMINAL
from pipeline.carts import Cart
from pipeline.carts.cart_input import CartLine
from pipeline.catalog import StockRow, VariantRow, set_stock, upsert_variants
from pipeline.catalog.tax_rates import TaxRow, store_taxes
from pipeline.database import transaction
from pipeline.intake import PaymentInput, StartRequest
from pipeline.messaging import INTAKE
from pipeline.settings import Settings
from scripts.environments.ending import Ending
from scripts.environments.scratch import explain_redis
from scripts.invoice_replay.invoices import Invoice
from workers.broker.batch_broker import BatchBroker
from workers.broker.message_validation import UnfitMessage

OWNER: Final = "replay"
LOCATION: Final = "main"
TOKEN: Final = "tok_ok"  # noqa: S105 (a card of the sandbox bank)
#: The value of address fields that these files do not have.
NOT_IN_FILE: Final = "not in the file"

#: Name of the tax of `levy_vat`, and a start before any invoice.
VAT: Final = "VAT"
VAT_SINCE: Final = datetime(2000, 1, 1, tzinfo=UTC)

#: Variants of one transaction, as in `checkout catalog import`.
CHUNK: Final = 1500
#: Checkouts under way at once: several batches for every phase, and some megabytes of Redis at most.
WINDOW: Final = 1000
POLL_SECONDS: Final = 0.1
#: Twice the delay of a lost message or a crashed worker until the sweep repairs it.
STUCK_SECONDS: Final = 60

TERMINAL_SQL: Final = ", ".join(f"'{state}'" for state in sorted(TERMINAL))

# Changes with every step of any checkout, forward or back.
PROGRESS: Final = text(f"""
    SELECT count(*) AS started, count(*) FILTER (WHERE state IN ({TERMINAL_SQL})) AS ended,
           coalesce(sum(phase), 0) AS phases, coalesce(sum(fence), 0) AS fences, count(DISTINCT state) AS states,
           (SELECT count(*) FROM rejected_messages) AS refused
    FROM checkouts
""")

OUTCOMES: Final = text(f"""
    SELECT state, phase, failure_code, state IN ({TERMINAL_SQL}) AS ended, count(*) AS checkouts
    FROM checkouts GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
""")

REFUSED: Final = text("SELECT code, count(*) AS messages FROM rejected_messages GROUP BY code ORDER BY code")

SOLD: Final = text("""
    SELECT l.sku, CAST(sum(l.quantity) AS bigint) AS units, CAST(sum(l.total_minor) AS bigint) AS minor
    FROM order_lines l JOIN orders o ON o.id = l.order_id WHERE o.state = 'placed' GROUP BY l.sku
""")

TAX: Final = text("SELECT CAST(coalesce(sum(tax_minor), 0) AS bigint) FROM orders WHERE state = 'placed'")

STOCK_LEFT: Final = text("""
    SELECT v.sku, CAST(sum(s.on_hand) AS bigint) AS on_hand, CAST(sum(s.reserved) AS bigint) AS reserved
    FROM stock_levels s JOIN variants v ON v.id = s.variant_id GROUP BY v.sku
""")


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """The outcome of the checkouts, read from the database. `failed` counts those without an order, by code.

    `unfinished` counts the others by position. `off` has the SKUs whose sold and left units differ from the stock.
    """

    checkouts: int
    completed: int
    failed: Mapping[str, int]
    unfinished: Mapping[str, int]
    units_stocked: int
    units_sold: int
    units_left: int
    units_held: int
    revenue_minor: int
    tax_minor: int
    off: tuple[str, ...]


def stock_variants(engine: Engine, invoices: Sequence[Invoice], units: int | None) -> dict[str, int]:
    """Create a variant for every code, with so many units, or with as many as all invoices need together.

    Returns the units by code.
    """
    titles: dict[str, str] = {}
    wanted: Counter[str] = Counter()
    for line in (line for invoice in invoices for line in invoice.lines):
        titles.setdefault(line.code, line.title)
        wanted[line.code] += line.quantity
    stock = {code: wanted[code] if units is None else units for code in sorted(titles)}
    codes = list(stock)
    for start in range(0, len(codes), CHUNK):
        chunk = codes[start : start + CHUNK]
        with transaction(engine) as connection:
            upsert_variants(connection, [VariantRow(code, titles[code]) for code in chunk])
            set_stock(connection, [StockRow(code, LOCATION, stock[code]) for code in chunk])
    return stock


def levy_vat(engine: Engine, invoices: Sequence[Invoice], rate: Decimal) -> None:
    """Set this tax rate, a fraction of the net price, in every country of the invoices."""
    countries = sorted({invoice.country for invoice in invoices})
    with transaction(engine) as connection:
        store_taxes(connection, [TaxRow(country, VAT, rate, VAT_SINCE) for country in countries])


def build_message(
    invoice: Invoice, currency: str, run: str, settings: Settings, *, tax_included: bool | None = None
) -> Message[None]:
    """Return the message that starts and pays an invoice's checkout, as any upstream puts on `checkout.intake`.

    It expects the total of the file: a checkout that computes another total fails.
    """
    total = invoice.total_minor
    request = StartRequest(
        owner=OWNER,
        cart=Cart(
            id=uuid4(),
            currency=currency,
            lines=[
                CartLine(
                    sku=line.code,
                    quantity=line.quantity,
                    unit_price_minor=line.price_minor,
                    title=line.title or None,
                    tax_included=tax_included,
                )
                for line in invoice.lines
            ],
            shipping_address={
                "name": f"Customer {invoice.customer}" if invoice.customer else "Customer without a number",
                "line1": NOT_IN_FILE,
                "city": NOT_IN_FILE,
                "country": invoice.country,
            },
        ),
        idempotency_key=f"{invoice.number}-{run}",
        reference=f"{invoice.number}-{run}",
        payment=PaymentInput(token=TOKEN),
        expected_total_minor=total if total <= MAX_MINOR else None,
        # The maximum: in a long file a checkout waits for those before it, not for a buyer.
        ttl_seconds=settings.ttl_cap_minutes * 60,
    )
    body: dict[str, Any] = request.model_dump(mode="json", exclude_none=True)
    return Message(queue_name=INTAKE, actor_name="intake", args=(body,), kwargs={}, options={})


def run_messages(
    engine: Engine,
    settings: Settings,
    messages: Sequence[Message[None]],
    ending: Ending,
    show: Callable[[int], None],
    *,
    stuck_seconds: float = STUCK_SECONDS,
) -> float:
    """Send the messages, at most a window ahead of the ended checkouts, and wait; return the seconds it took.

    Returns early when nothing has moved for `stuck_seconds`; `read_outcome` then has the rest. `show` is called with
    the number of ended checkouts.
    """
    broker = BatchBroker(url=settings.redis_url.get_secret_value(), on_refused=_consume_nothing)
    sent = 0
    last: object = None
    begun = moved = time.monotonic()
    try:
        while True:
            with engine.connect() as connection:
                seen = connection.execute(PROGRESS).one()
            over = seen.ended + seen.refused
            show(over)
            now = time.monotonic()
            if seen != last:
                last, moved = seen, now
            if over >= len(messages) or now - moved > stuck_seconds:
                return now - begun
            room = min(WINDOW - (sent - over), len(messages) - sent)
            # Not one by one as each ends: one round trip carries many.
            if room > 0 and room >= min(WINDOW // 4, len(messages) - sent):
                with explain_redis():
                    broker.enqueue_many(messages[sent : sent + room])
                sent += room
            ending.sleep(POLL_SECONDS)
    finally:
        broker.close()


def read_outcome(connection: Connection, stock: Mapping[str, int], checkouts: int) -> ReplayOutcome:
    """Read the outcome of so many checkouts, and the stock."""
    completed = 0
    failed: Counter[str] = Counter()
    unfinished: Counter[str] = Counter()
    for row in connection.execute(OUTCOMES):
        if row.state == "completed":
            completed += row.checkouts
        elif row.ended:
            failed[row.failure_code or row.state] += row.checkouts
        else:
            unfinished[f"{row.state} after phase {row.phase}"] += row.checkouts
    for row in connection.execute(REFUSED):
        failed[row.code] += row.messages
    waiting = checkouts - completed - failed.total() - unfinished.total()
    if waiting > 0:
        unfinished["not started"] = waiting
    sold = {row.sku: row for row in connection.execute(SOLD)}
    left = {row.sku: row for row in connection.execute(STOCK_LEFT)}
    return ReplayOutcome(
        checkouts=checkouts,
        completed=completed,
        failed=dict(sorted(failed.items())),
        unfinished=dict(unfinished),
        units_stocked=sum(stock.values()),
        units_sold=sum(row.units for row in sold.values()),
        units_left=sum(row.on_hand for row in left.values()),
        units_held=sum(row.reserved for row in left.values()),
        revenue_minor=sum(row.minor for row in sold.values()),
        tax_minor=connection.execute(TAX).scalar_one(),
        off=tuple(
            sku
            for sku, units in stock.items()
            if left[sku].on_hand < 0 or left[sku].on_hand + (sold[sku].units if sku in sold else 0) != units
        ),
    )


def _consume_nothing(unfit: UnfitMessage) -> None:
    raise NotImplementedError(f"This broker only sends, and received {unfit}.")
