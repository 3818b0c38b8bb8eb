"""Buyers of several shops through one router, each with one purchase at a time, which is repeated until it is done."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import requests

from scripts.distributed.proof.buyers import ADDRESS, CARD
from scripts.distributed.state import open_session
from tests.distributed.cell_hosts import VARIANTS

#: Of each shop, and the pause between two purchases: on a busy machine they buy less, and wait for no backlog.
BUYERS: Final = 3
PAUSE_SECONDS: Final = 0.3
#: What a request asks for; a proxy waits longer, so that an answer after this time is one of a hung request.
WAIT_SECONDS: Final = 10
HANG_SECONDS: Final = 60
REPEAT_SECONDS: Final = 0.5
#: For the purchases that are under way at the end.
FINISH_SECONDS: Final = 180.0
#: No answer.
NOTHING: Final = 0


@dataclass(frozen=True)
class Request:
    """One request and its answer; times are of the monotonic clock."""

    shop: str
    began: float
    seconds: float
    status: int
    code: str
    retry_after: str | None
    cell: str | None


@dataclass
class Purchase:
    """One purchase: all its requests have one idempotency key and one body."""

    shop: str
    key: str
    body: dict[str, Any]
    began: float
    seconds: float = 0.0
    checkout_id: str = ""
    state: str = ""


@dataclass
class Buyers:
    """Buys with the key of each shop until it is stopped; a context manager for inside a namespace."""

    url: str
    keys: Mapping[str, str]
    requests: list[Request] = field(default_factory=list)
    purchases: list[Purchase] = field(default_factory=list)

    def __enter__(self) -> "Buyers":
        """Begin."""
        self._local, self._stopping, self._closed = threading.local(), threading.Event(), threading.Event()
        shops = [shop for shop in self.keys for _ in range(BUYERS)]
        self._threads = [threading.Thread(target=self._keep_buying, args=(shop,)) for shop in shops]
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop, in the middle of purchases."""
        self._stopping.set()
        self._closed.set()
        for each in self._threads:
            each.join()

    def finish(self) -> None:
        """Begin no further purchase, and return when all are done."""
        self._closed.set()
        ends_at = time.monotonic() + FINISH_SECONDS
        for each in self._threads:
            each.join(max(0.0, ends_at - time.monotonic()))
        assert not any(each.is_alive() for each in self._threads), "purchases are not done"

    def list_done(self, shop: str, since: float, until: float) -> list[Purchase]:
        """Return the completed purchases of a shop that began in this time."""
        found = [each for each in tuple(self.purchases) if each.shop == shop and since <= each.began < until]
        return [each for each in found if each.state == "completed"]

    def list_requests(self, shop: str, since: float, until: float) -> list[Request]:
        """Return the requests of a shop that began in this time."""
        return [each for each in tuple(self.requests) if each.shop == shop and since <= each.began < until]

    def ask(self, shop: str, key: str, body: dict[str, Any], url: str = "") -> tuple[Request, dict[str, Any]]:
        """Send one request; return it with the body of its answer."""
        if not hasattr(self._local, "session"):
            self._local.session = open_session()
        headers = {"Authorization": f"Bearer {self.keys[shop]}", "Idempotency-Key": key}
        headers["Prefer"] = f"wait={WAIT_SECONDS}"
        began, status, retry_after, answer = time.monotonic(), NOTHING, None, {}
        try:
            response = self._local.session.post(
                f"{url or self.url}/checkout", json=body, headers=headers, timeout=HANG_SECONDS
            )
            status, retry_after, answer = response.status_code, response.headers.get("Retry-After"), response.json()
        except (requests.RequestException, ValueError) as error:
            answer = {"code": type(error).__name__}
        facts = answer.get("facts") or {}
        seconds, code = time.monotonic() - began, str(answer.get("code", ""))
        return Request(shop, began, seconds, status, code, retry_after, facts.get("cell")), answer

    def _keep_buying(self, shop: str) -> None:
        number = 0
        while not self._closed.wait(PAUSE_SECONDS):
            self._buy(shop, number)
            number += 1

    def _buy(self, shop: str, number: int) -> None:
        lines = [{"sku": f"cell-{number * 7 % VARIANTS}", "quantity": 1}]
        cart = {"id": str(uuid4()), "currency": "EUR", "lines": lines, "shipping_address": ADDRESS}
        purchase = Purchase(shop, str(uuid4()), {"cart": cart, "payment": {"token": CARD}}, time.monotonic())
        while not self._stopping.is_set():
            request, answer = self.ask(shop, purchase.key, purchase.body)
            self.requests.append(request)
            if answer.get("state") in {"completed", "failed", "cancelled", "expired"}:
                purchase.state, purchase.checkout_id = answer["state"], answer["checkout_id"]
                purchase.seconds = time.monotonic() - purchase.began
                self.purchases.append(purchase)
                return
            self._stopping.wait(float(request.retry_after or REPEAT_SECONDS))


def find_p95(purchases: Sequence[Purchase]) -> float:
    """Return the time that 95 of 100 purchases have stayed below, in seconds."""
    ordered = sorted(each.seconds for each in purchases)
    return ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]
