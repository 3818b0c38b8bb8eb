"""How a shop uses the checkout engine: eight requests over HTTP, with the API key on the server."""

import time
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import requests

#: The bound of a long poll: until then the buyer's page loads, afterwards a page asks for patience.
WAIT: Final = "wait=15"
#: Above the wait plus the engine's own time.
TIMEOUT_SECONDS: Final = 25
#: Between two repeats of a request that is still in progress.
PAUSE_SECONDS: Final = 0.5


class EngineRefusal(Exception):
    """The engine refused the request; the text is a sentence for the buyer."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        """Read the problem document of the response."""
        super().__init__(problem.get("detail", "The shop cannot take this right now: try again in a moment."))
        self.status = status
        self.code = str(problem.get("code", "unknown"))


@dataclass(frozen=True, slots=True)
class EngineClient:
    """The engine's HTTP edge."""

    url: str
    key: str

    def read_cart(self, cart_id: UUID) -> dict[str, Any] | None:
        """Return a cart; None if it does not exist yet."""
        try:
            return self._request("GET", f"/carts/{cart_id}")
        except EngineRefusal as refusal:
            if refusal.code == "cart_unknown":
                return None
            raise

    def write_cart(self, cart_id: UUID, cart: dict[str, Any]) -> dict[str, Any]:
        """Replace a whole cart."""
        return self._request("PUT", f"/carts/{cart_id}", body=cart)

    def start(self, cart_id: UUID) -> dict[str, Any]:
        """Start the checkout of a cart, or return its existing one: with its quote, its order, or its failure."""
        return self._request("GET", "/checkout", query={"cart_id": str(cart_id)}, headers={"Prefer": WAIT})

    def pay(self, checkout_id: str, token: str, total_minor: int, key: str) -> dict[str, Any]:
        """Pay the total that was shown. The same key, however often it is sent, pays once.

        A request that is repeated during the first gets the first one's response when that exists.
        """
        body = {"checkout_id": checkout_id, "payment": {"token": token}, "expected_total_minor": total_minor}
        ends_at = time.monotonic() + TIMEOUT_SECONDS
        while True:
            try:
                return self._request("POST", "/checkout", body=body, headers={"Prefer": WAIT, "Idempotency-Key": key})
            except EngineRefusal as refusal:
                if refusal.code != "idempotency_running" or time.monotonic() > ends_at:
                    raise
            time.sleep(PAUSE_SECONDS)

    def cancel(self, cart_id: UUID) -> dict[str, Any]:
        """Cancel the checkout of a cart."""
        return self._request("POST", "/checkout/cancel", body={"cart_id": str(cart_id)}, headers={"Prefer": WAIT})

    def read_order(self, order_id: str) -> dict[str, Any]:
        """Return a placed order: its state, its changes, and whether it can be cancelled."""
        return self._request("GET", f"/orders/{order_id}")

    def cancel_order(self, order_id: str, key: str) -> dict[str, Any]:
        """Cancel an order: its money goes back. The same key, however often it is sent, cancels once."""
        headers = {"Prefer": WAIT, "Idempotency-Key": key}
        return self._request(
            "POST", f"/orders/{order_id}/cancel", body={"reason": "cancelled by the buyer"}, headers=headers
        )

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        try:
            response = requests.request(
                method,
                self.url + path,
                params=query,
                json=body,
                headers={"Authorization": f"Bearer {self.key}", **(headers or {})},
                timeout=TIMEOUT_SECONDS,
            )
            found: dict[str, Any] = response.json()
        except (requests.RequestException, ValueError):
            raise EngineRefusal(503, {}) from None
        if not response.ok:
            raise EngineRefusal(response.status_code, found)
        return found
