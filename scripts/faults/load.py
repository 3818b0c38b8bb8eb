"""Buyers of every kind, from a seed, and the responses that each got: the history that the end is compared with."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import requests
from dramatiq import Message
from redis.exceptions import RedisError
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError

from models.pricing import CouponRecord, PromotionRecord
from pipeline.catalog import PriceRow, StockRow, VariantRow, set_prices, set_stock, upsert_variants
from pipeline.messaging import INTAKE
from scripts.faults.patient_client import PATIENCE_SECONDS, PatientClient
from scripts.faults.place import OWNER, Place
from workers.broker.batch_broker import BatchBroker

VARIANTS: Final = 100
HOT: Final = "hot"
COUPON: Final = "TENTH"
LAST: Final = "LAST"
ADDRESS: Final = {"name": "Ada", "line1": "1 High Street", "city": "London", "country": "GB"}
#: Concurrent buyers (the one web process sets the pace: 12 a second with 16 as with 64), and checkouts under way.
THREADS: Final = 64
WINDOW: Final = 400


class Kind(StrEnum):
    """What a buyer does."""

    BUY = "buy"  # pays at once, over HTTP
    MESSAGE = "message"  # pays at once, by a message on the intake queue
    DECLINED = "declined"  # has a bad card
    TWO_STEPS = "two steps"  # starts, then pays
    CANCEL = "cancel"  # starts, then cancels
    ABANDON = "abandon"  # starts with a short TTL, and leaves
    DUPLICATE = "duplicate"  # sends the same request several times at once


#: Out of a hundred.
SHARES: Final = {
    Kind.BUY: 46,
    Kind.MESSAGE: 20,
    Kind.DECLINED: 6,
    Kind.TWO_STEPS: 10,
    Kind.CANCEL: 5,
    Kind.ABANDON: 3,
    Kind.DUPLICATE: 10,
}


@dataclass(frozen=True, slots=True)
class ChaosBuyer:
    """One buyer, with an own cart and idempotency key."""

    number: int
    kind: Kind
    cart: dict[str, Any]

    @property
    def key(self) -> str:
        """The idempotency key."""
        return f"buyer-{self.number}"

    @property
    def token(self) -> str:
        """The card's token."""
        return "tok_declined" if self.kind is Kind.DECLINED else "tok_ok"


@dataclass
class History:
    """The responses that clients got. `accepted` has every checkout id that a key was ever answered with."""

    accepted: dict[str, set[UUID]] = field(default_factory=dict)
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    gave_up: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, key: str, checkout_id: UUID) -> None:
        """Record that this key was answered with this checkout."""
        with self.lock:
            self.accepted.setdefault(key, set()).add(checkout_id)


def plan_buyers(seed: int, count: int) -> list[ChaosBuyer]:
    """Return the buyers of this seed, always the same."""
    rng = random.Random(seed)  # noqa: S311 (repeats a run, guards nothing)
    kinds = [kind for kind, share in SHARES.items() for _ in range(share)]
    return [ChaosBuyer(number, rng.choice(kinds), _fill_cart(rng, number)) for number in range(count)]


def _fill_cart(rng: random.Random, number: int) -> dict[str, Any]:
    skus = rng.sample([f"variant-{each}" for each in range(VARIANTS)], k=rng.choice((1, 1, 1, 2, 3, 8)))
    lines = [{"sku": sku, "quantity": rng.randint(1, 3)} for sku in skus]
    if rng.random() < 0.25:
        lines[0] = {"sku": HOT, "quantity": 1}
    codes = [code for code, chance in ((COUPON, 0.15), (LAST, 0.05)) if rng.random() < chance]
    return {
        "id": str(UUID(int=rng.getrandbits(128), version=4)),
        "currency": "EUR",
        "lines": lines,
        "coupon_codes": codes[:1],
        "customer": f"customer-{number}",
        "shipping_address": ADDRESS,
    }


