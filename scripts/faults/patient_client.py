"""A client that repeats a request until its response is definite, also while the HTTP edge is down."""

import json
import threading
import time
from typing import Any, Final

import requests

from scripts.faults.place import Place

#: A client gives up after this long: every fault is over well before.
PATIENCE_SECONDS: Final = 180.0
#: Temporary errors: the same request is sent again.
TEMPORARY: Final = frozenset({409, 429, 500, 502, 503, 504})
#: Codes with which the request has no outcome yet.
PASSING: Final = frozenset(
    {"idempotency_running", "service_unavailable", "rate_limited", "internal_error", "overloaded"}
)


class PatientClient:
    """Sends requests to the edge of the chaos run. Thread-safe: each thread has its own connection."""

    def __init__(self, place: Place, stopped: threading.Event) -> None:
        """Stop repeating once `stopped` is set."""
        self._place, self._stopped = place, stopped
        self._local = threading.local()

    def request(self, method: str, path: str, **given: Any) -> requests.Response | None:
        """Repeat a request until its response is not temporary; None when patience is over."""
        session = self._session()
        headers = {"Authorization": f"Bearer {self._place.token}", **given.pop("headers", {})}
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < ends_at and not self._stopped.is_set():
            try:
                response = session.request(method, f"{self._place.url}{path}", headers=headers, timeout=20, **given)
            except requests.RequestException:
                time.sleep(0.2)
                continue
            if response.status_code not in TEMPORARY or _is_final(response):
                return response
            time.sleep(0.3)
        return None

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        session: requests.Session = self._local.session
        return session


def _is_final(response: requests.Response) -> bool:
    """Return whether an error is the outcome of the request, not a temporary one."""
    try:
        code = response.json().get("code")
    except json.JSONDecodeError:
        return False
    return code not in PASSING
