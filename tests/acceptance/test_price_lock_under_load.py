"""Three hundred checkouts while another process changes every price, rate, promotion, tax and title and every cart."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from pipeline.audit import take_report
from pipeline.intake import PaymentInput, ProcessRequest, StartRequest
from pipeline.intake.result import CommandResult
from pipeline.settings import Settings
from tests.acceptance.price_changer import CHANGES, EDITS, JOURNAL
from tests.support.harness import Shelf
from tests.support.processes import BANK_TIMES, TIMES, run_processes
from workers.bootstrap import Components, build_components

pytestmark = pytest.mark.acceptance

ROOT: Final = Path(__file__).resolve().parents[2]
#: Set FIRE_SEED to the printed number to repeat the same carts, changes and pauses.
SEED: Final = os.environ.get("FIRE_SEED") or str(random.SystemRandom().randrange(10**9))
CHECKOUTS: Final = 300
CHUNK: Final = 25
SECONDS: Final = 150
OWNER: Final = "shop-1"

#: In the EU prices include the tax, in America they do not.
TAXES: Final = """
    INSERT INTO tax_rates (country, region, category, name, rate) VALUES
        ('GB', NULL, NULL, 'VAT', 0.2), ('GB', NULL, 'book', 'VAT', 0), ('DE', NULL, NULL, 'USt', 0.19),
        ('DE', NULL, 'book', 'USt', 0.07), ('US', 'NY', NULL, 'State', 0.04), ('US', 'NY', NULL, 'County', 0.04875)
"""
PROMOTIONS: Final = """
    INSERT INTO promotions (title, kind, percent, amount_minor, currency, skus, priority, automatic) VALUES
        ('A tenth off', 'percentage', 10, NULL, NULL, '{}', 10, false),
        ('Five off', 'fixed_amount', NULL, 500, 'EUR', '{}', 20, false),
        ('Sent for free', 'free_shipping', NULL, NULL, NULL, '{}', 30, false),
        ('Every day', 'percentage', 3, NULL, NULL, '{ware-1,ware-2,ware-3}', 40, true)
"""
COUPONS: Final = """
    INSERT INTO coupons (code, promotion_id)
    SELECT code, id FROM promotions
    JOIN (VALUES ('TENTH', 'A tenth off'), ('FIVE', 'Five off'), ('SENT', 'Sent for free')) c (code, t) ON t = title
"""
#: A coupon may end, or be worth nothing, between the filling of a cart and its price lock; nothing else may happen.
ALLOWED: Final = {"payment_declined", "coupon_unknown", "coupon_not_applicable"}

LOCKS: Final = """
    SELECT checkout_id, to_jsonb(p) - 'voided_at' AS lock,
           (SELECT jsonb_agg(to_jsonb(l) ORDER BY line) FROM price_lock_lines l WHERE l.checkout_id = p.checkout_id)
               AS lines
    FROM price_locks p WHERE NOT checkout_id = ANY(:known)
"""
WAITING: Final = """
    SELECT c.id, p.total_minor, p.hash, (SELECT jsonb_object_agg(line, total_minor) FROM price_lock_lines
                                         WHERE checkout_id = c.id) AS lines
    FROM checkouts c JOIN price_locks p ON p.checkout_id = c.id WHERE c.state = 'awaiting_payment'
"""


@contextmanager
def change_prices(database_url: str) -> Iterator[subprocess.Popen[str]]:
    """Run the process that changes prices; afterwards it has ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.acceptance.price_changer", database_url, SEED],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()


def fill_shop(engine: Engine, dice: random.Random) -> list[UUID]:
    """Write variants, taxes, rates, promotions and carts of every sort; return the carts."""
    shelf = Shelf(engine)
    for number in range(12):
        shelf.add_variant(f"ware-{number}", stock=100_000, price_minor=500 + 137 * number)
    shelf.run("UPDATE variants SET category = 'book' WHERE id % 3 = 0")
    # A third has a price in dollars, which is used; the others are converted.
    shelf.run("""
        INSERT INTO prices (variant_id, currency, amount_minor, tax_included)
        SELECT id, 'USD', 999, false FROM variants WHERE id % 3 = 1
    """)
    shelf.run("INSERT INTO exchange_rates (base, quote, rate, source, observed_at) VALUES ('EUR','USD',1.1,'t',now())")
    for sql in (TAXES, PROMOTIONS, COUPONS):
        shelf.run(sql)
    return [add_cart(shelf, dice) for _ in range(CHECKOUTS)]


