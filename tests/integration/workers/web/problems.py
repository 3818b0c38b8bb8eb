"""What a refusal looks like, and what it must leave alone."""

from typing import Any, Final

import httpx2

from tests.integration.workers.web.stage import Stage
from workers.web.responses.status_codes import TITLES

#: What a request may write.
TABLES: Final = ("carts", "checkouts", "idempotency_keys", "stored_responses", "payments", "webhook_inbox", "events")


def count(stage: Stage) -> dict[str, int]:
    """Return how many rows there are of what a request may write."""
    return {table: stage.shelf.row(f"SELECT count(*) AS n FROM {table}").n for table in TABLES}


def check(answer: httpx2.Response, status: int, code: str, detail: str, **others: Any) -> None:
    """Assert that a response is this problem, whole; its facts only if they are named."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    body = answer.json()
    assert body == {
        "type": f"urn:checkout:problem:{code}",
        "title": TITLES[status],
        "status": status,
        "detail": detail,
        "code": code,
        "facts": body["facts"],
        **others,
    }
    assert answer.status_code == status