def stock_shop(place: Place, count: int) -> None:
    """Put everything on sale: enough of each variant, too little of the hot one, and few uses of the last coupon."""
    skus = [*(f"variant-{each}" for each in range(VARIANTS)), HOT]
    units = {HOT: max(1, count // 8)}
    with place.database.begin() as connection:
        upsert_variants(connection, [VariantRow(sku=sku, title=sku) for sku in skus])
        set_prices(connection, [PriceRow(sku=sku, currency="EUR", amount_minor=1999) for sku in skus])
        set_stock(connection, [StockRow(sku, "main", units.get(sku, count)) for sku in skus])
        for code, limit in ((COUPON, None), (LAST, max(1, count // 100))):
            made = insert(PromotionRecord).values(kind="percentage", title=code, percent=10)
            promotion_id = connection.execute(made.returning(PromotionRecord.id)).scalar_one()
            connection.execute(insert(CouponRecord).values(code=code, promotion_id=promotion_id, usage_limit=limit))


class ChaosLoad:
    """Runs the buyers, as fast as `count_allowed` allows and while the window is not full."""

    def __init__(self, place: Place, buyers: Sequence[ChaosBuyer], count_allowed: Callable[[], int]) -> None:
        """`count_allowed` returns how many buyers may have arrived by now."""
        self.place, self.buyers, self.count_allowed = place, buyers, count_allowed
        self.history = History()
        self.sent = 0
        self.errors: list[BaseException] = []
        self.broker = BatchBroker(url=place.valkey.url, on_refused=lambda _: None)
        self._active = 0
        self._stop = threading.Event()
        self._client = PatientClient(place, self._stop)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="buyer")

    def run(self) -> None:
        """Run all buyers; return when each has a response, or has given up."""
        counter = threading.Thread(target=self._count_active, daemon=True)
        counter.start()
        waiting: list[Future[None]] = []
        for buyer in self.buyers:
            while not self._stop.is_set() and (self.sent >= self.count_allowed() or self._active >= WINDOW):
                time.sleep(0.02)
            if self._stop.is_set():
                break
            waiting.append(self._threads.submit(self._act, buyer))
            self.sent += 1
            while len(waiting) > 4 * THREADS:
                waiting = [each for each in waiting if not each.done()]
                time.sleep(0.005)
        self._threads.shutdown(cancel_futures=self._stop.is_set())
        self._stop.set()
        counter.join()

    def stop(self) -> None:
        """Start no more buyers, and stop waiting."""
        self._stop.set()

    def close(self) -> None:
        """Close the connections."""
        self.broker.close()

    def _act(self, buyer: ChaosBuyer) -> None:
        try:
            self._send(buyer)
        except Exception as error:  # noqa: BLE001 (raised at the end, and fails the run)
            self.errors.append(error)

    def _send(self, buyer: ChaosBuyer) -> None:
        match buyer.kind:
            case Kind.BUY | Kind.DECLINED:
                self._pay(buyer)
            case Kind.DUPLICATE:
                with ThreadPoolExecutor(3) as twins:
                    list(twins.map(self._pay, [buyer] * 3))
            case Kind.MESSAGE:
                self._enqueue(buyer)
            case Kind.TWO_STEPS | Kind.CANCEL | Kind.ABANDON:
                self._start(buyer)

    def _pay(self, buyer: ChaosBuyer, checkout_id: UUID | None = None) -> None:
        subject = {"cart": buyer.cart} if checkout_id is None else {"checkout_id": str(checkout_id)}
        body = {**subject, "payment": {"token": buyer.token}}
        response = self._client.request("POST", "/checkout", json=body, headers={"Idempotency-Key": buyer.key})
        self._note(buyer.key, response)

    def _start(self, buyer: ChaosBuyer) -> None:
        cart = {name: value for name, value in buyer.cart.items() if name != "id"}
        self._client.request("PUT", f"/carts/{buyer.cart['id']}", json=cart)
        query = {"cart_id": buyer.cart["id"]} | ({"ttl_seconds": "3"} if buyer.kind is Kind.ABANDON else {})
        response = self._client.request("GET", "/checkout", params=query, headers={"Prefer": "wait=10"})
        checkout_id = self._note(f"start-{buyer.number}", response)
        if checkout_id is None or buyer.kind is Kind.ABANDON or response is None or not response.ok:
            return
        if buyer.kind is Kind.CANCEL:
            self._client.request("POST", "/checkout/cancel", json={"checkout_id": str(checkout_id)})
        else:
            self._pay(buyer, checkout_id)

    def _enqueue(self, buyer: ChaosBuyer) -> None:
        """Send a message until the request is known: the sender repeats what Redis has lost."""
        request = {"owner": OWNER, "idempotency_key": buyer.key, "cart": buyer.cart, "payment": {"token": buyer.token}}
        with self.history.lock:
            self.history.messages[buyer.key] = request
        ends_at = time.monotonic() + PATIENCE_SECONDS
        pause = 2.0
        while time.monotonic() < ends_at and not self._stop.is_set():
            try:
                self.broker.enqueue(make_intake(request))
            except (RedisError, OSError):
                time.sleep(0.5)
                continue
            again_at = time.monotonic() + pause
            while time.monotonic() < again_at and not self._stop.is_set():
                if (found := self._find(buyer.key)) is not None:
                    self.history.note(buyer.key, found)
                    return
                time.sleep(0.1)
            pause *= 2
        self.history.gave_up.append(buyer.key)

    def _find(self, key: str) -> UUID | None:
        sql = text("SELECT checkout_id FROM idempotency_keys WHERE owner = :owner AND key = :key")
        try:
            with self.place.database.connect() as connection:
                found: UUID | None = connection.execute(sql, {"owner": OWNER, "key": key}).scalar_one_or_none()
                return found
        except DBAPIError:
            return None

    def _note(self, key: str, response: requests.Response | None) -> UUID | None:
        if response is None:
            self.history.gave_up.append(key)
            return None
        body = response.json()
        found = body.get("checkout_id") if response.ok or key.startswith("start-") else None
        if found is None:
            return None
        self.history.note(key, UUID(found))
        return UUID(found)

    def _count_active(self) -> None:
        sql = text("SELECT count(*) FROM checkouts WHERE ended_at IS NULL")
        while not self._stop.wait(0.2):
            with suppress(DBAPIError), self.place.database.connect() as connection:
                self._active = connection.execute(sql).scalar_one()


def make_intake(request: dict[str, Any]) -> Message[Any]:
    """Return the message that an upstream puts on the intake queue."""
    return Message(queue_name=INTAKE, actor_name="intake", args=(request,), kwargs={}, options={})
