"""How a storefront talks to the checkout engine: six requests over HTTP, with the key on the server's side."""

import time
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import requests

#: How long an answer may be held: a buyer looks at a page that loads, and then at one that says so.
WAIT: Final = "wait=15"
#: Above the wait, and above what the engine itself may take.
TIMEOUT_SECONDS: Final = 25
#: Between two repeats of a request that is still being worked on.
PAUSE_SECONDS: Final = 0.5


class EngineRefusal(Exception):
    """The engine's answer is no; the text is a sentence for the buyer."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        """Take a problem as it came."""
        super().__init__(problem.get("detail", "The shop cannot take this right now: try again in a moment."))
        self.status = status
        self.code = str(problem.get("code", "unknown"))


@dataclass(frozen=True, slots=True)
class EngineClient:
    """The engine's HTTP edge."""

    url: str
    key: str

    def read_cart(self, cart_id: UUID) -> dict[str, Any] | None:
        """Return a cart; None if there is none yet."""
        try:
            return self._ask("GET", f"/carts/{cart_id}")
        except EngineRefusal as refusal:
            if refusal.code == "cart_unknown":
                return None
            raise

    def write_cart(self, cart_id: UUID, cart: dict[str, Any]) -> dict[str, Any]:
        """Write a cart whole."""
        return self._ask("PUT", f"/carts/{cart_id}", body=cart)

    def start(self, cart_id: UUID) -> dict[str, Any]:
        """Start the checkout of a cart, or return the one that it has: with its quote, its order, or its failure."""
        return self._ask("GET", "/checkout", query={"cart_id": str(cart_id)}, headers={"Prefer": WAIT})

    def pay(self, checkout_id: str, token: str, total_minor: int, key: str) -> dict[str, Any]:
        """Pay what was shown. The same key, however often it is sent, pays once.

        A repeated request during the first gets the first one's answer, once there is one.
        """
        body = {"checkout_id": checkout_id, "payment": {"token": token}, "expected_total_minor": total_minor}
        ends_at = time.monotonic() + TIMEOUT_SECONDS
        while True:
            try:
                return self._ask("POST", "/checkout", body=body, headers={"Prefer": WAIT, "Idempotency-Key": key})
            except EngineRefusal as refusal:
                if refusal.code != "idempotency_running" or time.monotonic() > ends_at:
                    raise
            time.sleep(PAUSE_SECONDS)

    def cancel(self, cart_id: UUID) -> dict[str, Any]:
        """Cancel the checkout of a cart."""
        return self._ask("POST", "/checkout/cancel", body={"cart_id": str(cart_id)}, headers={"Prefer": WAIT})

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        try:
            answer = requests.request(
                method,
                self.url + path,
                params=query,
                json=body,
                headers={"Authorization": f"Bearer {self.key}", **(headers or {})},
                timeout=TIMEOUT_SECONDS,
            )
            found: dict[str, Any] = answer.json()
        except (requests.RequestException, ValueError):
            raise EngineRefusal(503, {}) from None
        if not answer.ok:
            raise EngineRefusal(answer.status_code, found)
        return found