def add_cart(shelf: Shelf, dice: random.Random) -> UUID:
    country = dice.choice(["GB", "DE", "US"])
    currency = "USD" if country == "US" else "EUR"
    address = {"name": "Ada", "line1": "1 Road", "city": "Town", "country": country, "region": "NY"}
    lines = [(f"ware-{ware}", dice.randint(1, 3)) for ware in dice.sample(range(12), dice.randint(1, 4))]
    cart_id = shelf.add_cart(*lines, currency=currency, address=address)
    codes = dice.choice([[], [], ["TENTH"], ["SENT"], ["TENTH", "SENT"], ["FIVE"] if currency == "EUR" else []])
    shipping = 490 if "SENT" in codes else dice.choice([None, 0, 490])
    shelf.run(
        "UPDATE carts SET coupon_codes = :codes, shipping_minor = :shipping WHERE id = :id",
        codes=codes,
        shipping=shipping,
        id=cart_id,
    )
    return cart_id


class Buyers:
    """Start every cart, pay waiting checkouts, and record each price lock as it was first seen."""

    def __init__(self, built: Components, shelf: Shelf, carts: list[UUID], dice: random.Random) -> None:
        """Buy these carts."""
        self._service, self._shelf, self._carts, self._dice = built.service, shelf, list(carts), dice
        self.seen: dict[UUID, tuple[Any, Any]] = {}
        self.paid: set[UUID] = set()

    def buy_all(self) -> None:
        """Run until all checkouts have ended."""
        ends_at = time.monotonic() + SECONDS
        ended = 0
        while ended < CHECKOUTS:
            assert time.monotonic() < ends_at, self._shelf.rows(
                "SELECT state, phase, count(*) FROM checkouts GROUP BY 1, 2"
            )
            self._start()
            self._pay()
            self.read_locks()
            ended = self._shelf.row("SELECT count(*) AS n FROM checkouts WHERE ended_at IS NOT NULL").n
            time.sleep(self._dice.uniform(0.01, 0.1))

    def read_locks(self) -> None:
        """Record the new price locks."""
        for checkout_id, lock, lines in self._shelf.rows(LOCKS, known=list(self.seen)):
            self.seen[checkout_id] = (lock, lines)

    def _start(self) -> None:
        """Start some checkouts: a fifth waits for its buyer, a twentieth has a card that is declined."""
        chunk, self._carts = self._carts[:CHUNK], self._carts[CHUNK:]
        requests = []
        for cart_id in chunk:
            card = self._dice.choices([None, "tok_declined", "tok_ok"], [20, 5, 75])[0]
            payment = None if card is None else PaymentInput(token=card)
            requests.append(StartRequest(owner=OWNER, cart_id=cart_id, payment=payment, idempotency_key=str(uuid4())))
        answers = self._service.start_many(requests)
        assert all(isinstance(answer, CommandResult) and answer.changed for answer in answers), answers

    def _pay(self) -> None:
        """Pay some quotes. No payment is refused: no shown quote has changed."""
        for checkout_id, total, hash_, lines in self._shelf.rows(WAITING):
            if self._dice.random() > 0.25:
                continue
            self._service.process(
                ProcessRequest(
                    owner=OWNER,
                    checkout_id=checkout_id,
                    idempotency_key=str(uuid4()),
                    payment=PaymentInput(token="tok_ok"),
                    expected_total_minor=total,
                    expected_hash=hash_,
                    expected_lines=lines,
                )
            )
            self.paid.add(checkout_id)


