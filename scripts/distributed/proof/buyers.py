"""Buyers over HTTP at both worker hosts, and the ledger of what they were told, which no fault touches."""

import json
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final
from uuid import uuid4

import requests
from sqlalchemy import Engine

from pipeline.catalog import PriceRow, StockRow, VariantRow, set_prices, set_stock, upsert_variants
from pipeline.security import Scope, create_key
from scripts.distributed.layout import WORKER_HOSTS, name_web_url
from scripts.distributed.state import open_session
from scripts.environments.ending import Ending

OWNER: Final = "cluster"
VARIANTS: Final = 50
#: More than a run of an hour buys.
UNITS: Final = 1_000_000
#: Purchases that begin each second, whatever became of those before: during an outage buyers keep coming.
PER_SECOND: Final = 6
#: More than come in the longest outage.
THREADS: Final = 500
#: Before a request is sent again, to the other host.
REPEAT_SECONDS: Final = 0.25
#: The longest wait that a request asks for, and the connection and answer that it waits for.
WAIT_SECONDS: Final = 5
TIMEOUTS: Final = (1.0, WAIT_SECONDS + 3.0)
#: A purchase that has no answer after so long is counted as stuck.
PATIENCE_SECONDS: Final = 150.0
POLL_SECONDS: Final = 0.05
ADDRESS: Final = {"name": "Ada", "line1": "12 St James Square", "city": "London", "country": "GB"}
CARD: Final = "tok_ok"


@dataclass(frozen=True, slots=True)
class Purchase:
    """One answered purchase: its idempotency key, cart and checkout, when, and how many requests were repeats."""

    key: str
    cart_id: str
    checkout_id: str
    state: str
    at_seconds: float
    repeats: int


class Ledger:
    """A file with a line for each purchase that was answered, on the disk before the buyer goes on."""

    def __init__(self, path: Path) -> None:
        """Begin an empty file."""
        self.path = path
        self.purchases: list[Purchase] = []
        self._lock = threading.Lock()
        self._file: IO[str] = path.open("w", buffering=1)

    def add(self, purchase: Purchase) -> None:
        """Write one line."""
        with self._lock:
            self._file.write(json.dumps([purchase.key, purchase.cart_id, purchase.checkout_id, purchase.state]) + "\n")
            self.purchases.append(purchase)

    def list_since(self, moment: float) -> list[Purchase]:
        """Return the purchases that were answered since this moment of the monotonic clock."""
        with self._lock:
            return [each for each in self.purchases if each.at_seconds >= moment]

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()


class Buyers:
    """Begins purchases at a steady pace until it is stopped; a context manager for inside the buyers' namespace."""

    def __init__(self, token: str, ledger: Ledger, ending: Ending) -> None:
        """Buy with this API key."""
        self._token, self._ledger, self._ending = token, ledger, ending
        self._stopping, self._paused = threading.Event(), threading.Event()
        self._local = threading.local()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="buyer")
        self._buying: set[Future[None]] = set()
        self._pace = threading.Thread(target=self._keep_coming, name="buyers", daemon=True)
        #: The keys of purchases that had no answer in time.
        self.unanswered: list[str] = []

    def __enter__(self) -> "Buyers":
        """Begin to buy."""
        self._pace.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop, in the middle of purchases."""
        self._stopping.set()
        self._pace.join()
        self._threads.shutdown(cancel_futures=True)

    def pause(self) -> None:
        """Begin no further purchase, and return when each that was begun has been answered, or had no answer."""
        self._paused.set()
        # The pace may be about to begin one.
        self._ending.sleep(2 / PER_SECOND)
        while self._buying:
            self._buying = {each for each in self._buying if not each.done()}
            self._ending.sleep(POLL_SECONDS)

    def resume(self) -> None:
        """Buy again."""
        self._paused.clear()

    def _keep_coming(self) -> None:
        number = 0
        while not self._stopping.wait(1 / PER_SECOND):
            if not self._paused.is_set():
                self._buying = {each for each in self._buying if not each.done()}
                self._buying.add(self._threads.submit(self._buy, str(uuid4()), number))
                number += 1

    def _open_session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = open_session()
            self._local.session.headers["Authorization"] = f"Bearer {self._token}"
        session: requests.Session = self._local.session
        return session

    def _buy(self, key: str, number: int) -> None:
        session = self._open_session()
        sku = f"cluster-{number * 7 % VARIANTS}"
        lines = [{"sku": sku, "quantity": 1}]
        cart: dict[str, Any] = {"id": str(uuid4()), "currency": "EUR", "lines": lines, "shipping_address": ADDRESS}
        body = {"cart": cart, "payment": {"token": CARD}}
        ends_at, repeats = time.monotonic() + PATIENCE_SECONDS, 0
        while not self._stopping.is_set():
            answer = _ask(session, WORKER_HOSTS[(number + repeats) % len(WORKER_HOSTS)], key, body)
            if answer.get("state") in {"completed", "failed", "cancelled", "expired"}:
                state, checkout_id = answer["state"], answer["checkout_id"]
                self._ledger.add(Purchase(key, cart["id"], checkout_id, state, time.monotonic(), repeats))
                return
            if time.monotonic() > ends_at:
                self.unanswered.append(f"{key}: {answer.get('code') or answer.get('state') or 'no answer'}")
                return
            repeats += 1
            self._stopping.wait(REPEAT_SECONDS)


def _ask(session: requests.Session, host: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the body of the answer; an empty one when there is none."""
    headers = {"Idempotency-Key": key, "Prefer": f"wait={WAIT_SECONDS}"}
    try:
        response = session.post(f"{name_web_url(host)}/checkout", json=body, headers=headers, timeout=TIMEOUTS)
        found = response.json()
    except (requests.RequestException, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def open_shop(engine: Engine) -> str:
    """Put everything on sale; return an API key."""
    skus = [f"cluster-{number}" for number in range(VARIANTS)]
    with engine.begin() as connection:
        upsert_variants(connection, [VariantRow(sku=sku, title=sku) for sku in skus])
        set_prices(connection, [PriceRow(sku=sku, currency="EUR", amount_minor=1999) for sku in skus])
        set_stock(connection, [StockRow(sku, "main", UNITS) for sku in skus])
        _, token = create_key(connection, owner=OWNER, name="cluster", scopes=[Scope.CHECKOUT])
    return token


def find_longest_gap(moments: list[float], began: float, ended: float) -> float:
    """Return the longest time between two of these moments, from `began` to `ended`."""
    marks = [began, *sorted(each for each in moments if began < each < ended), ended]
    return max(after - before for before, after in pairwise(marks))