@pytest.fixture
def journal(engine: Engine, database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection for the journal of the changes, which is dropped afterwards."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection
        connection.execute("DROP SCHEMA IF EXISTS price_changer CASCADE")


def test_locked_prices_are_paid_whatever_changes_meanwhile(
    engine: Engine, database_url: str, redis_url: str, tmp_path: Path, journal: psycopg.Connection[Any]
) -> None:
    # Given
    sys.stdout.write(f"FIRE_SEED={SEED}\n")
    begun = time.monotonic()
    dice = random.Random(SEED)
    urls: dict[str, Any] = {"database_url": SecretStr(database_url), "redis_url": SecretStr(redis_url)}
    settings = Settings(_env_file=None, gateway="sandbox", **urls, **TIMES).with_gateway_options(**BANK_TIMES)
    shelf, carts = Shelf(engine), fill_shop(engine, dice)
    journal.execute(JOURNAL)
    # When
    with run_processes(settings, tmp_path / "log"):
        built = build_components(settings, "test")
        buyers = Buyers(built, shelf, carts, dice)
        try:
            with change_prices(database_url) as price_changer:
                buyers.buy_all()
                done = json.loads(price_changer.communicate(timeout=100)[0])
                assert price_changer.returncode == 0
        finally:
            built.close()
    # Then every invariant holds
    with engine.connect() as connection:
        report = take_report(connection, settings)
    assert list(report.violations) == []
    assert {"price_lock_is_unforged", "price_lock_adds_up"} <= {invariant.name for invariant in report.checked}
    assert len(report.checked) >= 28
    # ... all are completed except those that may fail
    ends = Counter(dict(shelf.rows("SELECT coalesce(failure_code, state), count(*) FROM checkouts GROUP BY 1")))
    sys.stdout.write(f"{dict(ends)} {done} in {time.monotonic() - begun:.1f} s\n")
    assert set(ends) <= ALLOWED | {"completed"}
    assert ends.total() == CHECKOUTS
    assert ends["completed"] > CHECKOUTS / 2
    assert_no_amount_moved(shelf, buyers)
    assert_no_edit_got_through(shelf)
    # ... and everything was changed, with price locks of one variant at many prices
    assert {what: done.get(what, 0) > 0 for what in CHANGES} == dict.fromkeys(CHANGES, True)
    prices = shelf.row("SELECT count(DISTINCT unit_price_minor) AS n FROM price_lock_lines WHERE sku = 'ware-3'")
    assert prices.n > 5


def assert_no_amount_moved(shelf: Shelf, buyers: Buyers) -> None:
    """Assert that price locks never changed, orders equal them, and the bank has captured their totals."""
    seen = dict(buyers.seen)
    buyers.seen.clear()
    buyers.read_locks()
    assert {key: buyers.seen[key] for key in seen} == seen
    assert len(buyers.paid) > CHECKOUTS / 10
    unequal = shelf.rows("""
        SELECT c.id, o.total_minor, p.total_minor, b.captured FROM checkouts c
        LEFT JOIN orders o ON o.checkout_id = c.id LEFT JOIN price_locks p ON p.checkout_id = c.id
        LEFT JOIN (SELECT checkout_id, sum(captured_minor - refunded_minor) AS captured, min(currency) AS currency
                   FROM sandbox.payments GROUP BY 1) b ON b.checkout_id = c.id
        WHERE CASE c.state WHEN 'completed'
              THEN (o.total_minor = p.total_minor AND p.total_minor = coalesce(b.captured, 0) AND o.state = 'placed'
                    AND o.currency = p.currency AND coalesce(b.currency, p.currency) = p.currency) IS NOT TRUE
              ELSE coalesce(b.captured, 0) <> 0 END
    """)
    assert unequal == []
    lines = """
        SELECT o.checkout_id, to_jsonb(l) - 'order_id' FROM order_lines l JOIN orders o ON o.id = l.order_id
        ORDER BY 1, line
    """
    locked = """
        SELECT checkout_id, to_jsonb(l) - 'checkout_id' - 'price_source' FROM price_lock_lines l
        JOIN orders o USING (checkout_id) ORDER BY 1, line
    """
    assert shelf.rows(lines) == shelf.rows(locked)


def assert_no_edit_got_through(shelf: Shelf) -> None:
    """Assert that edits succeed exactly outside of checkouts, and that each order has the cart at its start."""
    counts = {
        (seen, outcome): count
        for seen, outcome, count in shelf.rows("""
            SELECT seen, outcome, count(*) FROM price_changer.edits WHERE kind <> 'filled' GROUP BY 1, 2 ORDER BY 1, 2
        """)
    }
    sys.stdout.write(f"{counts}\n")
    assert {outcome for _, outcome in counts} <= {"through", "CK001", "40001"}
    assert counts["active", "CK001"] > 20
    assert shelf.rows("SELECT count(DISTINCT kind) FROM price_changer.edits WHERE outcome = 'CK001'") == [(len(EDITS),)]
    # No edit is refused that began after the end, none succeeds while the checkout is active.
    assert {outcome for seen, outcome in counts if seen == "ended"} == {"through"}
    assert counts["ended", "through"] >= CHECKOUTS
    assert shelf.rows("SELECT * FROM price_changer.edits WHERE held") == []
    # The last content before the start is frozen: the start raises the cart's version.
    moved = shelf.rows("""
        WITH started AS (
            SELECT DISTINCT ON (cart_id) cart_id, content FROM price_changer.edits
            WHERE outcome = 'through' AND lock_version = 0 ORDER BY cart_id, id DESC
        ), frozen AS (
            SELECT c.cart_id, jsonb_build_object(
                'address', p.shipping_address,
                'shipping', CAST(p.shipping ->> 'subtotal_minor' AS bigint),
                'codes', (SELECT coalesce(jsonb_agg(code ORDER BY code), '[]') FROM redemptions
                          WHERE checkout_id = c.id),
                'lines', (SELECT jsonb_agg(jsonb_build_array(line, sku, quantity) ORDER BY line)
                          FROM price_lock_lines WHERE checkout_id = c.id)) AS content
            FROM checkouts c JOIN price_locks p ON p.checkout_id = c.id
        )
        SELECT s.cart_id, s.content, f.content FROM started s JOIN frozen f USING (cart_id)
        WHERE jsonb_set(s.content, '{codes}', (SELECT coalesce(jsonb_agg(code ORDER BY code), '[]')
                        FROM jsonb_array_elements_text(s.content -> 'codes') code)) <> f.content
    """)
    assert moved == []
    assert shelf.rows("SELECT DISTINCT lock_version FROM price_changer.edits WHERE seen = 'ended'") == [(1,)]
